package norm_test

import (
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/norm"
	"github.com/lanewise/lanewise/tensor"
)

// coefficients returns canaries for the coefficients of an image, in rows that are further apart than
// they are wide.
func coefficients(s groupShape) norm.Coefficients {
	make := func() tensor.Mat {
		m := tensor.MakeMat(s.n, s.c+5)
		kerneltest.Fill(m.Data)
		return m.Columns(2, 2+s.c)
	}
	return norm.Coefficients{Mean: make(), Scale: make(), Shift: make()}
}

// apply returns what the norm's kernel makes of src.
func apply(set *kernels.Set, c norm.Coefficients, src tensor.NHWC) []float32 {
	dst := tensor.Make(src.N, src.H, src.W, src.C)
	for n := range src.N {
		from, to := src.Images(n, n+1), dst.Images(n, n+1)
		set.Affine(&kernels.AffineArgs{
			Rows: src.H * src.W, Cols: src.C, Src: from.Data, SrcStride: from.Stride,
			Mean: c.Mean.Row(n), Scale: c.Scale.Row(n), Shift: c.Shift.Row(n), Dst: to.Data, DstStride: to.Stride,
		})
	}
	return dst.Data
}

// The coefficients are those that Group and AdaGroup apply, whether they take the moments or are given
// them, and moments that are given leave nothing to be read.
func TestCoefficients(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, workers := range []int{1, 2, 7} {
			e := kerneltest.Engine(t, set, workers)
			for i, s := range groupShapes {
				a, src := affine(s.c, s.eps), random(s, uint64(i))
				scale, shift := modulation(s.n, s.c)
				unread := src
				unread.Data = make([]float32, len(src.Data))
				gathered := a
				gathered.Moments = moments(set, src)

				want := tensor.Make(s.n, s.h, s.w, s.c)
				check := func(what string, fill func(to norm.Coefficients)) {
					t.Helper()
					c := coefficients(s)
					fill(c)
					kerneltest.Same(t, kerneltest.Name("workers", workers, "of", what)+"/"+s.name(), apply(set, c, src), want.Data)
					for _, m := range []tensor.Mat{c.Mean, c.Scale, c.Shift} {
						kerneltest.UntouchedBetween(t, what, m)
					}
				}
				norm.Group(e, want, src, s.groups, a, kernels.Identity)
				check("group", func(c norm.Coefficients) { norm.GroupCoefficients(e, c, src, s.groups, a) })
				check("moments", func(c norm.Coefficients) { norm.GroupCoefficients(e, c, unread, s.groups, gathered) })
				norm.AdaGroup(e, want, src, s.groups, a, scale, shift, kernels.Identity)
				check("ada", func(c norm.Coefficients) { norm.AdaGroupCoefficients(e, c, src, s.groups, a, scale, shift) })
				check("ada moments", func(c norm.Coefficients) { norm.AdaGroupCoefficients(e, c, unread, s.groups, gathered, scale, shift) })
			}
		}
	})
}

func TestCoefficientsOfNothing(t *testing.T) {
	e := open(t, 2)
	for _, s := range []groupShape{{n: 0, h: 3, w: 3, c: 8}, {n: 2, h: 0, w: 3, c: 8}, {n: 2, h: 3, w: 3, c: 0}} {
		c := coefficients(s)
		norm.GroupCoefficients(e, c, tensor.Make(s.n, s.h, s.w, s.c), 2, norm.Affine{})
		for _, v := range c.Mean.Data {
			if !kerneltest.Untouched(v) {
				t.Errorf("%v: wrote %g", s, v)
			}
		}
	}
}

func TestCoefficientsDoNotAllocate(t *testing.T) {
	for _, workers := range []int{1, 2, 7} {
		e := open(t, workers)
		for _, s := range []groupShape{{n: 1, h: 16, w: 16, c: 64, groups: 32}, {n: 2, h: 40, w: 40, c: 32, groups: 8}} {
			x, a, c := random(s, 1), affine(s.c, 1e-5), coefficients(s)
			scale, shift := modulation(s.n, s.c)
			given := a
			given.Moments = moments(e.Set(), x)
			for what, f := range map[string]func(){
				"group":   func() { norm.GroupCoefficients(e, c, x, s.groups, a) },
				"ada":     func() { norm.AdaGroupCoefficients(e, c, x, s.groups, a, scale, shift) },
				"moments": func() { norm.GroupCoefficients(e, c, x, s.groups, given) },
			} {
				kerneltest.NoAllocations(t, kerneltest.Name("workers", workers, "of", what)+"/"+s.name(), f)
			}
		}
	}
}

func TestCoefficientsPanics(t *testing.T) {
	e, m := open(t, 1), tensor.MakeMat
	x := tensor.Make(2, 3, 3, 8)
	right := norm.Coefficients{Mean: m(2, 8), Scale: m(2, 8), Shift: m(2, 8)}
	of := func(mean, scale, shift tensor.Mat) func() {
		return func() {
			norm.GroupCoefficients(e, norm.Coefficients{Mean: mean, Scale: scale, Shift: shift}, x, 2, norm.Affine{})
		}
	}
	for name, f := range map[string]func(){
		"no mean":           of(tensor.Mat{}, m(2, 8), m(2, 8)),
		"one scale for two": of(m(2, 8), m(1, 8), m(2, 8)),
		"a narrow shift":    of(m(2, 8), m(2, 8), m(2, 7)),
		"groups":            func() { norm.GroupCoefficients(e, right, x, 3, norm.Affine{}) },
		"affine":            func() { norm.GroupCoefficients(e, right, x, 2, norm.Affine{Scale: make([]float32, 7)}) },
		"modulation":        func() { norm.AdaGroupCoefficients(e, right, x, 2, norm.Affine{}, m(2, 8), m(1, 8)) },
		"moments": func() {
			norm.GroupCoefficients(e, right, x, 2, norm.Affine{Moments: tensor.MakeMoments(2, 8, 8)})
		},
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
