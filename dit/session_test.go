package dit_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// A batch is its images alone, any number of workers is one, and the assembly Sets are each other,
// bit for bit.
func TestSameBits(t *testing.T) {
	for name, config := range layouts {
		t.Run(name, func(t *testing.T) {
			fsys := files(t, config)
			var first []float32 // of the best Set
			kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
				const h, w = 14, 10
				var alone []float32 // both images, one by one, on one worker
				for _, workers := range []int{1, 2, 7} {
					m := load(t, kerneltest.Engine(t, set, workers), fsys)
					in, out := m.Config.InChannels, m.Config.OutChannels
					x := images(1, 2, h, w, in)
					conds := []cond.Cond{condition(2, m, 7), condition(3, m, 4)}
					times := []float64{981, 20.5}
					if workers == 1 {
						for i := range 2 {
							y := forward(t, bind(t, m, 1, h, w, conds[i]), x.Images(i, i+1), out, times[i])
							alone = append(alone, y.Data...)
						}
					}
					both := forward(t, bind(t, m, 2, h, w, conds...), x, out, times...)
					kerneltest.Same(t, kerneltest.Name("workers", workers), both.Data, alone)
				}
				switch {
				case set.ISA == kernels.Generic: // rounds twice at times
				case first == nil:
					first = alone
				default:
					kerneltest.Same(t, "another Set's output", alone, first)
				}
			})
		})
	}
}

// One x with several conditions is what guidance runs: the same as that x repeated.
func TestForwardRepeatsInput(t *testing.T) {
	m := load(t, kerneltest.Engine(t, kernels.Available()[0], 2), files(t, alpha))
	const h, w = 6, 8
	uncond, cond := condition(1, m, 4), condition(2, m, 4)
	x := images(3, 2, h, w, 4)
	twice := tensor.Make(4, h, w, 4)
	tensor.Copy(twice.Images(0, 2), x)
	tensor.Copy(twice.Images(2, 4), x)
	want := forward(t, bind(t, m, 4, h, w, uncond, uncond, cond, cond), twice, 8, 500, 500, 500, 500)

	got := tensor.Make(4, h, w, 8)
	if err := bind(t, m, 4, h, w, uncond, cond).Forward(t.Context(), got, x, 500); err != nil {
		t.Fatal(err)
	}
	kerneltest.Same(t, "out", got.Data, want.Data)
}

func TestForwardStrides(t *testing.T) {
	m := load(t, kerneltest.Engine(t, kernels.Available()[0], 2), files(t, sigma))
	modeltest.Strides(t, bind(t, m, 1, 4, 6, condition(1, m, 3)), images(2, 1, 4, 6, 3))
}

// Bounds of a session take turns, and nothing of a run, not even a NaN, is left for the next.
func TestBoundsTakeTurns(t *testing.T) {
	for _, config := range []string{classes, alpha} {
		m := load(t, kerneltest.Engine(t, kernels.Available()[0], 2), files(t, config))
		s := session(t, m, 1, 8, 8)
		x, nan := images(1, 1, 8, 8, 4), tensor.Make(1, 8, 8, 4)
		for i := range nan.Data {
			nan.Data[i] = float32(math.NaN())
		}
		first, err := s.Bind(condition(1, m, 3))
		if err != nil {
			t.Fatal(err)
		}
		second, err := s.Bind(condition(2, m, 5))
		if err != nil {
			t.Fatal(err)
		}
		wantFirst := forward(t, bind(t, m, 1, 8, 8, condition(1, m, 3)), x, 8, 99)
		wantSecond := forward(t, bind(t, m, 1, 8, 8, condition(2, m, 5)), x, 8, 99)
		for range 2 {
			kerneltest.Same(t, "first", forward(t, first, x, 8, 99).Data, wantFirst.Data)
			kerneltest.Same(t, "second", forward(t, second, x, 8, 99).Data, wantSecond.Data)
			if y := forward(t, first, nan, 8, 99); y.Data[0] == y.Data[0] {
				t.Error("NaN in, a number out")
			}
		}
	}
}

