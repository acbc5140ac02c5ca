package conv_test

import (
	"math"
	"testing"

	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

// TestErrors holds every algorithm to the rounding errors that are the reason to allow it or not
// (Accuracy.allows), by the root of their mean square beside that of the exact result, on normally distributed
// values. A chain over all channels in place of pieces, or points of worse conditioning, does not pass: the room of
// 30 % is for the choice of the operands.
func TestErrors(t *testing.T) {
	const room = 1.3
	channels := []int{64, 320, 1280}
	if testing.Short() {
		channels = channels[:2]
	}
	cases := []struct {
		by      conv.Algorithm
		figures []float64 // in 1e-7, measured by bench/errors on larger images; those of phases here
	}{
		{conv.Direct, []float64{4.3, 9.5, 18.6}},
		{conv.Winograd2, []float64{2.6, 3.3, 3.7}},
		{conv.Winograd4, []float64{7.7, 9.5, 11.1}},
		{conv.Winograd6, []float64{32, 41, 46}},
		{conv.Phases, []float64{2.8, 6.7, 12.2}},
		{conv.PhasesWinograd, []float64{5.7, 7.5, 8.8}},
	}
	e := kerneltest.Engine(t, kernels.Available()[0], 2) // all that are not generic have the same bits
	for i, in := range channels {
		exact := make(map[bool][]kerneltest.Approx) // whether enlarged
		for _, c := range cases {
			l := layer{n: 1, h: 12, w: 12, in: in, out: 16, g: conv.Same(3)}
			phases := c.by == conv.Phases || c.by == conv.PhasesWinograd
			if phases {
				l.h, l.w = 6, 6
				l = l.enlarged(12, 12)
			}
			if exact[phases] == nil {
				exact[phases] = l.truth(l.operands(t))
			}
			l.by = c.by
			for _, l.stored = range []bool{true, false} {
				if l.stored && !l.by.Tiled() {
					continue
				}
				o := l.operands(t)
				l.run(e, o)
				var off, all float64
				for i, v := range o.dst.Data {
					x := exact[phases][i].V
					off += (float64(v) - x) * (float64(v) - x)
					all += x * x
				}
				if rms := math.Sqrt(off/all) * 1e7; !(rms <= room*c.figures[i]) {
					t.Errorf("%v of %d channels: errors of %.1f·10⁻⁷, %.1f elsewhere", l.plan(), in, rms, c.figures[i])
				}
			}
		}
	}
}
