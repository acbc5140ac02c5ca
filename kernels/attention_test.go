package kernels_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

// guarded returns a copy of s that ends where readable memory ends.
func guarded(t testing.TB, s []float32) []float32 {
	g := kerneltest.Guard(t, len(s))
	copy(g, s)
	return g
}

// laneSizes are numbers of rows or columns around the edges of vectors of 8 and 16 lanes.
var laneSizes = []int{1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 31, 32, 33, 40, 47, 80}

func TestToLanes(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for lanes := set.GEMM.Lanes; lanes <= set.Queries; lanes += set.GEMM.Lanes {
			for rows := 1; rows <= lanes; rows++ {
				for i, cols := range laneSizes {
					a := kernels.ToLanesArgs{Rows: rows, Cols: cols, Lanes: lanes, Scale: 0.3}
					a.SrcStride, a.DstStride = cols+(rows+i)%3*3, lanes+(rows+i)%2*5
					checkToLanes(t, set, a, uint64(rows*100+cols))
				}
			}
		}
	})
}

func checkToLanes(t *testing.T, set *kernels.Set, a kernels.ToLanesArgs, seed uint64) {
	t.Helper()
	a.Src = guarded(t, kerneltest.Random(seed, (a.Rows-1)*a.SrcStride+a.Cols))
	a.Src[len(a.Src)/2] = float32(math.NaN())
	a.Dst = kerneltest.Guard(t, (a.Cols-1)*a.DstStride+a.Lanes)
	kerneltest.Fill(a.Dst)
	want := append([]float32(nil), a.Dst...) // untouched between the columns
	set.ToLanes(&a)
	for c := range a.Cols {
		for r := range a.Lanes {
			want[c*a.DstStride+r] = 0
			if r < a.Rows {
				want[c*a.DstStride+r] = a.Scale * a.Src[r*a.SrcStride+c]
			}
		}
	}
	kerneltest.Same(t, fmt.Sprintf("rows=%d/cols=%d/lanes=%d: Dst", a.Rows, a.Cols, a.Lanes), a.Dst, want)
}

func TestFromLanes(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		nr := set.Queries
		for rows := 1; rows <= nr; rows++ {
			for i, cols := range laneSizes {
				checkFromLanes(t, set, rows, cols, cols+(rows+i)%3*3, i%2 == 0, uint64(rows*100+cols))
			}
		}
	})
}

func checkFromLanes(t *testing.T, set *kernels.Set, rows, cols, stride int, add bool, seed uint64) {
	t.Helper()
	nr := set.Queries
	a := kernels.FromLanesArgs{
		Rows: rows, Cols: cols, Src: guarded(t, kerneltest.Random(seed, cols*nr)), Scale: guarded(t, kerneltest.Random(seed+1, nr)),
		Add: add, Dst: kerneltest.Guard(t, (rows-1)*stride+cols), DstStride: stride,
	}
	kerneltest.Fill(a.Dst)
	if add {
		for r := range rows {
			copy(a.Dst[r*stride:][:cols], kerneltest.Random(seed+2+uint64(r), cols))
		}
	}
	before := slices.Clone(a.Dst)
	set.FromLanes(&a)
	for i, got := range a.Dst {
		r, c := i/stride, i%stride
		if c >= cols {
			if !kerneltest.Untouched(got) {
				t.Fatalf("rows=%d/cols=%d: row %d, column %d was written", rows, cols, r, c)
			}
			continue
		}
		want := float64(a.Scale[r]) * float64(a.Src[c*nr+r])
		bound := 0x1p-24 * math.Abs(want)
		if add {
			want += float64(before[i])
			bound = 0x1.000001p-24 * math.Abs(want) // generic rounds twice
		}
		if !(math.Abs(float64(got)-want) <= bound) {
			t.Fatalf("rows=%d/cols=%d/add=%v: row %d, column %d is %g, want %g", rows, cols, add, r, c, got, want)
		}
	}
}

// softmaxCase is an online softmax over blocks of keys.
type softmaxCase struct {
	blocks [][]float32 // keys × NR
	nr     int
}