func TestForwardDoesNotAllocate(t *testing.T) {
	for name, config := range layouts {
		fsys := files(t, config)
		for _, workers := range []int{1, 2} {
			m := load(t, kerneltest.Engine(t, kernels.Available()[0], workers), fsys)
			b := bind(t, m, 2, 8, 8, condition(1, m, 7), condition(2, m, 5))
			x, out := images(3, 1, 8, 8, m.Config.InChannels), tensor.Make(2, 8, 8, m.Config.OutChannels)
			kerneltest.NoAllocations(t, kerneltest.Name("model", name, "workers", workers), func() {
				if err := b.Forward(t.Context(), out, x, 500); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

func TestForwardStopsWithinOneOp(t *testing.T) {
	m := load(t, kerneltest.Engine(t, kernels.Available()[0], 2), files(t, classes))
	s := session(t, m, 1, 4, 4)
	b, err := s.Bind(condition(1, m, 0))
	if err != nil {
		t.Fatal(err)
	}
	x, out := images(2, 1, 4, 4, 4), tensor.Make(1, 4, 4, 8)
	modeltest.StopsWithinOneOp(t, s.Program(), func(ctx context.Context) error { return b.Forward(ctx, out, x, 1) }, out)
}

func TestConcurrentSessions(t *testing.T) {
	m := load(t, kerneltest.Engine(t, kernels.Available()[0], 3), files(t, alpha))
	c := condition(2, m, 3)
	modeltest.Concurrent(t, func() (modeltest.Bound, error) {
		s, err := m.Session(1, 8, 8)
		if err != nil {
			return nil, err
		}
		return s.Bind(c)
	}, tensor.Make(1, 8, 8, 8), images(1, 1, 8, 8, 4))
}

func TestSessionInUse(t *testing.T) {
	m := load(t, kerneltest.Engine(t, kernels.Available()[0], 1), files(t, alpha))
	s := session(t, m, 1, 8, 8)
	b, err := s.Bind(condition(2, m, 3))
	if err != nil {
		t.Fatal(err)
	}
	x, out := images(1, 1, 8, 8, 4), tensor.Make(1, 8, 8, 8)
	modeltest.OneUser(t, s.Program(), func() error { return b.Forward(t.Context(), out, x, 1) })
}

func TestSessionErrors(t *testing.T) {
	m := load(t, kerneltest.Engine(t, kernels.Available()[0], 1), files(t, classes))
	for _, c := range []struct {
		batch, h, w int
		says        string
	}{
		{0, 8, 8, "dit: session for 0 images of 8×8"}, {1, 0, 8, "1 images of 0×8"}, {1, 8, -2, "images of 8×-2"},
		{1 << 20, 1 << 10, 1 << 10, "at most 67108864"}, {1, 9, 8, "dit: images of 9×8, want multiples of the patches of 2×2"},
	} {
		if _, err := m.Session(c.batch, c.h, c.w); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %q", err, c.says)
		}
	}
}

func TestForwardErrors(t *testing.T) {
	m := load(t, kerneltest.Engine(t, kernels.Available()[0], 1), files(t, classes))
	b := bind(t, m, 2, 8, 8, condition(1, m, 0))
	x, out := images(1, 2, 8, 8, 4), tensor.Make(2, 8, 8, 8)
	for _, c := range []struct {
		out, x tensor.NHWC
		t      float64
		says   string
	}{
		{out, images(1, 3, 8, 8, 4), 1, "dit: x is 3×8×8×4, want n×8×8×4 with n a divisor of 2"},
		{out, images(1, 2, 8, 6, 4), 1, "x is 2×8×6×4"},
		{out, images(1, 2, 8, 8, 3), 1, "x is 2×8×8×3"},
		{tensor.Make(1, 8, 8, 8), x, 1, "out is 1×8×8×8, want 2×8×8×8"},
		{tensor.Make(2, 8, 8, 4), x, 1, "out is 2×8×8×4, want 2×8×8×8"},
		{out, x, math.NaN(), "dit: time NaN"},
		{out, x, math.Inf(1), "time +Inf"},
	} {
		if err := b.Forward(t.Context(), c.out, c.x, c.t); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %q", err, c.says)
		}
	}
	if err := b.ForwardEach(t.Context(), out, x, []float64{1}); err == nil || !strings.Contains(err.Error(), "1 times for a batch of 2") {
		t.Error(err)
	}
	if err := b.Forward(t.Context(), out, x, 1); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
