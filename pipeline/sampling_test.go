package pipeline_test

import (
	"context"
	"image"
	"image/color"
	"io/fs"
	"math"
	"slices"
	"testing"

	"github.com/lanewise/lanewise/clip"
	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/models/emoji"
	"github.com/lanewise/lanewise/pipeline"
	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

// model returns the embedded model.
func model(t *testing.T) *pipeline.TextStyle {
	t.Helper()
	e, err := engine.New(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	m, err := emoji.Load(e)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// photo returns a picture of a red disk on black.
func photo() image.Image {
	p := image.NewRGBA(image.Rect(0, 0, 32, 32))
	for y := range 32 {
		for x := range 32 {
			c := color.RGBA{A: 255}
			if (2*x-31)*(2*x-31)+(2*y-31)*(2*y-31) < 24*24 {
				c.R = 200
			}
			p.SetRGBA(x, y, c)
		}
	}
	return p
}

// sample makes a picture, whose values are finite, in so many steps.
func sample(t *testing.T, s *pipeline.Session, r pipeline.Request) (x []float32, count int) {
	t.Helper()
	for step, err := range s.Generate(t.Context(), r) {
		if err != nil {
			t.Fatalf("%s, %s: %v", r.Sampler, r.Schedule, err)
		}
		if count++; step.Done() != (count == step.Count) {
			t.Fatalf("%s, %s: step %d of %d is done: %v", r.Sampler, r.Schedule, count, step.Count, step.Done())
		}
		x = step.X.Data
	}
	for i, v := range x {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			t.Fatalf("%s, %s: value %d is %v", r.Sampler, r.Schedule, i, v)
		}
	}
	return x, count
}

// skipSlow skips, in short runs, a test whose many pictures take minutes in pure Go.
func skipSlow(t *testing.T) {
	if testing.Short() && kernels.Available()[0].ISA == kernels.Generic {
		t.Skip("takes minutes in pure Go")
	}
}

// Every sampler makes a picture of its own, and the same one again. DDPM that does not clip is
// Euler ancestral.
func TestSamplers(t *testing.T) {
	skipSlow(t)
	m := model(t)
	s := m.Session()
	if got := m.Samplers(); !slices.Equal(got, sampler.Names()) {
		t.Errorf("samplers %q, want all: %q", got, sampler.Names())
	}
	const n = 5 // so many that one step of dpm++3m is of the third order
	pictures := make(map[string][]float32)
	for _, name := range m.Samplers() {
		r := pipeline.Request{Prompt: "red heart", Style: "noto", Seed: 7, Steps: n, Guidance: 1, Sampler: name}
		x, count := sample(t, s, r)
		want := n
		if name == "pndm" {
			want = n + 9 // three of its steps are four calls of the model
		}
		if count != want {
			t.Errorf("%s: %d steps, want %d", name, count, want)
		}
		for other, y := range pictures {
			if slices.Equal(x, y) && !(name == "euler-ancestral" && other == "ddpm") {
				t.Errorf("%s and %s make the same picture", name, other)
			}
		}
		pictures[name] = slices.Clone(x)
	}
	for _, name := range []string{"ddpm", "euler-ancestral", "dpm++sde", "lcm", "tcd"} {
		r := pipeline.Request{Prompt: "red heart", Style: "noto", Seed: 7, Steps: n, Guidance: 1, Sampler: name}
		again, _ := sample(t, s, r)
		kerneltest.Same(t, name, again, pictures[name])
	}
}

// Every sampler makes a picture by every schedule that it has, each another one, and the model's own
// if none is named. (Some spread exponential over the whole range, as lu is.)
func TestSchedules(t *testing.T) {
	skipSlow(t)
	m := model(t)
	s := m.Session()
	for _, name := range m.Samplers() {
		n := 3 // so many that a spread differs from another of the same ends
		if name == "pndm" {
			n = 4
		}
		pictures := make(map[string][]float32)
		for _, schedule := range m.Schedules(name) {
			x, _ := sample(t, s, pipeline.Request{Seed: 7, Steps: n, Guidance: 1, Sampler: name, Schedule: schedule})
			for other, y := range pictures {
				if slices.Equal(x, y) && (schedule != "lu" || other != "exponential") {
					t.Errorf("%s makes the same picture by %s and by %s", name, schedule, other)
				}
			}
			pictures[schedule] = slices.Clone(x)
		}
		if own := pictures[m.Schedule]; own != nil {
			x, _ := sample(t, s, pipeline.Request{Seed: 7, Steps: n, Guidance: 1, Sampler: name})
			kerneltest.Same(t, name+" by the model's schedule", x, own)
		}
	}
}

// Every sampler begins with a picture, and leaves the more of it the less strength there is.
func TestSamplersFromPicture(t *testing.T) {
	skipSlow(t)
	m := model(t)
	s := m.Session()
	const n = 4
	from, err := pipeline.Fit(photo(), m.Size)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range m.Samplers() {
		last := 0.0
		for _, strength := range []float64{0.25, 0.75} {
			r := pipeline.Request{Prompt: "sun", Style: "flat", Seed: 7, Steps: n, Guidance: 1, Sampler: name, From: from, Strength: strength}
			x, count := sample(t, s, r)
			want := int(n * strength)
			switch {
			case name == "lcm" || name == "tcd":
				want = n
			case name == "pndm" && want > 1:
				want++
			}
			if count != want {
				t.Errorf("%s, strength %v: %d steps, want %d", name, strength, count, want)
			}
			away := 0.0
			for i, v := range x {
				away += math.Abs(float64(v) - float64(from.Pix[i/3*4+i%3])/127.5 + 1)
			}
			if away <= last {
				t.Errorf("%s, strength %v: the picture is as near as with less", name, strength)
			}
			last = away
		}
	}
}

// Noise that is added on the way is drawn from the generator that the first noise was drawn from.
func TestOneGenerator(t *testing.T) {
	m := model(t)
	r := pipeline.Request{Prompt: "frog", Style: "flat", Seed: 3, Steps: 3, Guidance: 1, Sampler: "euler-ancestral", Schedule: "karras"}
	got, _ := sample(t, m.Session(), r)

	label, err := m.Label("flat")
	if err != nil {
		t.Fatal(err)
	}
	text, err := m.Text.Encode(t.Context(), [][]int{m.Words.Encode("frog").IDs}, clip.TextOptions{})
	if err != nil {
		t.Fatal(err)
	}
	u, err := m.UNet.Session(1, m.Size, m.Size)
	if err != nil {
		t.Fatal(err)
	}
	bound, err := u.Bind(cond.Cond{Class: label, Context: []cond.Context{{Tokens: text.States}}})
	if err != nil {
		t.Fatal(err)
	}
	dir, err := fs.Sub(emoji.Files(), "scheduler")
	if err != nil {
		t.Fatal(err)
	}
	c, err := sampler.ReadConfig(dir, "scheduler_config.json", "euler-ancestral")
	if err == nil {
		c, err = c.With("karras")
	}
	if err != nil {
		t.Fatal(err)
	}
	plan, err := c.Plan(3)
	if err != nil {
		t.Fatal(err)
	}
	x := tensor.Make(1, m.Size, m.Size, 3)
	noise := sampler.NewGenerator(3)
	noise.Noise(x)
	plan.Begin(x)
	predict := func(ctx context.Context, out, x tensor.NHWC, p sampler.Point) error {
		return bound.Forward(ctx, out, x, p.T)
	}
	for _, err := range sampler.Steps(t.Context(), predict, x, plan.Points, sampler.WithNoise(plan.Method, noise)) {
		if err != nil {
			t.Fatal(err)
		}
	}
	kerneltest.Same(t, "picture", got, x.Data)
}

// What cannot be says which sampler and which schedule, and what there is.
func TestSamplingErrors(t *testing.T) {
	s := model(t).Session()
	for _, c := range []struct {
		r    pipeline.Request
		want string
	}{
		{pipeline.Request{Sampler: "magic"}, `pipeline: unknown sampler "magic" (samplers: ddim, ddpm, pndm, euler, euler-ancestral, heun, dpm++, dpm++3m, dpm++sde, dpm, unipc, lcm, tcd)`},
		{pipeline.Request{Schedule: "even"}, `pipeline: sampler: unknown schedule "even"; there are leading, linspace, `},
		{pipeline.Request{Sampler: "pndm", Schedule: "karras"}, `pipeline: sampler: pndm has no schedule "karras"; it has leading, linspace, trailing`},
		{pipeline.Request{Sampler: "tcd", Schedule: "trailing"}, `pipeline: sampler: tcd has no schedules: its steps are`},
		{pipeline.Request{Sampler: "pndm", Steps: 3}, "pipeline: pndm: sampler: 3 steps of PNDM, want at least 4"},
		{pipeline.Request{Sampler: "lcm", Steps: 51}, "pipeline: lcm: sampler: 51 steps, want 1 to 50"},
		{pipeline.Request{Sampler: "lcm", Steps: 8, From: photo(), Strength: 0.1}, "pipeline: lcm: sampler: 8 steps, want 1 to 5: strength 0.1 of the 50"},
		{pipeline.Request{Sampler: "pndm", Steps: 8, From: photo(), Strength: 0.1}, "pipeline: pndm: sampler: strength 0.1 of 8 steps is no step"},
	} {
		for _, err := range s.Generate(t.Context(), c.r) {
			modeltest.Says(t, err, c.want)
		}
	}
}
