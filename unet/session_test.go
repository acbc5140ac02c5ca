package unet_test

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
	"github.com/lanewise/lanewise/unet"
)

// A batch is its images alone, any number of workers is one, and the assembly Sets are each other,
// bit for bit.
func TestSameBits(t *testing.T) {
	for name, c := range map[string]diffusers{"small": small(), "varied": varied()} {
		t.Run(name, func(t *testing.T) {
			fsys := randomModel(t, c)
			var first []float32 // of the best Set
			kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
				h, w := 23, 18
				if set.ISA == kernels.Generic {
					h, w = 9, 8 // it is slow
				}
				var alone []float32 // both images, one by one, on one worker
				for _, workers := range []int{1, 2, 7} {
					m := loadModel(t, kerneltest.Engine(t, set, workers), fsys)
					x := randomImages(1, 2, h, w, c.InChannels)
					conds := []cond.Cond{randomCond(2, m, 7), randomCond(3, m, 7)}
					times := []float64{981, 20.5}
					if workers == 1 {
						for i := range 2 {
							y := forward(t, bind(t, m, 1, h, w, conds[i]), x.Images(i, i+1), c.OutChannels, times[i])
							alone = append(alone, y.Data...)
						}
					}
					both := forward(t, bind(t, m, 2, h, w, conds...), x, c.OutChannels, times...)
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
	c := varied()
	m := loadModel(t, kerneltest.Engine(t, kernels.Available()[0], 2), randomModel(t, c))
	const h, w = 6, 5
	uncond, cond := randomCond(1, m, 4), randomCond(2, m, 4)
	x := randomImages(3, 2, h, w, c.InChannels)
	twice := tensor.Make(4, h, w, c.InChannels)
	tensor.Copy(twice.Images(0, 2), x)
	tensor.Copy(twice.Images(2, 4), x)
	want := forward(t, bind(t, m, 4, h, w, uncond, uncond, cond, cond), twice, c.OutChannels, 500, 500, 500, 500)

	got := tensor.Make(4, h, w, c.OutChannels)
	if err := bind(t, m, 4, h, w, uncond, cond).Forward(t.Context(), got, x, 500); err != nil {
		t.Fatal(err)
	}
	kerneltest.Same(t, "out", got.Data, want.Data)
	kerneltest.Same(t, "image 2", got.Images(2, 3).Data, forward(t, bind(t, m, 1, h, w, cond), x.Images(0, 1), c.OutChannels, 500).Data)
}

func TestForwardStrides(t *testing.T) {
	c := small()
	m := loadModel(t, kerneltest.Engine(t, kernels.Available()[0], 2), randomModel(t, c))
	modeltest.Strides(t, bind(t, m, 1, 5, 6, randomCond(1, m, 3)), randomImages(2, 1, 5, 6, c.InChannels))
}

// Bounds of a session take turns, and nothing of a run, not even a NaN, is left for the next.
func TestBoundsTakeTurns(t *testing.T) {
	c := varied()
	m := loadModel(t, kerneltest.Engine(t, kernels.Available()[0], 2), randomModel(t, c))
	s, err := m.Session(1, 8, 8)
	if err != nil {
		t.Fatal(err)
	}
	x, nan := randomImages(1, 1, 8, 8, c.InChannels), tensor.Make(1, 8, 8, c.InChannels)
	for i := range nan.Data {
		nan.Data[i] = float32(math.NaN())
	}
	var bounds []*unet.Bound
	var want [][]float32
	for i := range 2 {
		cond := randomCond(uint64(i+2), m, 4+i)
		b, err := s.Bind(cond)
		if err != nil {
			t.Fatal(err)
		}
		bounds = append(bounds, b)
		want = append(want, forward(t, bind(t, m, 1, 8, 8, cond), x, c.OutChannels, 99).Data)
	}
	for i := range 4 {
		kerneltest.Same(t, "out", forward(t, bounds[i%2], x, c.OutChannels, 99).Data, want[i%2])
		if y := forward(t, bounds[i%2], nan, c.OutChannels, 99); y.Data[0] == y.Data[0] {
			t.Error("NaN in, a number out")
		}
	}
}

// What is bound is what the tokens were.
func TestBindKeepsNoTokens(t *testing.T) {
	c := small()
	m := loadModel(t, kerneltest.Engine(t, kernels.Available()[0], 1), randomModel(t, c))
	cond := randomCond(1, m, 4)
	b := bind(t, m, 1, 4, 4, cond)
	x := randomImages(2, 1, 4, 4, c.InChannels)
	want := forward(t, b, x, c.OutChannels, 1)
	clear(cond.Context[0].Tokens.Data)
	kerneltest.Same(t, "out", forward(t, b, x, c.OutChannels, 1).Data, want.Data)
}

// A scale of 0.5 halves what is attended to, as weights half as large behind it do.
func TestContextScale(t *testing.T) {
	c := small()
	weights := randomWeights(t, c, 1)
	e := kerneltest.Engine(t, kernels.Available()[0], 2)
	x := randomImages(1, 1, 4, 4, c.InChannels)
	m := loadModel(t, e, files(t, c, weights))
	cond := randomCond(2, m, 5)
	cond.Context[0].Scale = 0.5
	got := forward(t, bind(t, m, 1, 4, 4, cond), x, c.OutChannels, 5)

	for name, w := range weights {
		if strings.HasSuffix(name, "attn2.to_out.0.weight") {
			for i := range w.Data {
				w.Data[i] *= 0.5
			}
		}
	}
	m = loadModel(t, e, files(t, c, weights))
	want := forward(t, bind(t, m, 1, 4, 4, randomCond(2, m, 5)), x, c.OutChannels, 5)
	kerneltest.Same(t, "out", got.Data, want.Data)
}

// Tokens that are masked are as good as absent.
func TestContextMask(t *testing.T) {
	c := small()
	m := loadModel(t, kerneltest.Engine(t, kernels.Available()[0], 2), randomModel(t, c))
	x := randomImages(1, 2, 4, 4, c.InChannels)
	var short, masked [2]cond.Cond
	for i := range masked {
		masked[i] = randomCond(uint64(2+i), m, 9)
		all := &masked[i].Context[0]
		short[i].Context = []cond.Context{{Tokens: all.Tokens.Slice(0, 5)}}
		all.Mask = []float32{0, 0, 0, 0, 0, -10000, -10000, -10000, -10000}
	}
	want := forward(t, bind(t, m, 2, 4, 4, short[:]...), x, c.OutChannels, 5, 5)
	got := forward(t, bind(t, m, 2, 4, 4, masked[:]...), x, c.OutChannels, 5, 5)
	near := make([]float64, len(want.Data))
	for i, v := range want.Data {
		near[i] = float64(v)
	}
	kerneltest.Near(t, "out", got.Data, near, func(int) float64 { return 1e-5 })
}

func TestForwardDoesNotAllocate(t *testing.T) {
	c := varied()
	fsys := randomModel(t, c)
	for _, workers := range []int{1, 2} {
		m := loadModel(t, kerneltest.Engine(t, kernels.Available()[0], workers), fsys)
		b := bind(t, m, 2, 8, 8, randomCond(1, m, 7), randomCond(2, m, 7))
		x, out := randomImages(3, 1, 8, 8, c.InChannels), tensor.Make(2, 8, 8, c.OutChannels)
		ctx, cancel := context.WithCancel(t.Context())
		run := func() {
			if err := b.Forward(ctx, out, x, 500); err != nil {
				t.Fatal(err)
			}
		}
		kerneltest.NoAllocations(t, kerneltest.Name("workers", workers), run)
		cancel()
	}
}

func TestForwardStopsWithinOneOp(t *testing.T) {
	c := small()
	m := loadModel(t, kerneltest.Engine(t, kernels.Available()[0], 2), randomModel(t, c))
	s, err := m.Session(1, 4, 4)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Bind(randomCond(1, m, 3))
	if err != nil {
		t.Fatal(err)
	}
	x := randomImages(2, 1, 4, 4, c.InChannels)
	out := tensor.Make(1, 4, 4, c.OutChannels)
	modeltest.StopsWithinOneOp(t, s.Program(), func(ctx context.Context) error { return b.Forward(ctx, out, x, 1) }, out)
}

func TestConcurrentSessions(t *testing.T) {
	c := small()
	m := loadModel(t, kerneltest.Engine(t, kernels.Available()[0], 3), randomModel(t, c))
	cond := randomCond(2, m, 3)
	modeltest.Concurrent(t, func() (modeltest.Bound, error) {
		s, err := m.Session(1, 8, 8)
		if err != nil {
			return nil, err
		}
		return s.Bind(cond)
	}, tensor.Make(1, 8, 8, c.OutChannels), randomImages(1, 1, 8, 8, c.InChannels))
}

func TestSessionInUse(t *testing.T) {
	c := small()
	m := loadModel(t, kerneltest.Engine(t, kernels.Available()[0], 1), randomModel(t, c))
	s, err := m.Session(1, 4, 4)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Bind(randomCond(1, m, 3))
	if err != nil {
		t.Fatal(err)
	}
	x, out := randomImages(1, 1, 4, 4, c.InChannels), tensor.Make(1, 4, 4, c.OutChannels)
	modeltest.OneUser(t, s.Program(), func() error { return b.Forward(t.Context(), out, x, 1) })
}

func TestSessionErrors(t *testing.T) {
	c := small()
	c.DownsamplePadding = 0
	m := loadModel(t, kerneltest.Engine(t, kernels.Available()[0], 1), randomModel(t, c))
	for _, s := range [][3]int{{0, 8, 8}, {1, 0, 8}, {1, 8, -1}, {1, 1, 8}, {1, 1 << 20, 1 << 20}, {1 << 62, 8, 8}} {
		if _, err := m.Session(s[0], s[1], s[2]); err == nil {
			t.Errorf("no error from a session of %v", s)
		}
	}
}

func TestForwardErrors(t *testing.T) {
	c := small()
	m := loadModel(t, kerneltest.Engine(t, kernels.Available()[0], 1), randomModel(t, c))
	b := bind(t, m, 2, 8, 8, randomCond(1, m, 3))
	good := func() (out, x tensor.NHWC) { return tensor.Make(2, 8, 8, 4), tensor.Make(2, 8, 8, 4) }
	for want, f := range map[string]func() error{
		"x is 2×8×7×4, want n×8×8×4": func() error {
			out, _ := good()
			return b.Forward(t.Context(), out, tensor.Make(2, 8, 7, 4), 1)
		},
		"x is 3×8×8×4": func() error {
			out, _ := good()
			return b.Forward(t.Context(), out, tensor.Make(3, 8, 8, 4), 1)
		},
		"x is 0×8×8×4": func() error {
			out, _ := good()
			return b.Forward(t.Context(), out, tensor.Make(0, 8, 8, 4), 1)
		},
		"out is 1×8×8×4, want 2×8×8×4": func() error {
			_, x := good()
			return b.Forward(t.Context(), tensor.Make(1, 8, 8, 4), x, 1)
		},
		"time NaN": func() error {
			out, x := good()
			return b.Forward(t.Context(), out, x, math.NaN())
		},
		"time +Inf": func() error {
			out, x := good()
			return b.ForwardEach(t.Context(), out, x, []float64{1, math.Inf(1)})
		},
		"1 times for a batch of 2": func() error {
			out, x := good()
			return b.ForwardEach(t.Context(), out, x, []float64{1})
		},
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	out, x := good()
	if err := b.Forward(t.Context(), out, x, 1); err != nil {
		t.Errorf("after errors: %v", err)
	}
}
