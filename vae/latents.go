package vae

import (
	"fmt"
	"slices"

	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/tensor"
)

// Latents says what an autoencoder's latents are like, and how a diffusion model wants them: of
// about unit variance.
type Latents struct {
	LatentChannels int
	// Factor is how many pixels along a side of the decoded image a latent becomes.
	Factor int
	// ScalingFactor and ShiftFactor are the scale and shift of all channels. Means and Stds, where
	// the model has both, are a mean and a standard deviation for each channel, in place of the shift.
	ScalingFactor, ShiftFactor float64
	Means, Stds                []float64
}

// Scale turns latents as they are encoded into what a diffusion model takes, in place:
//
//	z = (z − ShiftFactor) · ScalingFactor
//	z = (z − Means[c]) · ScalingFactor / Stds[c]    for channel c, where there are Means and Stds
//
// in float32, as diffusers' pipelines do. It panics unless z has LatentChannels.
func (l *Latents) Scale(z tensor.NHWC) {
	means, stds, scale := l.statistics()
	l.each(z, func(pixel []float32) {
		for c, v := range pixel {
			pixel[c] = float32((v-means[c])*scale) / stds[c]
		}
	})
}

// Unscale undoes Scale, in place: it turns what a diffusion model makes into what is decoded.
func (l *Latents) Unscale(z tensor.NHWC) {
	means, stds, scale := l.statistics()
	l.each(z, func(pixel []float32) {
		for c, v := range pixel {
			pixel[c] = float32(v*stds[c])/scale + means[c]
		}
	})
}

// statistics returns the mean and the standard deviation of each channel, and the scale of all.
func (l *Latents) statistics() (means, stds []float32, scale float32) {
	means = slices.Repeat([]float32{float32(l.ShiftFactor)}, l.LatentChannels)
	stds = slices.Repeat([]float32{1}, l.LatentChannels)
	if l.Means != nil && l.Stds != nil {
		for c := range means {
			means[c], stds[c] = float32(l.Means[c]), float32(l.Stds[c])
		}
	}
	return means, stds, float32(l.ScalingFactor)
}

// each calls f for every pixel of z.
func (l *Latents) each(z tensor.NHWC, f func(pixel []float32)) {
	z.Check("vae: latents")
	if z.C != l.LatentChannels {
		panic(fmt.Sprintf("vae: latents %s, want %d channels", z.Shape(), l.LatentChannels))
	}
	m := z.Tokens()
	for r := range m.Rows {
		f(m.Row(r))
	}
}

// readLatents reads what both classes say about their latents.
func readLatents(c *config.Config, scaling float64) Latents {
	l := Latents{
		LatentChannels: c.Size("latent_channels", 4),
		ScalingFactor:  c.Float("scaling_factor", scaling),
		ShiftFactor:    c.Float("shift_factor", 0),
	}
	if !finite(l.ScalingFactor) || l.ScalingFactor == 0 {
		c.Fail("scaling_factor", "a number other than 0")
	}
	if !finite(l.ShiftFactor) {
		c.Fail("shift_factor", "a number")
	}
	return l
}

// finite says whether x is a number and no infinity.
func finite(x float64) bool { return x-x == 0 }
