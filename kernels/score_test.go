package kernels_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

func TestScore(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, keys := range []int{1, 2, 3, 5, 6, 7, 8, 11, 12, 13, 14, 15, 27, 28, 29, 43, 77, 112} {
			for i, cols := range []int{1, 2, 3, 4, 5, 8, 31, 40} {
				checkScore(t, set, keys, cols, cols+(keys+i)%3*7, i%2 == 0, uint64(keys*100+cols))
			}
		}
	})
}

// checkScore compares with float64, within a rounding for each column and one for the mask.
func checkScore(t *testing.T, set *kernels.Set, keys, cols, stride int, masked bool, seed uint64) (s []float32) {
	t.Helper()
	nr := set.Queries
	a := kernels.ScoreArgs{
		Keys: keys, Cols: cols, K: guarded(t, kerneltest.Random(seed, (keys-1)*stride+cols)), KStride: stride,
		Q: guarded(t, scores(seed+1, cols, nr, 1, 0)), S: kerneltest.Guard(t, keys*nr),
	}
	kerneltest.Fill(a.S)
	if masked {
		a.Mask = guarded(t, scores(seed+1000, keys, nr, 100, 0))
	}
	want, bound := make([]float64, keys*nr), make([]float64, keys*nr)
	for i := range want {
		k, q := i/nr, i%nr
		for c := range cols {
			p := float64(a.K[k*stride+c]) * float64(a.Q[c*nr+q])
			want[i] += p
			bound[i] += math.Abs(p)
		}
		if masked {
			want[i] += float64(a.Mask[i])
			bound[i] += math.Abs(float64(a.Mask[i]))
		}
		bound[i] *= float64(cols+1) * 0x1p-24
	}
	set.Score(&a)
	kerneltest.Near(t, fmt.Sprintf("keys=%d/cols=%d/stride=%d/mask=%v: S", keys, cols, stride, masked), a.S, want,
		func(i int) float64 { return bound[i] })
	return a.S
}

// A score is the same chain whatever number of keys is asked for, on every assembly Set.
func TestScoreSameBits(t *testing.T) {
	for _, keys := range []int{1, 7, 14, 40} {
		var first []float32
		for _, set := range kernels.Available() {
			if set.ISA == kernels.Generic || set.ISA == kernels.NEON { // whose attention is generic's
				continue
			}
			s, nr := checkScore(t, set, keys, 45, 50, true, 7), set.Queries
			var got []float32
			for k := range keys {
				got = append(got, s[k*nr:][:16]...)
			}
			if first == nil {
				first = got
			}
			kerneltest.Same(t, fmt.Sprintf("%v, keys=%d", set.ISA, keys), got, first)
		}
	}
}

// A mask is added to the sum, not summed upon: one of large magnitude costs one rounding.
func TestScoreAddsMaskLast(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		nr := set.Queries
		const cols = 64
		a := kernels.ScoreArgs{Keys: 1, Cols: cols, K: make([]float32, cols), KStride: cols,
			Q: make([]float32, cols*nr), Mask: make([]float32, nr), S: make([]float32, nr)}
		for c := range cols {
			a.K[c] = 0x1p-11 // lost one by one beside the mask
		}
		for i := range a.Q {
			a.Q[i] = 1
		}
		for q := range nr {
			a.Mask[q] = -1 << 14
		}
		set.Score(&a)
		for q, s := range a.S {
			if want := float32(-1<<14 + cols*0x1p-11); s != want {
				t.Fatalf("S[%d] = %v, want %v", q, s, want)
			}
		}
	})
}
