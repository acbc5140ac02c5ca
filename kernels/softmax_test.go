package kernels_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

// softmaxCase is an online softmax over blocks of keys.
type softmaxCase struct {
	blocks [][]float32 // keys × lanes
	lanes  int
}

// run returns the probabilities of every block as they stand after it, and the final state.
func (c softmaxCase) run(t testing.TB, set *kernels.Set) (p [][]float32, a kernels.SoftmaxArgs) {
	a = kernels.SoftmaxArgs{Lanes: c.lanes, Max: kerneltest.Guard(t, c.lanes), Sum: kerneltest.Guard(t, c.lanes), Alpha: kerneltest.Guard(t, c.lanes)}
	for q := range a.Max {
		a.Max[q] = -math.MaxFloat32
	}
	for _, b := range c.blocks {
		a.Keys, a.S = len(b)/c.lanes, guarded(t, b)
		set.Softmax(&a)
		p = append(p, a.S)
	}
	return p, a
}

// check compares with float64: a probability with two roundings of its argument's size and the 0.88
// units of exp2; a sum with one rounding for each key and each rescaling besides.
func (c softmaxCase) check(t testing.TB, set *kernels.Set) {
	t.Helper()
	const u = 0x1p-24
	p, a := c.run(t, set)
	for q := range c.lanes {
		top, sum, off, keys := -math.MaxFloat32, 0.0, 0.0, 0
		for b, s := range c.blocks {
			before := top
			for k := range len(s) / c.lanes {
				top = math.Max(top, float64(s[k*c.lanes+q]))
			}
			error := func(x float64) float64 { return u*math.Abs(x) + 2*u } // relative, of exp2(x)
			alpha := math.Exp2(before - top)
			if b == len(c.blocks)-1 {
				near(t, set, "Alpha", q, a.Alpha[q], alpha, alpha*error(max(before-top, -200))+0x1p-149)
			}
			sum, off, keys = sum*alpha, off*alpha+sum*alpha*error(max(before-top, -200)), keys+len(s)/c.lanes
			for k := range len(s) / c.lanes {
				x := float64(s[k*c.lanes+q]) - top
				want := math.Exp2(x)
				bound := want*error(max(x, -200)) + 0x1p-149
				near(t, set, fmt.Sprintf("P of block %d, key %d", b, k), q, p[b][k*c.lanes+q], want, bound)
				sum += want
				off += bound
			}
		}
		near(t, set, "Sum", q, a.Sum[q], sum, off+float64(keys+2*len(c.blocks))*u*sum)
		if float64(a.Max[q]) != top {
			t.Fatalf("%v: Max[%d] = %g, want %g", set.ISA, q, a.Max[q], top)
		}
	}
}

func near(t testing.TB, set *kernels.Set, what string, q int, got float32, want, bound float64) {
	t.Helper()
	if !(math.Abs(float64(got)-want) <= bound) {
		t.Fatalf("%v: %s, lane %d: %g, want %g ± %.3g", set.ISA, what, q, got, want, bound)
	}
}

func TestSoftmax(t *testing.T) {
	eachWidth(t, func(t *testing.T, set *kernels.Set, lanes int) {
		for _, keys := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 95, 96, 97} {
			for i, spread := range []float32{1, 30, 1000} {
				for _, slope := range []float32{0, 0.5, -0.5} {
					seed := uint64(keys * 10)
					softmaxCase{[][]float32{
						scores(seed, keys, lanes, spread, slope),
						scores(seed+1000, 5, lanes, spread, slope),
						scores(seed+2000, keys+i, lanes, spread, slope),
					}, lanes}.check(t, set)
				}
			}
		}
	})
}

// The edges that SoftmaxArgs names.
func TestSoftmaxSpecials(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	const low = -math.MaxFloat32
	eachWidth(t, func(t *testing.T, set *kernels.Set, width int) {
		for _, c := range []struct {
			name        string
			first, then []float32
			max, sum, p float32 // p: of the last key
		}{
			{"masked before any other", []float32{-inf, -inf}, []float32{3, -inf, 3}, 3, 2, 1},
			{"all masked", []float32{-inf, -inf}, []float32{-inf}, low, 0, 0},
			{"all masked by the lowest", []float32{low, low}, []float32{low}, low, 3, 1},
			{"the lowest, then a score", []float32{low, low}, []float32{-5}, -5, 1, 1},
			{"a score, then the lowest", []float32{-5}, []float32{low, low}, -5, 1, 0},
			{"NaN first", []float32{nan}, []float32{1, 2}, 2, nan, 1},
			{"NaN last", []float32{1}, []float32{2, nan}, 2, nan, nan},
			{"NaN between", []float32{1, nan, 4}, []float32{3}, 4, nan, 0.5},
			{"+Inf", []float32{1}, []float32{2, inf}, inf, nan, nan},
			{"subnormal", []float32{0}, []float32{-149, -140.5}, 0, 1, float32(math.Exp2(-140.5))},
			{"underflow", []float32{0}, []float32{-150}, 0, 1, 0},
			{"far apart", []float32{math.MaxFloat32}, []float32{low}, math.MaxFloat32, 1, 0},
		} {
			lanes := func(scores []float32) (s []float32) {
				for _, v := range scores {
					for range width {
						s = append(s, v)
					}
				}
				return s
			}
			p, a := softmaxCase{[][]float32{lanes(c.first), lanes(c.then)}, width}.run(t, set)
			last := p[1]
			kerneltest.Same(t, c.name+": Max", a.Max, lanes([]float32{c.max}))
			kerneltest.Same(t, c.name+": Sum", a.Sum, lanes([]float32{c.sum}))
			kerneltest.Same(t, c.name+": P", last[len(last)-width:], lanes([]float32{c.p}))
		}
	})
}

// Every query gets the same bits, exp2's subnormal results included.
func TestSoftmaxSameBits(t *testing.T) {
	sameQueries(t, func(t *testing.T, set *kernels.Set, first, lanes int) (all []float32) {
		p, a := softmaxCase{[][]float32{query(1, 96, lanes, first, 40, 0), query(200, 37, lanes, first, 40, 1)}, lanes}.run(t, set)
		for _, s := range append(p, a.Max, a.Sum, a.Alpha) {
			all = append(all, s...)
		}
		return all
	})
}

// The generator has exp2's constants of its own: its arithmetic is the portable one's, but for the
// rare value where a multiply-add emulated in float64 rounds twice.
func TestSoftmaxIsThePortableOne(t *testing.T) {
	portable, err := kernels.Lookup(kernels.Generic)
	if err != nil {
		t.Fatal(err)
	}
	const lanes, keys = 8, 2000 // lanes of a portable tile
	narrow := func(s []float32, nr int) (cut []float32) {
		for ; len(s) > 0; s = s[nr:] {
			cut = append(cut, s[:lanes]...)
		}
		return cut
	}
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		nr := set.Queries
		s := scores(1, keys, nr, 30, 0)
		got, _ := softmaxCase{[][]float32{s}, nr}.run(t, set)
		want, _ := softmaxCase{[][]float32{narrow(s, nr)}, lanes}.run(t, portable)
		different := 0
		for i, g := range narrow(got[0], nr) {
			w := want[0][i]
			if g == w {
				continue
			}
			different++
			if d := int64(math.Float32bits(g)) - int64(math.Float32bits(w)); d < -1 || d > 1 {
				t.Fatalf("P[%d] = %g, the portable kernel's %g", i, g, w)
			}
		}
		if different > keys*lanes/1000 {
			t.Errorf("%d of %d probabilities differ", different, keys*lanes)
		}
	})
}
