package main

import (
	"fmt"
	"image"
	"strconv"
	"strings"

	"github.com/lanewise/lanewise/pipeline"
	"github.com/lanewise/lanewise/sampler"
)

// An order is what generate makes: the flags with their values read, and the model's defaults.
type order struct {
	generateFlags
	prompts  []string        // the empty one alone beside a mix, or where there is a picture and no prompt
	mix      []pipeline.Part // of prompts
	looks    []look
	interval sampler.Interval
	source   image.Image // to begin with, nil for none
}

// newOrder reads what does not depend on a model: arguments, and flags that are more than a number.
func newOrder(f generateFlags, args []string) (*order, error) {
	o := &order{generateFlags: f, prompts: args}
	var err error
	if len(f.mix) > 0 {
		o.prompts = nil
		if o.mix, err = parseMix(append(f.mix, args...)); err != nil {
			return nil, err
		}
	}
	if len(o.prompts) == 0 {
		o.prompts = []string{""}
	}
	if f.interval != "" {
		if o.interval, err = parseInterval(f.interval); err != nil {
			return nil, err
		}
	}
	if f.from != "" {
		if o.source, err = readPicture(f.from); err != nil {
			return nil, fmt.Errorf("--from: %w", err)
		}
	}
	return o, nil
}

// complete fills in what the model decides, and finds what is wrong with the order for it.
func (o *order) complete(given func(flag string) bool, m *pipeline.TextStyle) (err error) {
	switch {
	case o.interpolate != "":
		o.looks, err = interpolate(o.interpolate, o.frames, m.Styles)
	case given("styles"):
		o.looks, err = parseLooks(o.sheet, m.Styles)
	default:
		o.looks, err = parseLooks(o.styles, m.Styles)
	}
	if err != nil {
		return err
	}
	if !given("steps") {
		o.steps = m.Steps
	}
	if !given("guidance") {
		o.guidance = m.Guidance
	}
	if o.sampler = strings.ToLower(o.sampler); !given("sampler") {
		o.sampler = m.Sampler
	}
	o.schedule = strings.ToLower(o.schedule)
	if o.plain() {
		for _, flag := range []string{"negative", "rescale", "interval"} {
			if given(flag) {
				return fmt.Errorf("--%s is for guidance, and scale 1 is no guidance", flag)
			}
		}
	}
	across := len(o.looks)
	if o.showsSource() {
		across++
	}
	if !given("columns") {
		o.columns = columns(len(o.prompts), across, o.n)
	}
	total, side := len(o.prompts)*across*o.n, m.Size*o.scale
	o.columns = min(o.columns, total)
	if pixels := float64(total) * float64(side) * float64(side); total > picturesMost || pixels > pixelsMost {
		return fmt.Errorf("%d pictures of %d×%d pixels are more than goes into a file (%d pictures, %d pixels)",
			total, side, side, picturesMost, pixelsMost)
	}
	return nil
}

// plain says whether nothing is led away from: there is one prompt, at scale 1.
func (o *order) plain() bool {
	return len(o.mix) == 0 && o.guidance == 1 || len(o.mix) == 1 && o.guidance*o.mix[0].Weight == 1
}

// showsSource says whether the picture to begin with stands before what is made of it: where that
// is several looks.
func (o *order) showsSource() bool { return o.source != nil && len(o.looks) > 1 }

// A cell is a picture of a sheet: one that is made, or the one to begin with.
type cell struct {
	source  bool
	request pipeline.Request
	what    string   // for people
	caption []string // paragraphs: what differs on the sheet
}

// cells returns the pictures in the order of the sheet: prompt by prompt, and for each seed all
// looks.
func (o *order) cells() []cell {
	var all []cell
	for _, prompt := range o.prompts {
		for i := range o.n {
			seed := o.seed + uint64(i)
			if o.showsSource() {
				all = append(all, cell{source: true, caption: []string{"original"}})
			}
			for _, l := range o.looks {
				c := cell{
					request: pipeline.Request{Prompt: prompt, Mix: o.mix, Negative: o.negative, Styles: l, Seed: seed,
						Steps: o.steps, Guidance: o.guidance, Rescale: o.rescale, Interval: o.interval, Sampler: o.sampler, Schedule: o.schedule},
					what: fmt.Sprintf("%s, %v, seed %d", o.subject(prompt), l, seed),
				}
				if o.source != nil {
					c.request.From, c.request.Strength = o.source, o.strength
				}
				if len(o.prompts) > 1 {
					c.caption = append(c.caption, prompt)
				}
				if len(o.looks) > 1 {
					c.caption = append(c.caption, l.caption()...)
				}
				if o.n > 1 {
					c.caption = append(c.caption, "seed "+strconv.FormatUint(seed, 10))
				}
				all = append(all, c)
			}
		}
	}
	return all
}

// captions returns the lines below every picture of size pixels, or nil for none.
func (o *order) captions(cells []cell, size int) [][]string {
	if !o.labels || len(cells) == 1 || size < captionNarrowest {
		return nil
	}
	all := make([][]string, len(cells))
	for i, c := range cells {
		all[i] = wrapCaption(c.caption, size)
	}
	return all
}

// subject is what a picture shows, for people: its prompt or the mix.
func (o *order) subject(prompt string) string {
	if len(o.mix) == 0 {
		return strconv.Quote(prompt)
	}
	var parts []string
	for _, p := range o.mix {
		parts = append(parts, fmt.Sprintf("%s %q", number(p.Weight), p.Text))
	}
	return strings.Join(parts, " + ")
}
