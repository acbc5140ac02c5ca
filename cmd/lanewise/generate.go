package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"github.com/lanewise/lanewise/clip"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/pipeline"
)

func newGenerate() *cobra.Command {
	var f generateFlags
	cmd := &cobra.Command{
		Use:   "generate PROMPT...",
		Short: "Make pictures from text, in styles, from other pictures",
		Long: `Generate makes a picture of each prompt and writes them to a PNG file.

Each argument is a prompt: quote one of several words. Several pictures make a
contact sheet: of several prompts, of several styles side by side, of several
seeds, or of all of these. The same seed is the same noise whatever the prompt and
style are, and the same picture for any number of workers. Machines with AVX2 and
with AVX-512 agree on every bit; others may differ in the last bit of a color.

Prompts and styles mix by weights. --mix makes one picture of several prompts, each
of which pulls with its share of the guidance; --style noto:0.5,flat:0.5 draws
between two styles, and --interpolate draws the way from one to another.

--from begins with a picture that exists: drawn anew in another style, or as
something else, the more so the higher --strength is.

The file carries what made it as text (keywords "parameters" and "Comment").`,
		Example: `  lanewise generate "red heart"
  lanewise generate "red heart" --style twemoji --seed 7 -n 4 -o hearts.png
  lanewise generate pizza "blue apple" frog --styles all --seed 7
  lanewise generate --mix "cat:0.6" "dog:0.4"
  lanewise generate frog --style noto:0.5,flat:0.5
  lanewise generate frog --interpolate noto,flat --frames 7
  lanewise generate "red apple" --from photo.jpg --strength 0.6 --styles all
  lanewise generate "yellow star" --sampler dpm++ --schedule karras --steps 50 --guidance 3 --rescale 0.7 --interval 0.3:5`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 && len(f.mix) == 0 && f.from == "" {
				return errors.New(`generate needs a prompt, such as: lanewise generate "red heart"`)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("seed") {
				f.seed = rand.Uint64N(seedMost)
			}
			return generate(cmd, f, args)
		},
	}
	f.define(cmd)
	return cmd
}

// generate makes the pictures and writes them to one file.
func generate(cmd *cobra.Command, f generateFlags, args []string) error {
	began := time.Now()
	if err := f.check(cmd.Flags().Changed); err != nil {
		return err
	}
	o, err := newOrder(f, args)
	if err != nil {
		return err
	}
	file, err := newOutput(o.out)
	if err != nil {
		return err
	}
	e, err := engine.New(engine.Options{Workers: o.workers})
	if err != nil {
		return err
	}
	defer e.Close()
	m, err := o.load(e)
	if err != nil {
		return err
	}
	if err := o.complete(cmd.Flags().Changed, m); err != nil {
		return err
	}
	stdout, stderr := cmd.OutOrStdout(), cmd.ErrOrStderr()
	for _, prompt := range o.words() {
		warn(stderr, m.Words.Encode(prompt))
	}
	s := m.Session(pipeline.Options{Conv: o.conv})
	s.Measure(o.profile != "")
	cells := o.cells()
	if doubt := m.Doubt(cells[len(cells)-1].request); doubt != "" { // what differs between cells does not count
		fmt.Fprintf(stderr, "lanewise: warning: %s\n", doubt)
	}
	pictures, err := o.pictures(cmd.Context(), stderr, s, cells, m.Size)
	if err != nil {
		return err
	}
	sheet := arrange(pictures, o.captions(cells, m.Size*o.scale), o.columns, o.scale, o.scale)
	content, err := encodePNG(sheet, o.notes(m.Size))
	if err != nil {
		return err
	}
	if err := file.write(content); err != nil {
		return err
	}
	if !o.quiet {
		fmt.Fprintf(stdout, "%s: %d×%d pixels, %s, %s\n", o.out, sheet.Bounds().Dx(), sheet.Bounds().Dy(), o.describe(), seconds(time.Since(began)))
	}
	if o.profile != "" {
		return writeProfile(stdout, e, s.Profile(), o.profile)
	}
	return nil
}

// pictures makes the pictures of the cells.
func (o *order) pictures(ctx context.Context, stderr io.Writer, s *pipeline.Session, cells []cell, size int) ([]*image.RGBA, error) {
	made := 0
	for _, c := range cells {
		if !c.source {
			made++
		}
	}
	bar := newProgress(stderr, made, o.quiet)
	defer bar.close()
	var pictures []*image.RGBA
	for _, c := range cells {
		if c.source {
			p, err := pipeline.Fit(o.source, size)
			if err != nil {
				return nil, err
			}
			pictures = append(pictures, p)
			continue
		}
		for step, err := range s.Generate(ctx, c.request) {
			if err != nil {
				return nil, err
			}
			bar.step(step.Count)
			if step.Done() {
				pictures = append(pictures, step.Picture())
				bar.picture(c.what)
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
