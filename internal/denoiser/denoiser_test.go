package denoiser_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/internal/denoiser"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// copying is a session whose output is its input with all that stands behind it.
func copying(t *testing.T, batch, height, width int) *denoiser.Run {
	t.Helper()
	r, err := denoiser.New(denoiser.Model{
		Name: "model", InChannels: 3, OutChannels: 3, Tokens: []int{2, 4},
		CheckTime: func(t float64) error {
			if t < 0 {
				return fmt.Errorf("time %v, want at least 0", t)
			}
			return nil
		},
		Check: func(c *cond.Cond, images int) error {
			if c.Class != 0 {
				return fmt.Errorf("class %d of %d images", c.Class, images)
			}
			return nil
		},
	}, batch, height, width)
	if err != nil {
		t.Fatal(err)
	}
	g := &blocks.Graph{Engine: kerneltest.Engine(t, kernels.Available()[0], 1)}
	x := g.Image(batch, height, width, 3)
	g.Add(program.Op{Name: "input", Dst: x, Bind: func(m program.Memory) func() {
		dst := m.Image(x)
		return func() { r.ReadInput(dst) }
	}})
	g.Add(program.Op{Name: "output", Src: []program.Value{x}, Bind: func(m program.Memory) func() {
		src := m.Image(x)
		return func() { tensor.Copy(r.Out, src) }
	}})
	r.Plan(g)
	return r
}

// ramp is an image of 1, 2, 3, …
func ramp(n, h, w, c int) tensor.NHWC {
	t := tensor.Make(n, h, w, c)
	for i := range t.Data {
		t.Data[i] = float32(i + 1)
	}
	return t
}

