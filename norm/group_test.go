package norm_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/ref"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/norm"
	"github.com/lanewise/lanewise/tensor"
)

const ulp = 0x1p-24 // one rounding

// groupShape is a case: sizes, and what the values are like.
type groupShape struct {
	n, h, w, c, groups int
	offset             float32 // of all values
	eps                float32
}

var groupShapes = []groupShape{
	{1, 1, 1, 1, 1, 0, 1e-5},
	{1, 1, 1, 8, 4, 0, 1e-5},
	{1, 3, 3, 5, 5, 0, 1e-6}, // a channel a group
	{2, 5, 7, 24, 8, 0, 1e-5},
	{1, 9, 3, 40, 8, 0, 1e-6},
	{1, 33, 31, 12, 1, 0, 1e-5},
	{2, 3, 5, 30, 5, 0, 1e-6},
	{3, 8, 8, 64, 32, 0, 1e-5},
	{1, 16, 16, 160, 32, 0, 1e-6},
	{1, 6, 6, 16, 4, 300, 1e-5},
	{1, 32, 32, 64, 32, 3000, 1e-5},
	{1, 157, 161, 16, 2, 0, 1e-5}, // too many pixels for a range of channels to stay in a cache
	{2, 11, 13, 96, 32, 0, 1e-5},  // groups of three channels: ranges are lines of 16 groups
}

// random returns an image in the middle channels of a wider one, and the marks around it.
func random(s groupShape, seed uint64) tensor.NHWC {
	wide := tensor.Make(s.n, s.h, s.w, s.c+3)
	kerneltest.Fill(wide.Data)
	x := wide.Channels(1, 1+s.c)
	values := kerneltest.Random(seed, s.n*s.h*s.w*s.c)
	for p := range x.Tokens().Rows {
		for c := range s.c {
			x.Tokens().Row(p)[c] = values[p*s.c+c]*(1+float32(c%3)) + float32(c%5) + s.offset
		}
	}
	return x
}

// affine returns scales and shifts that differ by channel.
func affine(c int, eps float32) norm.Affine {
	a := norm.Affine{Scale: kerneltest.Random(77, c), Shift: kerneltest.Random(78, c), Eps: eps}
	return a
}

func modulation(n, c int) (scale, shift tensor.Mat) {
	return tensor.Mat{Rows: n, Cols: c, Stride: c, Data: kerneltest.Random(80, n*c)},
		tensor.Mat{Rows: n, Cols: c, Stride: c, Data: kerneltest.Random(81, n*c)}
}

// contiguous copies an image.
func contiguous(x tensor.NHWC) tensor.NHWC {
	y := tensor.Make(x.N, x.H, x.W, x.C)
	tensor.Copy(y, x)
	return y
}

func float64s(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// checkGroup compares dst with the truth. scale and shift may be empty.
//
// Sums of 256 float32 values about one of them stray by λ√256·u of their magnitude (Higham & Mary
// 2019, with λ = 6 for all values of a test together); everything later is in float64 or a
// handful of roundings.
func checkGroup(t *testing.T, s groupShape, dst, src tensor.NHWC, a norm.Affine, scale, shift tensor.Mat, act kernels.Act) {
	t.Helper()
	const block, stray = 256, 6 * 16 * ulp
	size, truth := s.c/s.groups, ref.Acts[act.String()]
	for n := range s.n {
		x := contiguous(src.Images(n, n+1))
		gamma, beta := make([]float64, s.c), make([]float64, s.c)
		for c := range s.c {
			gamma[c] = 1
			if a.Scale != nil {
				gamma[c] = float64(a.Scale[c])
			}
			if a.Shift != nil {
				beta[c] = float64(a.Shift[c])
			}
			if scale.Data != nil {
				gain := 1 + float64(scale.Row(n)[c])
				gamma[c], beta[c] = gamma[c]*gain, beta[c]*gain+float64(shift.Row(n)[c])
			}
		}
		before := ref.GroupNorm(float64s(x.Data), s.c, s.groups, gamma, beta, float64(s.eps))
		got := contiguous(dst.Images(n, n+1))
		bounds, want := make([]float64, len(before)), make([]float64, len(before))
		for g := range s.groups {
			var values []float64
			var magnitude, squares float64
			for p := range s.h * s.w {
				for c := g * size; c < (g+1)*size; c++ {
					v := float64(x.Data[p*s.c+c])
					d := math.Abs(v - float64(x.Data[p/block*block*s.c+c]))
					values, magnitude, squares = append(values, v), magnitude+d, squares+d*d
				}
			}
			mean, variance := ref.Moments(values)
			count := float64(len(values))
			em, ev := stray*magnitude/count, 2*stray*squares/count
			rstd := 1 / math.Sqrt(variance+float64(s.eps))
			er := 0.5*ev/(variance+float64(s.eps)) + 2*ulp
			for p := range s.h * s.w {
				for c := g * size; c < (g+1)*size; c++ {
					i := p*s.c + c
					d := math.Abs(float64(x.Data[i]) - mean)
					want[i] = truth(before[i])
					bound := math.Abs(gamma[c])*rstd*(em+d*(er+3*ulp)) + 2*ulp*(math.Abs(before[i])+math.Abs(beta[c]))
					bounds[i] = 1.2*bound + 6*ulp*math.Abs(want[i]) // no activation is steeper than 1.2
				}
			}
		}
		kerneltest.Near(t, kerneltest.Name("image", n, "act", act), got.Data, want, func(i int) float64 { return bounds[i] })
	}
}

func (s groupShape) name() string {
	return kerneltest.Name("n", s.n, "h", s.h, "w", s.w, "c", s.c, "groups", s.groups, "offset", s.offset)
}

func TestGroup(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		acts := 3
		if testing.Short() {
			acts = 2
		}
		for i, s := range groupShapes {
			t.Run(s.name(), func(t *testing.T) {
				a := affine(s.c, s.eps)
				if i%3 == 1 {
					a.Scale, a.Shift = nil, nil
				}
				for _, act := range []kernels.Act{kernels.Identity, kernels.SiLU, kernels.GELU}[:acts] {
					src, dst := random(s, 1), random(s, 2)
					norm.Group(e, dst, src, s.groups, a, act)
					checkGroup(t, s, dst, src, a, tensor.Mat{}, tensor.Mat{}, act)
					checkMarks(t, dst)

					norm.Group(e, src, src, s.groups, a, act)
					kerneltest.Same(t, "in place", contiguous(src).Data, contiguous(dst).Data)
					checkMarks(t, src)
				}
				src, dst := random(s, 1), random(s, 2)
				scale, shift := modulation(s.n, s.c)
				norm.AdaGroup(e, dst, src, s.groups, a, scale, shift, kernels.SiLU)
				checkGroup(t, s, dst, src, a, scale, shift, kernels.SiLU)
				checkMarks(t, dst)
			})
		}
	})
}

