// Package unet runs the U-Net of latent and pixel diffusion models, diffusers'
// UNet2DConditionModel.
//
//	m, err := unet.Load(e, os.DirFS("stable-diffusion-v1-5/unet"))
//	s, err := m.Session(2, 64, 64)  // two images of 64 × 64: memory and program
//	b, err := s.Bind(uncond, cond)  // conditions checked, keys and values projected
//	err = b.Forward(ctx, out, x, t) // as often as there are steps
//
// All that can be wrong is found before the first Forward. A result depends neither on the number
// of workers nor on what else is in the batch.
package unet
