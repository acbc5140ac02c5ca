package sampler_test

import (
	"context"
	"errors"
	"testing"

	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

func TestGuide(t *testing.T) {
	const h, w, c = 2, 3, 4
	for _, n := range []int{1, 3} {
		x := tensor.Make(n, h, w, 6).Channels(1, 1+c)
		sampler.Noise(x, 1)
		point := sampler.Point{T: 500, Alpha: 0.6, Sigma: 0.8}
		calls := 0
		// Under the negative condition the model says 2x, under the positive one 3x + the image's number.
		p := func(_ context.Context, out, in tensor.NHWC, q sampler.Point) error {
			calls++
			if in.N != 2*n || !out.SameShape(in) || q != point {
				t.Errorf("the model sees %s at %v for %d images", in.Shape(), q, n)
			}
			for i := range in.N {
				for y := range h {
					for u := range w {
						for k, v := range in.Pixel(i, y, u) {
							if v != x.Pixel(i%n, y, u)[k] {
								t.Fatalf("image %d of the batch is not image %d", i, i%n)
							}
							if out.Pixel(i, y, u)[k] = 2 * v; i >= n {
								out.Pixel(i, y, u)[k] = 3*v + float32(i-n)
							}
						}
					}
				}
			}
			return nil
		}
		for _, scale := range []float64{1, 0, 7.5, -1} {
			out := tensor.Make(n, h, w, 5).Channels(0, c)
			if err := sampler.Guide(p, scale)(context.Background(), out, x, point); err != nil {
				t.Fatal(err)
			}
			for i := range n {
				for k, v := range x.Pixel(i, 1, 2) {
					negative, positive := float64(2*v), float64(3*v+float32(i))
					want := float32(negative + scale*(positive-negative))
					if got := out.Pixel(i, 1, 2)[k]; got != want {
						t.Errorf("scale %g: %v, want %v", scale, got, want)
					}
				}
			}
		}
		if calls != 4 {
			t.Errorf("%d calls for 4 predictions", calls)
		}
	}
}

func TestGuideErrors(t *testing.T) {
	broken := errors.New("broken")
	p := sampler.Guide(func(context.Context, tensor.NHWC, tensor.NHWC, sampler.Point) error { return broken }, 2)
	x := tensor.Make(1, 2, 2, 1)
	if err := p(context.Background(), tensor.Make(1, 2, 2, 1), x, sampler.Point{}); !errors.Is(err, broken) {
		t.Errorf("%v, want the model's error", err)
	}
}

// Buffers are kept from call to call, and made anew for another shape.
func TestGuideAllocates(t *testing.T) {
	p := sampler.Guide(gaussian(0), 2)
	call := func(n int) func() {
		x, out := tensor.Make(n, 4, 4, 2), tensor.Make(n, 4, 4, 2)
		return func() {
			if err := p(context.Background(), out, x, sampler.Point{Alpha: 0.6, Sigma: 0.8}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, n := range []int{1, 2, 1} {
		if allocs := testing.AllocsPerRun(10, call(n)); allocs != 0 {
			t.Errorf("%v allocations a call", allocs)
		}
	}
}