// checkMarks looks at the two channels after each pixel but the last, which are not the image's.
func checkMarks(t *testing.T, x tensor.NHWC) {
	t.Helper()
	for p := range x.N*x.H*x.W - 1 {
		for _, v := range x.Data[p*x.Stride+x.C : (p+1)*x.Stride] {
			if !kerneltest.Untouched(v) {
				t.Fatalf("wrote beside pixel %d", p)
			}
		}
	}
}

// TestGroupSameBits: neither the number of workers, nor the batch, nor the assembly changes a bit.
func TestGroupSameBits(t *testing.T) {
	first := make(map[string][]float32)
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, s := range groupShapes {
			a, src := affine(s.c, s.eps), random(s, 1)
			scale, shift := modulation(s.n, s.c)
			var want tensor.NHWC
			for _, workers := range []int{1, 2, 3, 7} {
				e := kerneltest.Engine(t, set, workers)
				got := tensor.Make(s.n, s.h, s.w, s.c)
				norm.AdaGroup(e, got, src, s.groups, a, scale, shift, kernels.SiLU)
				if workers == 1 {
					want = got
				}
				kerneltest.Same(t, kerneltest.Name("workers", workers)+"/"+s.name(), got.Data, want.Data)
				one := tensor.Make(1, s.h, s.w, s.c)
				for n := range s.n {
					norm.AdaGroup(e, one, src.Images(n, n+1), s.groups, a, scale.Slice(n, n+1), shift.Slice(n, n+1), kernels.SiLU)
					kerneltest.Same(t, kerneltest.Name("image", n)+"/"+s.name(), one.Data, want.Images(n, n+1).Data)
				}
			}
			if set.ISA == kernels.Generic {
				continue
			}
			if other, ok := first[s.name()]; ok {
				kerneltest.Same(t, s.name(), want.Data, other)
			}
			first[s.name()] = want.Data
		}
	})
}

// A constant group has no spread: what comes out is the shift, exactly.
func TestGroupOfConstants(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		for _, v := range []float32{0, 2.5, 0.1, 1e20, -7e-30} {
			x := tensor.Make(1, 15, 17, 8)
			for i := range x.Data {
				x.Data[i] = v
			}
			a := affine(8, 1e-5)
			norm.Group(e, x, x, 2, a, kernels.Identity)
			for i, got := range x.Data {
				if got != a.Shift[i%8] {
					t.Fatalf("%g everywhere: [%d] = %g, want %g", v, i, got, a.Shift[i%8])
				}
			}
		}
	})
}

// One pixel that lies far from all others, where a block of sums starts.
func TestGroupWithOutlier(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		s := groupShape{1, 64, 64, 4, 2, 0, 1e-5}
		src, dst := random(s, 1), random(s, 2)
		src.Pixel(0, 0, 0)[0] = 1000
		norm.Group(e, dst, src, s.groups, norm.Affine{Eps: s.eps}, kernels.Identity)
		checkGroup(t, s, dst, src, norm.Affine{Eps: s.eps}, tensor.Mat{}, tensor.Mat{}, kernels.Identity)
	})
}

