package modeltest

import (
	"context"
	"sync"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/tensor"
)

// Bound is a session of a denoiser with its conditions bound.
type Bound interface {
	Forward(ctx context.Context, out, x tensor.NHWC, t float64) error
}

// Strides checks that a session with one image, whose output has as many channels as its input, takes
// operands that are parts of wider images, touches nothing beside them, and may write over its input.
func Strides(t *testing.T, b Bound, x tensor.NHWC) {
	t.Helper()
	const time = 7
	forward := func(out, x tensor.NHWC) {
		t.Helper()
		if err := b.Forward(t.Context(), out, x, time); err != nil {
			t.Fatal(err)
		}
	}
	want := tensor.Make(1, x.H, x.W, x.C)
	forward(want, x)

	wide := tensor.Make(1, x.H, x.W, 2*x.C+6)
	kerneltest.Fill(wide.Data)
	in, out := wide.Channels(1, 1+x.C), wide.Channels(x.C+4, 2*x.C+4)
	tensor.Copy(in, x)
	forward(out, in)
	kerneltest.Same(t, "out", kerneltest.Values(out.Tokens()), want.Data)
	for p := range x.H * x.W {
		row := wide.Tokens().Row(p)
		for _, beside := range [][]float32{row[:1], row[1+x.C : x.C+4], row[2*x.C+4:]} {
			for _, v := range beside {
				if !kerneltest.Untouched(v) {
					t.Fatalf("pixel %d: a channel beside the operands was written", p)
				}
			}
		}
	}
	forward(in, in)
	kerneltest.Same(t, "out over x", kerneltest.Values(in.Tokens()), want.Data)
}

// Concurrent checks that sessions of one model, which bind makes, write to out at the same time what one
// alone does.
func Concurrent(t *testing.T, bind func() (Bound, error), out, x tensor.NHWC) {
	t.Helper()
	run := func(out tensor.NHWC) error {
		b, err := bind()
		if err != nil {
			return err
		}
		for range 3 {
			if err := b.Forward(t.Context(), out, x, 3); err != nil {
				return err
			}
		}
		return nil
	}
	if err := run(out); err != nil {
		t.Fatal(err)
	}
	var others [4]tensor.NHWC
	var wait sync.WaitGroup
	for i := range others {
		others[i] = tensor.Make(out.N, out.H, out.W, out.C)
		wait.Go(func() {
			if err := run(others[i]); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for _, other := range others {
		kerneltest.Same(t, "at the same time", other.Data, out.Data)
	}
}
