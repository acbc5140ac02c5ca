package norm

import (
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/tensor"
)

// Coefficients are what a group norm comes down to once its statistics are known: for the value x of
// channel c in image n,
//
//	fma(x − Mean[n][c], Scale[n][c], Shift[n][c])
//
// Each matrix is images × channels. They are those of gemm.Prologue: an operator that applies them
// while it reads an image saves the norm's passes over it, and gives the same bits.
type Coefficients struct{ Mean, Scale, Shift tensor.Mat }

// GroupCoefficients computes what Group would apply to src, and writes it to to. Where a.Moments holds
// the moments of src, nothing but its shape is looked at. What Group says of groups, a and the result's
// bits holds here too. For images without pixels nothing is written.
func GroupCoefficients(e *engine.Engine, to Coefficients, src tensor.NHWC, groups int, a Affine) {
	to.check(src)
	j := beginGroup(src, groups, a, tensor.Mat{}, tensor.Mat{})
	j.to = to
	j.end(e)
}

// AdaGroupCoefficients computes what AdaGroup would apply to src.
func AdaGroupCoefficients(e *engine.Engine, to Coefficients, src tensor.NHWC, groups int, a Affine, scale, shift tensor.Mat) {
	to.check(src)
	checkModulation("norm: scale", scale, src.N, src.C)
	checkModulation("norm: shift", shift, src.N, src.C)
	j := beginGroup(src, groups, a, scale, shift)
	j.to = to
	j.end(e)
}

// check panics unless there is a row for each image of src and a column for each channel.
func (c *Coefficients) check(src tensor.NHWC) {
	checkModulation("norm: mean coefficients", c.Mean, src.N, src.C)
	checkModulation("norm: scale coefficients", c.Scale, src.N, src.C)
	checkModulation("norm: shift coefficients", c.Shift, src.N, src.C)
}

// of returns those of channels c0 up to c1 of image n.
func (c *Coefficients) of(n, c0, c1 int) (means, scales, shifts []float32) {
	return c.Mean.Row(n)[c0:c1], c.Scale.Row(n)[c0:c1], c.Shift.Row(n)[c0:c1]
}

// part is v[lo:hi], or nil where v is.
func part(v []float32, lo, hi int) []float32 {
	if v == nil {
		return nil
	}
	return v[lo:hi]
}
