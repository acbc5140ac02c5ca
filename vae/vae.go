// Package vae maps images to the latents that diffusion models work on, and back: diffusers'
// AutoencoderKL and AutoencoderTiny.
//
//	m, err := vae.Load(e, os.DirFS("stable-diffusion-v1-5/vae"))
//	enc, err := m.Encoder(1, 512, 512)          // one image of 512 × 512: memory and program
//	moments := enc.Moments()
//	err = enc.Encode(ctx, moments, image)       // image: values from −1 to 1
//	moments.Sample(z, noise)                    // z = mean + std·noise, 64 × 64
//	m.Config.Scale(z)                           // what a diffusion model takes
//
//	m.Config.Unscale(z)                         // what a diffusion model made
//	dec, err := m.Decoder(1, 64, 64)
//	err = dec.Decode(ctx, image, z)
//
// As in diffusers, encoding and decoding leave the scale of latents alone: Scale and Unscale are the
// caller's. A result depends neither on the number of workers nor on what else is in the batch.
package vae

import (
	"fmt"
	"io/fs"

	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/engine"
)

// Autoencoder is what a pipeline needs of a [Model] or a [Tiny].
type Autoencoder interface {
	// Space describes the latents.
	Space() Latents
	// Encoder prepares to encode batch images of height × width, with the default Options or those given.
	Encoder(batch, height, width int, options ...Options) (*Encoder, error)
	// Decoder prepares to decode batch latents of height × width, with the default Options or those given.
	Decoder(batch, height, width int, options ...Options) (*Decoder, error)
}

// Open reads an autoencoder of either kind, a *Model or a *Tiny: config.json says which.
func Open(e *engine.Engine, fsys fs.FS) (Autoencoder, error) {
	c, err := config.Open(fsys, "config.json")
	if err != nil {
		return nil, fmt.Errorf("vae: %w", err)
	}
	if c.String("_class_name", klClass, klClass, tinyClass) == tinyClass {
		return opened(LoadTiny(e, fsys))
	}
	if err := c.Err(); err != nil {
		return nil, fmt.Errorf("vae: %w", err)
	}
	return opened(Load(e, fsys))
}

// opened is m as an interface, without one around a nil pointer.
func opened[M Autoencoder](m M, err error) (Autoencoder, error) {
	if err != nil {
		return nil, err
	}
	return m, nil
}

// The classes of diffusers that there are here.
const klClass, tinyClass = "AutoencoderKL", "AutoencoderTiny"