// run returns the probabilities of every block as they stand after it, and the final state.
func (c softmaxCase) run(t testing.TB, set *kernels.Set) (p [][]float32, a kernels.SoftmaxArgs) {
	a = kernels.SoftmaxArgs{Max: kerneltest.Guard(t, c.nr), Sum: kerneltest.Guard(t, c.nr), Alpha: kerneltest.Guard(t, c.nr)}
	for q := range a.Max {
		a.Max[q] = -math.MaxFloat32
	}
	for _, b := range c.blocks {
		a.Keys, a.S = len(b)/c.nr, guarded(t, b)
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
	for q := range c.nr {
		top, sum, off, keys := -math.MaxFloat32, 0.0, 0.0, 0
		for b, s := range c.blocks {
			before := top
			for k := range len(s) / c.nr {
				top = math.Max(top, float64(s[k*c.nr+q]))
			}
			error := func(x float64) float64 { return u*math.Abs(x) + 2*u } // relative, of exp2(x)
			alpha := math.Exp2(before - top)
			if b == len(c.blocks)-1 {
				near(t, set, "Alpha", q, a.Alpha[q], alpha, alpha*error(max(before-top, -200))+0x1p-149)
			}
			sum, off, keys = sum*alpha, off*alpha+sum*alpha*error(max(before-top, -200)), keys+len(s)/c.nr
			for k := range len(s) / c.nr {
				x := float64(s[k*c.nr+q]) - top
				want := math.Exp2(x)
				bound := want*error(max(x, -200)) + 0x1p-149
				near(t, set, fmt.Sprintf("P of block %d, key %d", b, k), q, p[b][k*c.nr+q], want, bound)
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

// scores are keys of random scores: normal ones, spread out so that a few win, or rising so that
// every block has a new maximum. A lane's values are a function of key and lane alone.
func scores(seed uint64, keys, nr int, spread, slope float32) []float32 {
	s := make([]float32, 0, keys*nr)
	for k := range keys {
		for _, v := range kerneltest.Random(seed+uint64(k), 64)[:nr] {
			s = append(s, spread*v+slope*float32(k))
		}
	}
	return s
}

func TestSoftmax(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		nr := set.Queries
		for _, keys := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 95, 96, 97} {
			for i, spread := range []float32{1, 30, 1000} {
				for _, slope := range []float32{0, 0.5, -0.5} {
					seed := uint64(keys * 10)
					softmaxCase{[][]float32{
						scores(seed, keys, nr, spread, slope),
						scores(seed+1000, 5, nr, spread, slope),
						scores(seed+2000, keys+i, nr, spread, slope),
					}, nr}.check(t, set)
				}
			}
		}
	})
}

// The edges that SoftmaxArgs names.
func TestSoftmaxSpecials(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	const low = -math.MaxFloat32
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		nr := set.Queries
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
					for range nr {
						s = append(s, v)
					}
				}
				return s
			}
			p, a := softmaxCase{[][]float32{lanes(c.first), lanes(c.then)}, nr}.run(t, set)
			last := p[1]
			kerneltest.Same(t, c.name+": Max", a.Max, lanes([]float32{c.max}))
			kerneltest.Same(t, c.name+": Sum", a.Sum, lanes([]float32{c.sum}))
			kerneltest.Same(t, c.name+": P", last[len(last)-nr:], lanes([]float32{c.p}))
		}
	})
}

// All assembly Sets give the same bits, exp2's subnormal results included.
func TestSoftmaxSameBits(t *testing.T) {
	var first []float32
	for _, set := range kernels.Available() {
		if set.ISA == kernels.Generic || set.ISA == kernels.NEON { // whose attention is generic's
			continue
		}
		nr := set.Queries
		p, a := softmaxCase{[][]float32{scores(1, 96, nr, 40, 0), scores(2, 37, nr, 40, 1)}, nr}.run(t, set)
		var got []float32
		for _, s := range append(p, a.Max, a.Sum, a.Alpha) {
			for ; len(s) > 0; s = s[nr:] {
				got = append(got, s[:16]...)
			}
		}
		if first == nil {
			first = got
		}
		kerneltest.Same(t, set.ISA.String(), got, first)
	}
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

func TestWeigh(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, rows := range []int{1, 2, 3, 5, 6, 7, 8, 11, 12, 13, 14, 15, 23, 24, 25, 40, 64, 80, 160, 161} {
			for i, keys := range []int{1, 2, 3, 4, 5, 31, 96} {
				checkWeigh(t, set, rows, keys, rows+(rows+i)%3*7, uint64(rows*100+keys))
			}
		}
	})
}

