package kernels_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

func TestScore(t *testing.T) {
	eachWidth(t, func(t *testing.T, set *kernels.Set, lanes int) {
		for _, keys := range []int{1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 18, 19, 27, 28, 29, 43, 77, 96} {
			for i, cols := range []int{1, 2, 3, 4, 5, 8, 31, 40} {
				a := kernels.ScoreArgs{Keys: keys, Cols: cols, Lanes: lanes, KStride: cols + (keys+i)%3*7}
				checkScore(t, set, a, i/2%2 == 0, i%2 == 0, 0, uint64(keys*100+cols))
			}
		}
	})
}

// checkScore compares with float64, within a rounding for each column and three for the bias and the
// mask.
func checkScore(t *testing.T, set *kernels.Set, a kernels.ScoreArgs, biased, masked bool, first int, seed uint64) (s []float32) {
	t.Helper()
	a.K = guarded(t, kerneltest.Random(seed, (a.Keys-1)*a.KStride+a.Cols))
	a.Q = guarded(t, query(seed+1, a.Cols, a.Lanes, first, 1, 0))
	a.S = kerneltest.Guard(t, a.Keys*a.Lanes)
	kerneltest.Fill(a.S)
	if biased {
		a.Bias = guarded(t, kerneltest.Random(seed+2, a.Keys))
	}
	if masked {
		a.Mask = guarded(t, query(seed+1000, a.Keys, a.Lanes, first, 100, 0))
	}
	want, bound := make([]float64, a.Keys*a.Lanes), make([]float64, a.Keys*a.Lanes)
	for i := range want {
		k, q := i/a.Lanes, i%a.Lanes
		for c := range a.Cols {
			p := float64(a.K[k*a.KStride+c]) * float64(a.Q[c*a.Lanes+q])
			want[i] += p
			bound[i] += math.Abs(p)
		}
		if biased {
			want[i] += float64(a.Bias[k])
			bound[i] += math.Abs(float64(a.Bias[k]))
		}
		if masked {
			m := float64(a.Mask[i]) * math.Log2E
			want[i] += m
			bound[i] += math.Abs(m)
		}
		bound[i] *= float64(a.Cols+3) * 0x1p-24
	}
	set.Score(&a)
	what := fmt.Sprintf("keys=%d/cols=%d/lanes=%d/stride=%d/bias=%v/mask=%v: S", a.Keys, a.Cols, a.Lanes, a.KStride, biased, masked)
	kerneltest.Near(t, what, a.S, want, func(i int) float64 { return bound[i] })
	return a.S
}

// A score is the same chain whatever number of keys is asked for.
func TestScoreSameBits(t *testing.T) {
	for _, keys := range []int{1, 7, 14, 40} {
		sameQueries(t, func(t *testing.T, set *kernels.Set, first, lanes int) []float32 {
			return checkScore(t, set, kernels.ScoreArgs{Keys: keys, Cols: 45, Lanes: lanes, KStride: 50}, true, true, first, 7)
		})
	}
}

// What is fetched ahead changes nothing and may end anywhere.
func TestScoreFetch(t *testing.T) {
	eachWidth(t, func(t *testing.T, set *kernels.Set, lanes int) {
		for _, keys := range []int{1, 13, 50} {
			a := kernels.ScoreArgs{Keys: keys, Cols: 9, Lanes: lanes, KStride: 10}
			want := checkScore(t, set, a, true, false, 0, 7)
			for _, fetched := range []int{1, 5, 64, 300} {
				a.FetchRows, a.FetchCols, a.FetchStride = fetched, 1+fetched/2, fetched
				a.Fetch = kerneltest.Guard(t, (fetched-1)*a.FetchStride+a.FetchCols)
				kerneltest.Same(t, fmt.Sprintf("keys=%d, fetched=%d", keys, fetched), checkScore(t, set, a, true, false, 0, 7), want)
			}
		}
	})
}

// Bias and Mask are added to the sum, not summed upon: one of large magnitude costs one rounding.
func TestScoreAddsLast(t *testing.T) {
	eachWidth(t, func(t *testing.T, set *kernels.Set, lanes int) {
		const cols = 64
		a := kernels.ScoreArgs{Keys: 1, Cols: cols, Lanes: lanes, K: make([]float32, cols), KStride: cols,
			Q: make([]float32, cols*lanes), S: make([]float32, lanes)}
		for c := range cols {
			a.K[c] = 0x1p-11 // lost one by one beside what is added
		}
		for i := range a.Q {
			a.Q[i] = 1
		}
		check := func(added float32) {
			t.Helper()
			set.Score(&a)
			for q, s := range a.S {
				if want := added + cols*0x1p-11; s != want {
					t.Fatalf("S[%d] = %v, want %v", q, s, want)
				}
			}
		}
		a.Bias = []float32{-1 << 14}
		check(-1 << 14)
		a.Bias, a.Mask = nil, make([]float32, lanes)
		for q := range a.Mask {
			a.Mask[q] = -1 << 14
		}
		m := float32(-1 << 14)
		check(m * float32(math.Log2E))
	})
}

// A mask comes in natural units, and what is finite stays so.
func TestScoreMaskSpecials(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	const largest = float32(math.MaxFloat32)
	masks := []struct{ mask, want float32 }{ // beside a score of 1
		{0, 1}, {-inf, -inf}, {inf, inf}, {nan, nan}, {-largest, -largest}, {largest, largest},
		{-3e38, -largest}, {3e38, largest}, {-0x1p127, -0x1p127 * float32(math.Log2E)}, {2, 1 + 2*float32(math.Log2E)},
	}
	eachWidth(t, func(t *testing.T, set *kernels.Set, lanes int) {
		for shift := range masks {
			a := kernels.ScoreArgs{Keys: 1, Cols: 1, Lanes: lanes, K: []float32{1}, KStride: 1,
				Q: make([]float32, lanes), Mask: make([]float32, lanes), S: make([]float32, lanes)}
			want := make([]float32, lanes)
			for q := range lanes {
				m := masks[(q+shift)%len(masks)]
				a.Q[q], a.Mask[q], want[q] = 1, m.mask, m.want
			}
			set.Score(&a)
			kerneltest.Same(t, "S", a.S, want)
		}
	})
}
