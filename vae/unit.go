package vae

import "github.com/lanewise/lanewise/tensor"

// Unit puts latents between 0 and 1, in place, so that they can be stored as a picture:
//
//	z = clamp(z/(2·Magnitude) + Shift, 0, 1)
//
// It is diffusers' scale_latents, and has no bearing on what a diffusion model takes.
func (c *TinyConfig) Unit(z tensor.NHWC) {
	width, shift := float32(2*c.Magnitude), float32(c.Shift)
	c.each(z, func(row []float32) {
		for i, v := range row {
			row[i] = min(max(v/width+shift, 0), 1)
		}
	})
}

// FromUnit undoes Unit where it did not clamp: z = (z − Shift)·2·Magnitude, in place. It is
// diffusers' unscale_latents.
func (c *TinyConfig) FromUnit(z tensor.NHWC) {
	width, shift := float32(2*c.Magnitude), float32(c.Shift)
	c.each(z, func(row []float32) {
		for i, v := range row {
			row[i] = float32((v - shift) * width)
		}
	})
}