// One x is for all conditions, each has its own maps behind it, one for all of its images or one each, and
// zeros where it has none; and times are where the program reads them.
func TestRun(t *testing.T) {
	r := copying(t, 6, 1, 2)
	b, err := r.Bind([]cond.Cond{{Concat: ramp(1, 1, 2, 1)}, {}, {Concat: ramp(2, 1, 2, 1)}})
	if err != nil {
		t.Fatal(err)
	}
	x, out, times := ramp(2, 1, 2, 2), tensor.Make(6, 1, 2, 3), r.Times
	kerneltest.NoAllocations(t, "run", func() {
		if err := r.Begin(b, out, x, denoiser.All(7)); err != nil {
			t.Fatal(err)
		}
		defer r.End()
		if err := r.Program.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	want := []float32{
		1, 2, 1, 3, 4, 2 /**/, 5, 6, 1, 7, 8, 2,
		1, 2, 0, 3, 4, 0 /**/, 5, 6, 0, 7, 8, 0,
		1, 2, 1, 3, 4, 2 /**/, 5, 6, 3, 7, 8, 4,
	}
	kerneltest.Same(t, "out", out.Data, want)
	if times[0] != 7 || times[5] != 7 {
		t.Errorf("times are %v, want 7", times)
	}
	if err := r.Begin(b, out, x, denoiser.Each([]float64{0, 1, 2, 3, 4, 5})); err != nil || times[0] != 0 || times[5] != 5 {
		t.Errorf("error %v, times %v", err, times)
	}
	r.End()
}

// Operands that do not fit do not begin, and a session in use does not begin again.
func TestBeginErrors(t *testing.T) {
	r := copying(t, 2, 1, 2)
	b, err := r.Bind([]cond.Cond{{}})
	if err != nil {
		t.Fatal(err)
	}
	x, out := ramp(1, 1, 2, 3), tensor.Make(2, 1, 2, 3)
	for _, c := range []struct {
		out, x tensor.NHWC
		at     denoiser.Times
		want   string
	}{
		{out, ramp(3, 1, 2, 3), denoiser.All(0), "model: x is 3×1×2×3, want n×1×2×3 with n a divisor of 2"},
		{out, ramp(1, 1, 2, 2), denoiser.All(0), "model: x is 1×1×2×2"},
		{ramp(1, 1, 2, 3), x, denoiser.All(0), "model: out is 1×1×2×3, want 2×1×2×3"},
		{out, x, denoiser.All(-1), "model: time -1, want at least 0"},
		{out, x, denoiser.All(math.Inf(-1)), "model: time -Inf"},
		{out, x, denoiser.Each([]float64{0, math.NaN()}), "model: time NaN"},
		{out, x, denoiser.Each([]float64{0}), "model: 1 times for a batch of 2"},
		{out, x, denoiser.Each(nil), "model: 0 times for a batch of 2"},
	} {
		if err := r.Begin(b, c.out, c.x, c.at); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("error %v, want %s", err, c.want)
		}
	}
	for range 2 {
		if err := r.Begin(b, out, x, denoiser.All(1)); err != nil {
			t.Fatal(err)
		}
		if err := r.Begin(b, out, x, denoiser.All(1)); err == nil || err.Error() != "model: the session is in use" {
			t.Errorf("begun twice: error %v", err)
		}
		r.End()
	}
}

// What is wrong with a condition is said with its number; what the model says of it comes first.
func TestBindErrors(t *testing.T) {
	r := copying(t, 2, 1, 2)
	nan := float32(math.NaN())
	tokens := func(cols int) tensor.Mat { return tensor.MakeMat(1, cols) }
	spoiled := ramp(1, 1, 2, 1)
	spoiled.Data[1] = nan
	for _, c := range []struct {
		c    cond.Cond
		want string
	}{
		{cond.Cond{Class: 4, Vector: []float32{nan}}, "class 4 of 1 images"},
		{cond.Cond{Context: []cond.Context{{Tokens: tokens(2)}, {Slot: 2}}}, "context 1: slot 2, which the model has not, want 0 to 1"},
		{cond.Cond{Context: []cond.Context{{Slot: 1, Tokens: tokens(2)}}}, "context 0: 1 tokens of 2 values, want at least 1 of 4"},
		{cond.Cond{Vector: []float32{0, nan}}, "vector is NaN at value 1"},
		{cond.Cond{Pooled: []float32{nan}}, "pooled is NaN at value 0"},
		{cond.Cond{Guidance: []float32{nan}}, "guidance is NaN at value 0"},
		{cond.Cond{Sizes: []float64{0, 0, math.Inf(1)}}, "size 2 is +Inf"},
		{cond.Cond{Concat: ramp(1, 1, 2, 3)}, "concat is 1×1×2×3, want n×1×2×c with n 1 or 1 and c from 1 to 2"},
		{cond.Cond{Concat: spoiled}, "concat is NaN at channel 0 of image 0, row 0, column 1"},
		{cond.Cond{Concat: ramp(1, 1, 2, 1)}, "concat of 1 channels beside one of 2"},
	} {
		_, err := r.Bind([]cond.Cond{{Concat: ramp(1, 1, 2, 2)}, c.c})
		if want := "model: condition 1: " + c.want; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	if _, err := r.Bind(make([]cond.Cond, 3)); err == nil || err.Error() != "model: 3 conditions for a batch of 2" {
		t.Error(err)
	}
	if _, err := denoiser.New(denoiser.Model{Name: "model"}, 1, 0, 2); err == nil || errors.Unwrap(err) == nil ||
		!strings.HasPrefix(err.Error(), "model: session for 1 images of 0×2, want at least 1 pixel") {
		t.Error(err)
	}
}

// Keys and values of a context are projected when it is bound, once for each layer and condition; steps
// project nothing, and find them where they were.
func TestProjectsWhenBound(t *testing.T) {
	const batch, layers, tokens, inner = 2, 3, 5, 4
	projections := 0
	r, err := denoiser.New(denoiser.Model{
		Name: "model", InChannels: 1, OutChannels: 1, Tokens: []int{2},
		Check:     func(*cond.Cond, int) error { return nil },
		CheckTime: func(float64) error { return nil },
		Projector: func(_ int, _ *blocks.KeyValue) func(tensor.Mat) attention.KV {
			return func(x tensor.Mat) attention.KV {
				projections++
				kv := attention.KV{K: tensor.MakeMat(x.Rows, inner), V: tensor.MakeMat(x.Rows, inner)}
				kv.K.Data[0] = float32(projections)
				return kv
			}
		},
	}, batch, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	g := &blocks.Graph{Engine: kerneltest.Engine(t, kernels.Available()[0], 1)}
	for range layers {
		g.Prompts = append(g.Prompts, &blocks.Prompt{Layer: &blocks.KeyValue{Inner: inner}})
	}
	prompts := g.Prompts
	var seen []float32 // a key of each layer and image, by step
	g.Add(program.Op{Name: "look", Bind: func(program.Memory) func() {
		return func() {
			for _, p := range prompts {
				for i := range batch {
					seen = append(seen, p.KV[0].K.Row(i * tokens)[0])
				}
			}
		}
	}})
	r.Plan(g)
	text := func(seed uint64) cond.Cond {
		return cond.Text(tensor.Mat{Rows: tokens, Cols: 2, Stride: 2, Data: kerneltest.Random(seed, 2*tokens)})
	}
	b, err := r.Bind([]cond.Cond{text(1), text(2)})
	if err != nil {
		t.Fatal(err)
	}
	if projections != 2*layers {
		t.Errorf("%d projections for two conditions and %d layers", projections, layers)
	}
	const steps = 4
	for step := range steps {
		if err := r.Begin(b, tensor.Make(batch, 1, 1, 1), tensor.Make(1, 1, 1, 1), denoiser.All(float64(step))); err != nil {
			t.Fatal(err)
		}
		if err := r.Program.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.End()
	}
	if projections != 2*layers {
		t.Errorf("%d projections after %d steps, %d when bound", projections, steps, 2*layers)
	}
	kerneltest.Same(t, "keys", seen, slices.Repeat([]float32{1, 2, 3, 4, 5, 6}, steps))
}
