package resample_test

import (
	"testing"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/ref"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/resample"
	"github.com/lanewise/lanewise/tensor"
)

// operation is one of the package's functions, with its truth in float64.
type operation struct {
	name    string
	n, h, w int
	c, k    int
	oh, ow  int
	oc      int
	apply   func(e *engine.Engine, dst, src tensor.NHWC)
	truth   func(src []float64) []float64
}

func (o operation) String() string {
	return kerneltest.Name("op", o.name, "n", o.n, "h", o.h, "w", o.w, "c", o.c, "oh", o.oh, "ow", o.ow, "k", o.k)
}

func operations() []operation {
	var all []operation
	for _, c := range []int{1, 5, 32} {
		for _, s := range [][4]int{{3, 7, 6, 14}, {3, 7, 5, 13}, {3, 7, 7, 15}, {8, 9, 3, 2}, {1, 1, 70, 33}, {4, 4, 4, 4}, {2, 2, 0, 3}} {
			h, w, oh, ow := s[0], s[1], s[2], s[3]
			all = append(all, operation{name: "nearest", n: 2, h: h, w: w, c: c, oh: oh, ow: ow, oc: c, apply: resample.Nearest,
				truth: func(src []float64) []float64 { return ref.Nearest(2, h, w, c, oh, ow, src) }})
		}
		for _, s := range [][4]int{{3, 7, 6, 14}, {3, 7, 9, 21}, {5, 4, 7, 9}, {8, 9, 3, 2}, {1, 1, 4, 3}, {4, 4, 4, 4}, {2, 2, 0, 3}} {
			h, w, oh, ow := s[0], s[1], s[2], s[3]
			all = append(all, operation{name: "bilinear", n: 2, h: h, w: w, c: c, oh: oh, ow: ow, oc: c, apply: resample.Bilinear,
				truth: func(src []float64) []float64 { return ref.Interpolate(2, h, w, c, oh, ow, src, ref.Triangle) }})
			all = append(all, operation{name: "bicubic", n: 2, h: h, w: w, c: c, oh: oh, ow: ow, oc: c, apply: resample.Bicubic,
				truth: func(src []float64) []float64 { return ref.Interpolate(2, h, w, c, oh, ow, src, ref.Cubic) }})
		}
		for _, s := range [][5]int{{8, 6, 2, 4, 3}, {7, 9, 2, 4, 5}, {7, 9, 2, 3, 4}, {7, 9, 2, 3, 5}, {9, 6, 3, 3, 2}, {5, 4, 1, 5, 4}, {40, 90, 2, 20, 45}, {1, 1, 2, 1, 1}} {
			h, w, k, oh, ow := s[0], s[1], s[2], s[3], s[4]
			all = append(all, operation{name: "average", n: 2, h: h, w: w, c: c, k: k, oh: oh, ow: ow, oc: c,
				apply: func(e *engine.Engine, dst, src tensor.NHWC) { resample.AveragePool(e, dst, src, k) },
				truth: func(src []float64) []float64 { return ref.AveragePool(2, h, w, c, k, oh, ow, src) }})
		}
		for _, s := range [][3]int{{8, 6, 2}, {9, 3, 3}, {3, 2, 1}, {64, 48, 8}} {
			h, w, k := s[0], s[1], s[2]
			all = append(all, operation{name: "unshuffle", n: 2, h: h, w: w, c: c, k: k, oh: h / k, ow: w / k, oc: c * k * k,
				apply: func(e *engine.Engine, dst, src tensor.NHWC) { resample.PixelUnshuffle(e, dst, src, k) },
				truth: func(src []float64) []float64 { return ref.PixelUnshuffle(2, h, w, c, k, src) }})
		}
	}
	return all
}

// image returns random images that end at an unreadable page.
func image(t testing.TB, n, h, w, c, pad int) tensor.NHWC {
	return tensor.NHWC{N: n, H: h, W: w, C: c, Stride: c + pad, Data: kerneltest.Mat(t, 1, n*h*w, c, c+pad).Data}
}