// What is not finite stays in its group of its image.
func TestGroupKeepsNaNApart(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			x := tensor.Make(2, 12, 13, 32)
			copy(x.Data, kerneltest.Random(1, len(x.Data)))
			x.Pixel(1, 7, 5)[9] = float32(bad)
			norm.Group(e, x, x, 8, norm.Affine{Eps: 1e-5}, kernels.SiLU)
			for i, v := range x.Data {
				inside := i >= len(x.Data)/2 && i%32/4 == 9/4
				if inside != (v != v) {
					t.Fatalf("%g: [%d] = %g", bad, i, v)
				}
			}
		}
	})
}

func TestGroupDoesNotAllocate(t *testing.T) {
	for _, workers := range []int{1, 2, 7} {
		e := open(t, workers)
		x := tensor.Make(1, 16, 16, 64)
		a := affine(64, 1e-5)
		scale, shift := modulation(1, 64)
		run := func() { norm.AdaGroup(e, x, x, 32, a, scale, shift, kernels.SiLU) }
		kerneltest.NoAllocations(t, kerneltest.Name("workers", workers), run)
	}
}

func open(t testing.TB, workers int) *engine.Engine {
	t.Helper()
	e, err := engine.New(engine.Options{Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func TestEmptyImage(t *testing.T) {
	e := open(t, 2)
	norm.Group(e, tensor.Make(0, 4, 4, 8), tensor.Make(0, 4, 4, 8), 2, norm.Affine{}, kernels.SiLU)
	norm.Layer(e, tensor.MakeMat(0, 8), tensor.MakeMat(0, 8), norm.Affine{})
}

func TestPanics(t *testing.T) {
	e := open(t, 1)
	x, y, m := tensor.Make(2, 3, 3, 8), tensor.Make(2, 3, 3, 4), tensor.MakeMat
	for name, f := range map[string]func(){
		"groups that do not divide": func() { norm.Group(e, x, x, 3, norm.Affine{}, 0) },
		"no groups":                 func() { norm.Group(e, x, x, 0, norm.Affine{}, 0) },
		"shapes that differ":        func() { norm.Group(e, y, x, 2, norm.Affine{}, 0) },
		"a scale too short":         func() { norm.Group(e, x, x, 2, norm.Affine{Scale: make([]float32, 7)}, 0) },
		"one modulation for two":    func() { norm.AdaGroup(e, x, x, 2, norm.Affine{}, m(1, 8), m(2, 8), 0) },
		"a narrow modulation":       func() { norm.AdaGroup(e, x, x, 2, norm.Affine{}, m(2, 8), m(2, 4), 0) },
		"rows that differ":          func() { norm.Layer(e, m(2, 3), m(3, 3), norm.Affine{}) },
		"a shift too long":          func() { norm.Layer(e, m(2, 3), m(2, 3), norm.Affine{Shift: make([]float32, 4)}) },
		"rows that do not divide":   func() { norm.Ada(e, m(5, 3), m(5, 3), 2, norm.Affine{}, m(2, 3), m(2, 3)) },
		"modulations of another":    func() { norm.Ada(e, m(4, 3), m(4, 3), 2, norm.Affine{}, m(2, 3), m(1, 3)) },
		"one modulation of two":     func() { norm.RMS(e, m(4, 3), m(4, 3), 2, norm.Affine{}, m(2, 3), tensor.Mat{}) },
		"memory that is not there":  func() { norm.Layer(e, m(2, 3), tensor.Mat{Rows: 2, Cols: 3, Stride: 3}, norm.Affine{}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}

// Moments that were gathered before give the same bits as those that Group takes itself.
func TestGroupWithMoments(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, workers := range []int{1, 2, 7} {
			e := kerneltest.Engine(t, set, workers)
			for i, s := range groupShapes {
				src, a := random(s, uint64(i)), affine(s.c, s.eps)
				scale, shift := modulation(s.n, s.c)
				want, got := tensor.Make(s.n, s.h, s.w, s.c), tensor.Make(s.n, s.h, s.w, s.c)
				norm.AdaGroup(e, want, src, s.groups, a, scale, shift, kernels.SiLU)
				a.Moments = moments(set, src)
				norm.AdaGroup(e, got, src, s.groups, a, scale, shift, kernels.SiLU)
				kerneltest.Same(t, fmt.Sprintf("%v, %d workers", s, workers), got.Data, want.Data)
			}
		}
	})
}

// moments are what tensor.Moments says.
func moments(set *kernels.Set, x tensor.NHWC) *tensor.Moments {
	m := tensor.MakeMoments(x.N, x.H*x.W, x.C)
	for image := range x.N {
		for b := range m.Blocks() {
			first := image*m.Pixels + b*tensor.MomentPixels
			block := x.Tokens().Slice(first, min(first+tensor.MomentPixels, (image+1)*m.Pixels))
			ref, sum, square := m.Block(image, b)
			copy(ref, block.Row(0))
			set.Moments(&kernels.MomentsArgs{Rows: block.Rows, Cols: x.C, Src: block.Data, Stride: block.Stride, Ref: ref, Sum: sum, Square: square})
		}
	}
	return m
}