// checkWeigh compares with float64, within a rounding for each key and one for Alpha.
func checkWeigh(t *testing.T, set *kernels.Set, rows, keys, stride int, seed uint64) (o []float32) {
	t.Helper()
	nr := set.Queries
	a := kernels.WeighArgs{
		Rows: rows, Keys: keys, V: guarded(t, kerneltest.Random(seed, (keys-1)*stride+rows)), VStride: stride,
		P: guarded(t, scores(seed+1, keys, nr, 1, 0)), O: guarded(t, scores(seed+1000, rows, nr, 1, 0)),
		Alpha: guarded(t, scores(seed+2, 1, nr, 1, 0)),
	}
	want, bound := make([]float64, rows*nr), make([]float64, rows*nr)
	for i := range want {
		r, q := i/nr, i%nr
		want[i] = float64(a.Alpha[q]) * float64(a.O[i])
		bound[i] = math.Abs(want[i])
		for k := range keys {
			p := float64(a.V[k*stride+r]) * float64(a.P[k*nr+q])
			want[i] += p
			bound[i] += math.Abs(p)
		}
		bound[i] *= float64(keys+1) * 0x1p-24
	}
	set.Weigh(&a)
	kerneltest.Near(t, fmt.Sprintf("rows=%d/keys=%d/stride=%d: O", rows, keys, stride), a.O, want, func(i int) float64 { return bound[i] })
	return a.O
}

// A row is the same chain whatever number of rows is asked for, on every assembly Set.
func TestWeighSameBits(t *testing.T) {
	for _, rows := range []int{1, 7, 12, 40} {
		var first []float32
		for _, set := range kernels.Available() {
			if set.ISA == kernels.Generic || set.ISA == kernels.NEON { // whose attention is generic's
				continue
			}
			o, nr := checkWeigh(t, set, rows, 50, 45, 7), set.Queries
			var got []float32
			for r := range rows {
				got = append(got, o[r*nr:][:16]...)
			}
			if first == nil {
				first = got
			}
			kerneltest.Same(t, fmt.Sprintf("%v, rows=%d", set.ISA, rows), got, first)
		}
	}
}

// NaN and infinities in V reach the outputs of their row and no other.
func TestWeighSpecials(t *testing.T) {
	inf := float32(math.Inf(1))
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		nr := set.Queries
		const rows, keys = 5, 3
		a := kernels.WeighArgs{Rows: rows, Keys: keys, V: make([]float32, rows*keys), VStride: rows,
			P: make([]float32, keys*nr), O: make([]float32, rows*nr), Alpha: make([]float32, nr)}
		for i := range a.P {
			a.P[i] = 1
		}
		a.V[1*rows+1], a.V[1*rows+3] = float32(math.NaN()), inf
		a.V[2*rows+4], a.V[0*rows+4] = inf, -inf
		set.Weigh(&a)
		for r, want := range []float32{0, float32(math.NaN()), 0, inf, float32(math.NaN())} {
			kerneltest.Same(t, fmt.Sprintf("row %d", r), a.O[r*nr:][:1], []float32{want})
			kerneltest.Same(t, fmt.Sprintf("row %d", r), a.O[r*nr+nr-1:][:1], []float32{want})
		}
	})
}

func FuzzAttentionKernels(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(40), uint8(77), uint8(1), false)
	f.Fuzz(func(t *testing.T, seed uint64, rows, cols, keys, slack uint8, add bool) {
		r := rand.New(rand.NewPCG(seed, 0))
		for _, set := range kernels.Available() {
			nr := set.Queries
			rows, cols, keys := 1+int(rows)%nr, 1+int(cols), 1+int(keys)
			lanes := max(set.GEMM.Width(rows), set.GEMM.Width(1+r.IntN(nr)))
			checkToLanes(t, set, kernels.ToLanesArgs{Rows: rows, Cols: cols, Lanes: lanes, Scale: 0.7,
				SrcStride: cols + int(slack), DstStride: lanes + r.IntN(9)}, seed)
			checkFromLanes(t, set, rows, cols, cols+int(slack), add, seed)
			checkScore(t, set, keys, cols, cols+int(slack), add, seed)
			checkWeigh(t, set, cols, keys, cols+int(slack), seed)
			spread := float32(math.Exp(8 * r.Float64()))
			softmaxCase{[][]float32{scores(seed, keys, nr, spread, 0), scores(seed+1, rows, nr, spread, 1)}, nr}.check(t, set)
		}
	})
}
