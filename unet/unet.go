// Package unet runs the U-Nets of latent and pixel diffusion models, diffusers' UNet2DConditionModel
// and UNet2DModel, and the ControlNets that go with them.
//
//	m, err := unet.Load(e, os.DirFS("stable-diffusion-v1-5/unet"))
//	s, err := m.Session(2, 64, 64)  // two images of 64 × 64: memory and program
//	b, err := s.Bind(uncond, cond)  // conditions checked, keys and values projected
//	err = b.Forward(ctx, out, x, t) // as often as there are steps
//
// A condition enters by the mechanism that the model was trained with, all of them fields of a
// cond.Cond:
//
//	Context            softmax(q·kᵀ/√d)·v in cross-attention, with k and v of the text's tokens
//	                   and, for a model with adapters (Adapt), of an image's beside them
//	Class, Vector      added to the time embedding or put beside it; with Config.ScaleShift it
//	Pooled, Sizes      scales and shifts the norms of residual blocks
//	Guidance           added to the time's sinusoid
//	Concat             channels behind those of the input
//	Residual           added to skips and middle (ControlNet), or to the levels on the way down
//
// All that can be wrong is found before the first Forward. What depends on conditions alone is
// computed by Bind, not in every step. A result depends neither on the number of workers nor on what
// else is in the batch.
//
// [Config] describes a model by what it does; how diffusers' names and options map to it is in
// kinds.go, read.go and keys.go.
package unet
