package kernels_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

func TestWeigh(t *testing.T) {
	eachWidth(t, func(t *testing.T, set *kernels.Set, lanes int) {
		for _, rows := range []int{1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 18, 19, 23, 24, 25, 29, 40, 64, 80, 160, 161} {
			for i, keys := range []int{1, 2, 3, 4, 5, 31, 96} {
				a := kernels.WeighArgs{Rows: rows, Keys: keys, Lanes: lanes, VStride: rows + (rows+i)%3*7}
				checkWeigh(t, set, a, i%3 == 0, 0, uint64(rows*100+keys))
			}
		}
	})
}

// checkWeigh compares with float64, within a rounding for each key and one for Alpha, which is nil where
// the sums start afresh.
func checkWeigh(t *testing.T, set *kernels.Set, a kernels.WeighArgs, afresh bool, first int, seed uint64) (o []float32) {
	t.Helper()
	a.V = guarded(t, kerneltest.Random(seed, (a.Keys-1)*a.VStride+a.Rows))
	a.P = guarded(t, query(seed+1, a.Keys, a.Lanes, first, 1, 0))
	a.O = guarded(t, query(seed+1000, a.Rows, a.Lanes, first, 1, 0))
	want, bound := make([]float64, a.Rows*a.Lanes), make([]float64, a.Rows*a.Lanes)
	if afresh {
		for i := range a.O {
			a.O[i] = float32(math.NaN())
		}
	} else {
		a.Alpha = guarded(t, query(seed+2, 1, a.Lanes, first, 1, 0))
		for i := range want {
			want[i] = float64(a.Alpha[i%a.Lanes]) * float64(a.O[i])
		}
	}
	for i := range want {
		r, q := i/a.Lanes, i%a.Lanes
		bound[i] = math.Abs(want[i])
		for k := range a.Keys {
			p := float64(a.V[k*a.VStride+r]) * float64(a.P[k*a.Lanes+q])
			want[i] += p
			bound[i] += math.Abs(p)
		}
		bound[i] *= float64(a.Keys+1) * 0x1p-24
	}
	set.Weigh(&a)
	what := fmt.Sprintf("rows=%d/keys=%d/lanes=%d/stride=%d/afresh=%v: O", a.Rows, a.Keys, a.Lanes, a.VStride, afresh)
	kerneltest.Near(t, what, a.O, want, func(i int) float64 { return bound[i] })
	return a.O
}

// A row is the same chain whatever number of rows is asked for.
func TestWeighSameBits(t *testing.T) {
	for _, rows := range []int{1, 7, 12, 40} {
		sameQueries(t, func(t *testing.T, set *kernels.Set, first, lanes int) []float32 {
			return checkWeigh(t, set, kernels.WeighArgs{Rows: rows, Keys: 50, Lanes: lanes, VStride: 45}, false, first, 7)
		})
	}
}

// What is fetched ahead changes nothing and may end anywhere.
func TestWeighFetch(t *testing.T) {
	eachWidth(t, func(t *testing.T, set *kernels.Set, lanes int) {
		for _, rows := range []int{1, 13, 50} {
			a := kernels.WeighArgs{Rows: rows, Keys: 9, Lanes: lanes, VStride: rows}
			want := checkWeigh(t, set, a, false, 0, 7)
			for _, fetched := range []int{1, 5, 64, 300} {
				a.FetchRows, a.FetchCols, a.FetchStride = fetched, 1+fetched/2, fetched
				a.Fetch = kerneltest.Guard(t, (fetched-1)*a.FetchStride+a.FetchCols)
				kerneltest.Same(t, fmt.Sprintf("rows=%d, fetched=%d", rows, fetched), checkWeigh(t, set, a, false, 0, 7), want)
			}
		}
	})
}

// NaN and infinities in V reach the outputs of their row and no other.
func TestWeighSpecials(t *testing.T) {
	inf := float32(math.Inf(1))
	eachWidth(t, func(t *testing.T, set *kernels.Set, lanes int) {
		const rows, keys = 5, 3
		a := kernels.WeighArgs{Rows: rows, Keys: keys, Lanes: lanes, V: make([]float32, rows*keys), VStride: rows,
			P: make([]float32, keys*lanes), O: make([]float32, rows*lanes), Alpha: make([]float32, lanes)}
		for i := range a.P {
			a.P[i] = 1
		}
		a.V[1*rows+1], a.V[1*rows+3] = float32(math.NaN()), inf
		a.V[2*rows+4], a.V[0*rows+4] = inf, -inf
		set.Weigh(&a)
		for r, want := range []float32{0, float32(math.NaN()), 0, inf, float32(math.NaN())} {
			kerneltest.Same(t, fmt.Sprintf("row %d", r), a.O[r*lanes:][:1], []float32{want})
			kerneltest.Same(t, fmt.Sprintf("row %d", r), a.O[r*lanes+lanes-1:][:1], []float32{want})
		}
	})
}
