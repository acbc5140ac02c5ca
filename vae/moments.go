package vae

import (
	"fmt"

	"github.com/lanewise/lanewise/internal/portable"
	"github.com/lanewise/lanewise/tensor"
)

// Moments are what an encoder makes of images: for every value of the latents a normal
// distribution that it is drawn from (Kingma & Welling 2014, "Auto-encoding variational Bayes").
type Moments struct {
	// Mean is the likeliest latent.
	Mean tensor.NHWC
	// LogVar is the logarithm of the variance, within [−30, 20]. It has no Data for an
	// AutoencoderTiny, whose latents are Mean.
	LogVar tensor.NHWC
}

// logVarMin and logVarMax are where diffusers cuts logarithms of variances.
const logVarMin, logVarMax = -30, 20

// Std fills dst with the standard deviations, e^(LogVar/2), which are 0 where there are no
// variances. dst may be LogVar. Std panics unless dst has Mean's shape.
func (m Moments) Std(dst tensor.NHWC) { m.fill("standard deviations", dst, dst, m.std) }

// Sample fills dst with Mean + Std · noise, where noise is drawn from the standard normal
// distribution (sampler.Noise). dst may be any of the three. Without variances it is Mean. Sample
// panics unless dst and noise have Mean's shape.
func (m Moments) Sample(dst, noise tensor.NHWC) {
	m.fill("noise", dst, noise, func(r, c int, v float32) float32 {
		return m.Mean.Tokens().Row(r)[c] + float32(m.std(r, c, 0)*v)
	})
}

// std returns a standard deviation.
func (m Moments) std(r, c int, _ float32) float32 {
	if m.LogVar.Data == nil {
		return 0
	}
	return float32(portable.Exp(float64(0.5 * m.LogVar.Tokens().Row(r)[c])))
}

// fill fills dst with a function of row, channel and the value of src at its place.
func (m Moments) fill(what string, dst, src tensor.NHWC, f func(r, c int, v float32) float32) {
	dst.Check("vae: dst")
	src.Check("vae: " + what)
	if !dst.SameShape(m.Mean) || !src.SameShape(m.Mean) || m.LogVar.Data != nil && !m.LogVar.SameShape(m.Mean) {
		panic(fmt.Sprintf("vae: %s %s into %s for moments %s", what, src.Shape(), dst.Shape(), m.Mean.Shape()))
	}
	to, from := dst.Tokens(), src.Tokens()
	for r := range to.Rows {
		row, values := to.Row(r), from.Row(r)
		for c := range row {
			row[c] = f(r, c, values[c])
		}
	}
}
