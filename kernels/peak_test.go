package kernels_test

import (
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

// Peak counts what it did: twice as many rounds are twice the work, and a round is at least one
// multiply-add.
func TestPeak(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		one, ten, none := kernels.PeakArgs{Iterations: 1}, kernels.PeakArgs{Iterations: 10}, kernels.PeakArgs{FLOP: 1}
		set.Peak(&one)
		set.Peak(&ten)
		set.Peak(&none)
		if one.FLOP < 2 || ten.FLOP != 10*one.FLOP || none.FLOP != 0 {
			t.Errorf("%d FLOP in no rounds, %d in one, %d in ten", none.FLOP, one.FLOP, ten.FLOP)
		}
	})
}

func TestTriad(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, n := range []int{0, 64, 128, 640} {
			b, c, dst := newOperand(t, 1, 1, n, 0), newOperand(t, 2, 1, n, 0), newOperand(t, 0, 1, n, 0)
			set.Triad(&kernels.TriadArgs{Dst: dst.data, B: b.data, C: c.data, S: 3})
			want := make([]float64, n)
			for i := range want {
				want[i] = 3*float64(c.data[i]) + float64(b.data[i])
			}
			kerneltest.Near(t, kerneltest.Name("n", n), dst.data, want, func(i int) float64 { return 1.01 * ulp * max(want[i], -want[i]) })
		}
	})
}