func TestTruth(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 2)
	for _, o := range operations() {
		for _, pad := range []int{0, 3} {
			src, dst := image(t, o.n, o.h, o.w, o.c, pad), image(t, o.n, o.oh, o.ow, o.oc, pad)
			kerneltest.Fill(dst.Data)
			o.apply(e, dst, src)
			kerneltest.UntouchedBetween(t, o.String(), dst.Tokens())
			want := o.truth(kerneltest.Float64s(kerneltest.Values(src.Tokens())))
			// Copies are exact; a mean of k² values between -6 and 6 is a sum of k² roundings.
			bound := float64(o.k*o.k) * float64(o.k*o.k) * 6 * kerneltest.Half
			switch o.name {
			case "bilinear", "bicubic":
				// Places up to 9 are off by 2 roundings, values change by at most 30 from one to the next.
				bound = 2 * 9 * 30 * 2 * kerneltest.Half
			case "nearest", "unshuffle":
				bound = 0
			}
			kerneltest.Near(t, o.String(), kerneltest.Values(dst.Tokens()), want, func(int) float64 { return bound })
		}
	}
}

func TestWorkersAndAllocations(t *testing.T) {
	for _, o := range operations() {
		src := image(t, o.n, o.h, o.w, o.c, 1)
		var first []float32
		for _, workers := range []int{1, 2, 7} {
			e, dst := kerneltest.Engine(t, kernels.Available()[0], workers), image(t, o.n, o.oh, o.ow, o.oc, 1)
			o.apply(e, dst, src)
			if first == nil {
				first = dst.Data
			}
			kerneltest.Same(t, o.String(), dst.Data, first)
		}
	}
	e := kerneltest.Engine(t, kernels.Available()[0], 2)
	src := image(t, 2, 64, 64, 8, 0)
	up, down, moved := tensor.Make(2, 128, 128, 8), tensor.Make(2, 32, 32, 8), tensor.Make(2, 32, 32, 32)
	kerneltest.NoAllocations(t, "Nearest", func() { resample.Nearest(e, up, src) })
	kerneltest.NoAllocations(t, "Bicubic", func() { resample.Bicubic(e, up, src) })
	kerneltest.NoAllocations(t, "AveragePool", func() { resample.AveragePool(e, down, src, 2) })
	kerneltest.NoAllocations(t, "PixelUnshuffle", func() { resample.PixelUnshuffle(e, moved, src, 2) })
}

// What PyTorch 1.13 makes of two rows by interpolate(scale_factor=2), here its second row.
func TestInterpolateAsPyTorch(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	src := tensor.NHWC{N: 1, H: 2, W: 3, C: 1, Stride: 1, Data: []float32{0, 1, 4, 2, -1, 3}}
	dst := tensor.Make(1, 4, 6, 1)
	near := func(what string, want []float64) {
		kerneltest.Near(t, what, dst.Data[6:12], want, func(int) float64 { return 1e-6 })
	}
	resample.Bilinear(e, dst, src)
	near("bilinear", []float64{0.5, 0.5, 0.5, 1.3125, 2.9375, 3.75})
	resample.Bicubic(e, dst, src)
	near("bicubic", []float64{0.4432373046875, 0.360931396484375, 0.185333251953125, 1.28778076171875, 3.04571533203125, 4.113739013671875})
}

func TestPanics(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	src := tensor.Make(2, 6, 8, 3)
	for name, f := range map[string]func(){
		"images":         func() { resample.Nearest(e, tensor.Make(1, 6, 8, 3), src) },
		"channels":       func() { resample.Nearest(e, tensor.Make(2, 6, 8, 4), src) },
		"no pixels":      func() { resample.Nearest(e, tensor.Make(2, 6, 8, 3), tensor.Make(2, 0, 8, 3)) },
		"interpolate":    func() { resample.Bicubic(e, tensor.Make(2, 6, 8, 4), src) },
		"pool size":      func() { resample.AveragePool(e, tensor.Make(2, 4, 4, 3), src, 2) },
		"pool window":    func() { resample.AveragePool(e, src, src, 0) },
		"unshuffle":      func() { resample.PixelUnshuffle(e, tensor.Make(2, 3, 4, 3), src, 2) },
		"unshuffle size": func() { resample.PixelUnshuffle(e, tensor.Make(2, 1, 2, 48), src, 4) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if _, ok := recover().(string); !ok {
					t.Error("no panic with a message")
				}
			}()
			f()
		})
	}
}
