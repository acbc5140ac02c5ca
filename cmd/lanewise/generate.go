package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lanewise/lanewise/clip"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/models/emoji"
	"github.com/lanewise/lanewise/pipeline"
	"github.com/lanewise/lanewise/sampler"
)

const (
	defaultOutput = "out.png"
	defaultStyle  = "noto"
	allStyles     = "all"
	noStyle       = "none"
	seedMost      = 1_000_000 // random seeds are below: short enough to be typed again
	picturesMost  = 10_000    // in a file
	pixelsMost    = 1 << 28   // in a file
)

// generateFlags are the flags of lanewise generate as they are given.
type generateFlags struct {
	model    string
	styles   []string
	seed     uint64
	steps    int
	guidance float64
	sampler  string
	n        int
	scale    int
	columns  int
	workers  int
	out      string
	quiet    bool
	profile  string
}

func newGenerate() *cobra.Command {
	var f generateFlags
	cmd := &cobra.Command{
		Use:   "generate PROMPT...",
		Short: "Make pictures from text",
		Long: `Generate makes a picture of each prompt and writes them to a PNG file.

Each argument is a prompt: quote one of several words. Several pictures make a
contact sheet: of several prompts, of several styles side by side, of several
seeds, or of all of these. The same seed is the same noise whatever the prompt and
style are, and the same picture for any number of workers. Machines with AVX2 and
with AVX-512 agree on every bit; others may differ in the last bit of a color.

The file carries what made it as text (keywords "parameters" and "Comment").`,
		Example: `  lanewise generate "red heart"
  lanewise generate "red heart" --style twemoji --seed 7 -n 4 -o hearts.png
  lanewise generate pizza "blue apple" frog --style all --seed 7
  lanewise generate "yellow star" --sampler euler --steps 50 --guidance 1.2`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New(`generate needs a prompt, such as: lanewise generate "red heart"`)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, prompts []string) error {
			if !cmd.Flags().Changed("seed") {
				f.seed = rand.Uint64N(seedMost)
			}
			return generate(cmd, f, prompts)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringSliceVar(&f.styles, "style", []string{defaultStyle}, "one or more of the model's styles, or all, or none (see lanewise styles)")
	flags.Uint64Var(&f.seed, "seed", 0, "seed of the noise of the first picture; the next ones count up (default random)")
	flags.IntVar(&f.steps, "steps", 0, "denoising steps, 1 to 1000 (default the model's: 20 for the one built in)")
	flags.Float64Var(&f.guidance, "guidance", 0, "how strongly text and style steer, above 0; 1 is plain (default the model's: 1.5)")
	flags.StringVar(&f.sampler, "sampler", "", "how a step is made: "+strings.Join(sampler.Names(), ", ")+" (default the model's: ddim)")
	flags.IntVarP(&f.n, "number", "n", 1, "pictures of each prompt in each style, a seed each")
	flags.IntVar(&f.scale, "scale", 8, "enlarge each pixel to this many beside each other, 1 to 64")
	flags.IntVar(&f.columns, "columns", 0, "pictures beside each other on a sheet (default by what there is)")
	flags.IntVar(&f.workers, "workers", 0, "goroutines that compute (default as many as there are CPUs to use)")
	flags.StringVarP(&f.out, "output", "o", defaultOutput, "the PNG file to write; one that exists is replaced")
	flags.StringVar(&f.model, "model", "", "directory of another model of this kind (default the one built in)")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print errors and warnings only")
	flags.StringVar(&f.profile, "profile", "", "print what the time of the U-Net went into, by kind of op, or with --profile="+profileByOp+" by op")
	flags.Lookup("profile").NoOptDefVal = profileByKind
	return cmd
}

// check finds what is wrong with the flags whatever the model is.
func (f generateFlags) check(given func(flag string) bool) error {
	switch {
	case given("steps") && (f.steps < 1 || f.steps > 1000):
		return fmt.Errorf("--steps is %d; it must be 1 to 1000", f.steps)
	case given("guidance") && (math.IsNaN(f.guidance) || math.IsInf(f.guidance, 0) || f.guidance <= 0):
		return fmt.Errorf("--guidance is %v; it must be a finite number above 0", f.guidance)
	case f.n < 1 || f.n > picturesMost:
		return fmt.Errorf("--number is %d; it must be 1 to %d", f.n, picturesMost)
	case f.scale < 1 || f.scale > 64:
		return fmt.Errorf("--scale is %d; it must be 1 to 64", f.scale)
	case given("columns") && (f.columns < 1 || f.columns > picturesMost):
		return fmt.Errorf("--columns is %d; it must be 1 to %d", f.columns, picturesMost)
	case given("sampler") && !slices.Contains(sampler.Names(), strings.ToLower(f.sampler)):
		return fmt.Errorf("unknown sampler %q (samplers: %s)", f.sampler, strings.Join(sampler.Names(), ", "))
	case f.profile != "" && f.profile != profileByKind && f.profile != profileByOp:
		return fmt.Errorf("unknown profile %q (profiles: %s, %s)", f.profile, profileByKind, profileByOp)
	case f.workers < 0 || f.workers > 1024:
		return fmt.Errorf("--workers is %d; it must be 0 (as many as there are CPUs) to 1024", f.workers)
	}
	return nil
}

// chosen returns the styles that the flag names, each once; the empty name is no style.
func (f generateFlags) chosen(known []string) ([]string, error) {
	var styles []string
	for _, name := range f.styles {
		switch name = strings.ToLower(strings.TrimSpace(name)); {
		case name == allStyles:
			styles = append(styles, known...)
		case name == noStyle:
			styles = append(styles, "")
		case slices.Contains(known, name):
			styles = append(styles, name)
		default:
			return nil, fmt.Errorf("unknown style %q (styles: %s, %s, %s)", name, strings.Join(known, ", "), allStyles, noStyle)
		}
	}
	if len(styles) == 0 {
		return nil, fmt.Errorf("--style is empty (styles: %s, %s, %s)", strings.Join(known, ", "), allStyles, noStyle)
	}
	var once []string
	for _, s := range styles {
		if !slices.Contains(once, s) {
			once = append(once, s)
		}
	}
	return once, nil
}

// load returns the model that the flag names.
func (f generateFlags) load(e *engine.Engine) (*pipeline.TextStyle, error) {
	if f.model == "" {
		return emoji.Load(e)
	}
	info, err := os.Stat(f.model)
	if err != nil {
		return nil, fmt.Errorf("--model: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("--model: %s is not a directory", f.model)
	}
	m, err := pipeline.LoadTextStyle(e, os.DirFS(f.model))
	if err != nil {
		return nil, fmt.Errorf("--model %s: %w", f.model, err)
	}
	return m, nil
}

// complete fills in what the model decides, and finds what is wrong with the flags for it.
func (f *generateFlags) complete(given func(flag string) bool, m *pipeline.TextStyle, prompts int) (err error) {
	if f.styles, err = f.chosen(m.Styles); err != nil {
		return err
	}
	if !given("steps") {
		f.steps = m.Steps
	}
	if !given("guidance") {
		f.guidance = m.Guidance
	}
	if f.sampler = strings.ToLower(f.sampler); !given("sampler") {
		f.sampler = m.Sampler
	}
	if !given("columns") {
		f.columns = columns(prompts, len(f.styles), f.n)
	}
	total, side := prompts*len(f.styles)*f.n, m.Size*f.scale
	f.columns = min(f.columns, total)
	if pixels := float64(total) * float64(side) * float64(side); total > picturesMost || pixels > pixelsMost {
		return fmt.Errorf("%d pictures of %d×%d pixels are more than goes into a file (%d pictures, %d pixels)",
			total, side, side, picturesMost, pixelsMost)
	}
	return nil
}

// generate makes the pictures and writes them to one file.
func generate(cmd *cobra.Command, f generateFlags, prompts []string) error {
	began := time.Now()
	if err := f.check(cmd.Flags().Changed); err != nil {
		return err
	}
	file, err := newOutput(f.out)
	if err != nil {
		return err
	}
	e, err := engine.New(engine.Options{Workers: f.workers})
	if err != nil {
		return err
	}
	defer e.Close()
	m, err := f.load(e)
	if err != nil {
		return err
	}
	if err := f.complete(cmd.Flags().Changed, m, len(prompts)); err != nil {
		return err
	}
	stdout, stderr := cmd.OutOrStdout(), cmd.ErrOrStderr()
	for _, prompt := range prompts {
		warn(stderr, m.Words.Encode(prompt))
	}
	s := m.Session()
	s.Measure(f.profile != "")
	pictures, err := f.pictures(cmd.Context(), stderr, s, prompts)
	if err != nil {
		return err
	}
	sheet := arrange(pictures, f.columns, f.scale, f.scale)
	content, err := encodePNG(sheet, f.notes(prompts, m.Size))
	if err != nil {
		return err
	}
	if err := file.write(content); err != nil {
		return err
	}
	if !f.quiet {
		fmt.Fprintf(stdout, "%s: %d×%d pixels, %s, %s\n", f.out, sheet.Bounds().Dx(), sheet.Bounds().Dy(), f.describe(prompts), seconds(time.Since(began)))
	}
	if f.profile != "" {
		return writeProfile(stdout, e, s.Profile(), f.profile)
	}
	return nil
}

// pictures makes the pictures in the order of the sheet: prompt by prompt, and for each seed all
// styles.
func (f generateFlags) pictures(ctx context.Context, stderr io.Writer, s *pipeline.Session, prompts []string) ([]*image.RGBA, error) {
	bar := newProgress(stderr, len(prompts)*len(f.styles)*f.n, f.steps, f.quiet)
	defer bar.close()
	var pictures []*image.RGBA
	for _, prompt := range prompts {
		for i := range f.n {
			for _, style := range f.styles {
				r := pipeline.Request{Prompt: prompt, Style: style, Seed: f.seed + uint64(i),
					Steps: f.steps, Guidance: f.guidance, Sampler: f.sampler}
				for step, err := range s.Generate(ctx, r) {
					if err != nil {
						return nil, err
					}
					bar.step()
					if step.Done() {
						pictures = append(pictures, step.Picture())
						bar.picture(fmt.Sprintf("%q, %s, seed %d", prompt, styleName(style), r.Seed))
					}
				}
			}
		}
	}
	return pictures, nil
}

// warn says which words of a prompt the model does not see.
func warn(w io.Writer, t clip.Tokens) {
	if len(t.Unknown) > 0 {
		fmt.Fprintf(w, "lanewise: warning: the model does not know %s\n", quoted(t.Unknown))
	}
	if len(t.Cut) > 0 {
		fmt.Fprintf(w, "lanewise: warning: the model takes %d words and does not see %s\n", len(t.IDs)-2, quoted(t.Cut))
	}
}

// describe says what makes the pictures, for people.
func (f generateFlags) describe(prompts []string) string {
	const few = 3
	what := quoted(prompts)
	if len(prompts) > few {
		what = count(len(prompts), "prompt")
	}
	style := styleName(f.styles[0])
	if len(f.styles) > 1 {
		style = count(len(f.styles), "style")
	}
	seeds := fmt.Sprintf("seed %d", f.seed)
	if f.n > 1 {
		seeds = fmt.Sprintf("seeds %d to %d", f.seed, f.seed+uint64(f.n-1))
	}
	return fmt.Sprintf("%s, %s, %s, %s", what, style, seeds, count(f.steps, "step"))
}

// notes is the text that the file carries: under "parameters" the prompts and below them the
// settings, as other programs write and read it, and under "Comment" the command that makes the file.
func (f generateFlags) notes(prompts []string, size int) []note {
	var styles []string
	for _, s := range f.styles {
		if s == "" {
			s = noStyle
		}
		styles = append(styles, s)
	}
	guidance := strconv.FormatFloat(f.guidance, 'g', -1, 64)
	model := "emoji"
	if f.model != "" {
		model = filepath.Base(f.model)
	}
	parameters := fmt.Sprintf("%s\nSteps: %d, Sampler: %s, CFG scale: %s, Seed: %d, Size: %dx%d, Model: %s, Style: %s, Images: %d",
		strings.Join(prompts, "\n"), f.steps, f.sampler, guidance, f.seed, size, size, model, strings.Join(styles, " "), f.n)
	command := fmt.Sprintf("lanewise generate --style %s --seed %d --steps %d --guidance %s --sampler %s -n %d --scale %d --columns %d",
		strings.Join(styles, ","), f.seed, f.steps, guidance, f.sampler, f.n, f.scale, f.columns)
	if f.model != "" {
		command += " --model " + shellQuote(f.model)
	}
	command += " --" // what follows is a prompt even if it begins with a dash
	for _, p := range prompts {
		command += " " + shellQuote(p)
	}
	return []note{{"Software", "Lanewise " + version()}, {"parameters", parameters}, {"Comment", command}}
}

// shellQuote returns s as one word of a shell's command line.
func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// styleName names a style for people.
func styleName(style string) string {
	if style == "" {
		return "no style"
	}
	return "style " + style
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
