package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/lanewise/lanewise/conv"
)

// words returns all that the model is to read.
func (o *order) words() []string {
	all := slices.Clone(o.prompts)
	for _, p := range o.mix {
		all = append(all, p.Text)
	}
	return append(all, o.negative)
}

// describe says what makes the pictures, for people.
func (o *order) describe() string {
	const few = 3
	var subjects []string
	for _, p := range o.prompts {
		subjects = append(subjects, o.subject(p))
	}
	what := strings.Join(subjects, ", ")
	if len(subjects) > few {
		what = count(len(subjects), "prompt")
	}
	style := o.looks[0].String()
	switch {
	case o.interpolate != "":
		style = o.looks[0].String() + " to " + o.looks[len(o.looks)-1].String()
	case len(o.looks) > 1:
		style = count(len(o.looks), "style")
	}
	seeds := fmt.Sprintf("seed %d", o.seed)
	if o.n > 1 {
		seeds = fmt.Sprintf("seeds %d to %d", o.seed, o.seed+uint64(o.n-1))
	}
	steps := count(o.steps, "step")
	if o.source != nil {
		steps = fmt.Sprintf("strength %s of %s from %s", number(o.strength), steps, o.from)
	}
	return fmt.Sprintf("%s, %s, %s, %s", what, style, seeds, steps)
}

// notes is the text that the file carries: under "parameters" the prompts and below them the
// settings, as other programs write and read it, and under "Comment" the command that makes the file.
func (o *order) notes(size int) []note {
	return []note{{"Software", "Lanewise " + version()}, {"parameters", o.parameters(size)}, {"Comment", o.command()}}
}

// parameters writes prompts and settings.
func (o *order) parameters(size int) string {
	model := "emoji"
	if o.model != "" {
		model = filepath.Base(o.model)
	}
	var b strings.Builder
	b.WriteString(strings.Join(o.prompts, "\n"))
	for i, p := range o.mix {
		if i > 0 {
			b.WriteString(" AND ")
		}
		fmt.Fprintf(&b, "%s :%s", p.Text, number(p.Weight))
	}
	if o.negative != "" {
		b.WriteString("\nNegative prompt: " + o.negative)
	}
	fmt.Fprintf(&b, "\nSteps: %d, Sampler: %s, CFG scale: %s, Seed: %d, Size: %dx%d, Model: %s, Style: %s, Images: %d",
		o.steps, o.sampler, number(o.guidance), o.seed, size, size, model, strings.Join(o.lookFlags(), " "), o.n)
	if o.schedule != "" {
		fmt.Fprintf(&b, ", Schedule type: %s", o.schedule)
	}
	if o.rescale != 0 {
		fmt.Fprintf(&b, ", CFG rescale: %s", number(o.rescale))
	}
	if o.generateFlags.interval != "" {
		fmt.Fprintf(&b, ", CFG interval: %s", formatInterval(o.interval))
	}
	if o.source != nil {
		fmt.Fprintf(&b, ", Denoising strength: %s, From: %s", number(o.strength), filepath.Base(o.from))
	}
	return b.String()
}

// command writes the command that makes the file again.
func (o *order) command() string {
	var b strings.Builder
	b.WriteString("lanewise generate")
	add := func(flag, value string) { b.WriteString(" " + flag + " " + value) }
	if o.interpolate != "" {
		add("--interpolate", shellQuote(o.interpolate))
		add("--frames", strconv.Itoa(o.frames))
	} else {
		for _, value := range o.styleValues() {
			add("--style", value)
		}
	}
	for _, p := range o.mix {
		add("--mix", shellQuote(formatPart(p)))
	}
	if o.negative != "" {
		add("--negative", shellQuote(o.negative))
	}
	if o.source != nil {
		add("--from", shellQuote(o.from))
		add("--strength", number(o.strength))
	}
	add("--seed", strconv.FormatUint(o.seed, 10))
	add("--steps", strconv.Itoa(o.steps))
	add("--guidance", number(o.guidance))
	if o.rescale != 0 {
		add("--rescale", number(o.rescale))
	}
	if o.generateFlags.interval != "" {
		add("--interval", formatInterval(o.interval))
	}
	add("--sampler", o.sampler)
	if o.schedule != "" {
		add("--schedule", o.schedule)
	}
	add("-n", strconv.Itoa(o.n))
	add("--scale", strconv.Itoa(o.scale))
	add("--columns", strconv.Itoa(o.columns))
	if !o.labels {
		b.WriteString(" --labels=false")
	}
	if o.conv.Algorithm != conv.Auto {
		add("--conv", o.conv.Algorithm.String())
	}
	if o.conv.Accuracy != conv.Normal {
		add("--accuracy", o.conv.Accuracy.String())
	}
	if o.model != "" {
		add("--model", shellQuote(o.model))
	}
	if len(o.mix) == 0 {
		b.WriteString(" --") // what follows is a prompt even if it begins with a dash
		for _, p := range o.prompts {
			b.WriteString(" " + shellQuote(p))
		}
	}
	return b.String()
}

// lookFlags writes every look as --style reads it.
func (o *order) lookFlags() []string {
	var all []string
	for _, l := range o.looks {
		all = append(all, l.flag())
	}
	return all
}

// styleValues returns the values of --style that give the looks: styles beside each other in one,
// each mixture in one of its own.
func (o *order) styleValues() []string {
	var values []string
	listed := false // the last value is a list of styles
	for _, l := range o.looks {
		if l.single() && listed {
			values[len(values)-1] += "," + l.flag()
			continue
		}
		values, listed = append(values, l.flag()), l.single()
	}
	return values
}

// shellQuote returns s as one word of a shell's command line.
func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// quoted lists words: "red", "blue".
func quoted(words []string) string {
	var all []string
	for _, w := range words {
		all = append(all, strconv.Quote(w))
	}
	return strings.Join(all, ", ")
}

// count is a number of things: "1 step", "2 steps".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
