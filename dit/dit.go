// Package dit runs denoisers that are transformers over patches of an image: DiT, conditioned on a class
// (Peebles & Xie 2023, "Scalable Diffusion Models with Transformers"), and PixArt-α and -Σ, conditioned
// on a text (Chen et al. 2023, 2024). In diffusers they are DiTTransformer2DModel,
// PixArtTransformer2DModel and, in older files, Transformer2DModel.
//
//	m, err := dit.Load(e, os.DirFS("DiT-XL-2-256/transformer"))
//	s, err := m.Session(2, 32, 32)  // two latent images of 32 × 32: memory and program
//	b, err := s.Bind(uncond, label) // conditions checked; labels looked up, captions projected
//	err = b.Forward(ctx, out, x, t) // as often as there are steps
//
// Time, and what else is a vector, enters through adaptive norms (AdaLN-Zero): it scales and shifts what
// each attention and each feed-forward network sees, and gates what they add.
//
// Most such models have learned a variance beside the noise: out then has twice the channels of x, the
// first half of which is what a sampler wants.
//
// All that can be wrong is found before the first Forward. A result depends neither on the number
// of workers nor on what else is in the batch.
package dit
