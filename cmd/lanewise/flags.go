package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lanewise/lanewise/conv"
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
	algorithms    = "auto, direct,\nwinograd2, winograd4, winograd6, phases, phases-winograd"
)

// generateFlags are the flags of lanewise generate as they are given.
type generateFlags struct {
	styles      []string // by --style
	sheet       []string // by --styles
	interpolate string
	frames      int
	mix         []string
	negative    string
	from        string
	strength    float64
	seed        uint64
	n           int
	steps       int
	guidance    float64
	rescale     float64
	interval    string
	sampler     string
	schedule    string
	scale       int
	columns     int
	labels      bool
	workers     int
	conv        conv.Options
	out         string
	model       string
	quiet       bool
	profile     string
}

// define makes the flags those of a command.
func (f *generateFlags) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringArrayVar(&f.styles, "style", []string{defaultStyle}, "some of the model's styles, such as noto,flat, or all, or none (see lanewise styles);\nwith weights, noto:0.5,flat:0.5, a mixture of them")
	flags.StringArrayVar(&f.sheet, "styles", nil, "the same as --style")
	flags.StringVar(&f.interpolate, "interpolate", "", "draw the way from a style to another, such as noto,flat, in place of --style")
	flags.IntVar(&f.frames, "frames", 7, "pictures of the way that --interpolate draws")
	flags.StringArrayVar(&f.mix, "mix", nil, "a prompt with its weight, such as \"cat:0.6\"; with others, and with the arguments,\nthey make one picture. A weight below 0 leads away")
	flags.StringVar(&f.negative, "negative", "", "a prompt to lead away from")
	flags.StringVar(&f.from, "from", "", "a picture to begin with, in place of noise alone: PNG, JPEG, GIF or WebP")
	flags.Float64Var(&f.strength, "strength", 0.6, "how much of that picture is drawn anew, above 0 and up to 1")
	flags.Uint64Var(&f.seed, "seed", 0, "seed of the noise of the first picture; the next ones count up (default random)")
	flags.IntVarP(&f.n, "number", "n", 1, "pictures of each prompt in each style, a seed each")
	flags.IntVar(&f.steps, "steps", 0, "denoising steps, 1 to 1000 (default the model's: 20 for the one built in)")
	flags.Float64Var(&f.guidance, "guidance", 0, "how strongly text and style steer, above 0; 1 is plain (default the model's: 1.5)")
	flags.Float64Var(&f.rescale, "rescale", 0, "how much of the contrast that guidance adds is taken back, 0 to 1")
	flags.StringVar(&f.interval, "interval", "", "guide only where noise is LOW to HIGH times as strong as the picture, such as 0.3:5")
	flags.StringVar(&f.sampler, "sampler", "", "how a step is made: see lanewise samplers (default the model's: ddim)")
	flags.StringVar(&f.schedule, "schedule", "", "how steps are spread over the noise: see lanewise samplers (default the model's: trailing)")
	flags.IntVar(&f.scale, "scale", 8, "enlarge each pixel to this many beside each other, 1 to 64")
	flags.IntVar(&f.columns, "columns", 0, "pictures beside each other on a sheet (default by what there is)")
	flags.BoolVar(&f.labels, "labels", true, "write below each picture of a sheet what it is, where it is 64 pixels wide or more")
	flags.IntVar(&f.workers, "workers", 0, "goroutines that compute (default as many as there are CPUs to use)")
	flags.TextVar(&f.conv.Algorithm, "conv", conv.Auto, "the `algorithm` of the U-Net's convolutions, wherever it fits: "+algorithms)
	flags.TextVar(&f.conv.Accuracy, "accuracy", conv.Normal, "the `bound` on rounding errors of what auto takes: fine, those of direct; normal, about twice\nas large")
	flags.StringVarP(&f.out, "output", "o", defaultOutput, "the PNG file to write; one that exists is replaced")
	flags.StringVar(&f.model, "model", "", "directory of another model of this kind (default the one built in)")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print errors and warnings only")
	flags.StringVar(&f.profile, "profile", "", "print what the time of the U-Net went into, by kind of op, or with --profile="+profileByOp+" by op")
	flags.Lookup("profile").NoOptDefVal = profileByKind
}

// check finds what is wrong with the flags whatever the model is.
func (f *generateFlags) check(given func(flag string) bool) error {
	switch {
	case given("steps") && (f.steps < 1 || f.steps > 1000):
		return fmt.Errorf("--steps is %d; it must be 1 to 1000", f.steps)
	case given("guidance") && (math.IsNaN(f.guidance) || math.IsInf(f.guidance, 0) || f.guidance <= 0):
		return fmt.Errorf("--guidance is %v; it must be a finite number above 0", f.guidance)
	case !(f.rescale >= 0 && f.rescale <= 1):
		return fmt.Errorf("--rescale is %v; it must be 0 to 1", f.rescale)
	case !(f.strength > 0 && f.strength <= 1):
		return fmt.Errorf("--strength is %v; it must be above 0 and up to 1", f.strength)
	case given("strength") && f.from == "":
		return errors.New("--strength is for a picture to begin with: name one by --from")
	case given("interpolate") && f.interpolate == "":
		return errors.New("--interpolate is empty; it must name two styles or more")
	case given("from") && f.from == "":
		return errors.New("--from is empty; it must name a picture")
	case given("interval") && f.interval == "":
		return errors.New("--interval is empty; it must be LOW:HIGH, such as 0.3:5")
	case given("style") && given("styles"):
		return errors.New("--styles is --style: give one of them")
	case given("interpolate") && (given("style") || given("styles")):
		return errors.New("--interpolate names the styles that are drawn; leave --style out")
	case given("frames") && !given("interpolate"):
		return errors.New("--frames is for the way between styles: name them by --interpolate")
	case f.frames < 2 || f.frames > picturesMost:
		return fmt.Errorf("--frames is %d; it must be 2 to %d", f.frames, picturesMost)
	case f.n < 1 || f.n > picturesMost:
		return fmt.Errorf("--number is %d; it must be 1 to %d", f.n, picturesMost)
	case f.scale < 1 || f.scale > 64:
		return fmt.Errorf("--scale is %d; it must be 1 to 64", f.scale)
	case given("columns") && (f.columns < 1 || f.columns > picturesMost):
		return fmt.Errorf("--columns is %d; it must be 1 to %d", f.columns, picturesMost)
	case given("sampler") && !slices.Contains(sampler.Names(), strings.ToLower(f.sampler)):
		return fmt.Errorf("unknown sampler %q (samplers: %s)", f.sampler, strings.Join(sampler.Names(), ", "))
	case given("schedule") && !slices.Contains(sampler.ScheduleNames(), strings.ToLower(f.schedule)):
		return fmt.Errorf("unknown schedule %q (schedules: %s)", f.schedule, strings.Join(sampler.ScheduleNames(), ", "))
	case f.profile != "" && f.profile != profileByKind && f.profile != profileByOp:
		return fmt.Errorf("unknown profile %q (profiles: %s, %s)", f.profile, profileByKind, profileByOp)
	case f.workers < 0 || f.workers > 1024:
		return fmt.Errorf("--workers is %d; it must be 0 (as many as there are CPUs) to 1024", f.workers)
	}
	return nil
}

// load returns the model that the flag names.
func (f *generateFlags) load(e *engine.Engine) (*pipeline.TextStyle, error) {
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
