package vae_test

import (
	"context"
	"fmt"
	"io/fs"
	"log"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/tensor"
	"github.com/lanewise/lanewise/vae"
)

// An image to latents and back. Any directory of diffusers' will do:
// os.DirFS("stable-diffusion-v1-5/vae").
func Example() {
	e, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	const config = `{"_class_name": "AutoencoderKL", "block_out_channels": [8, 16, 16], "norm_num_groups": 4,
		"down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
		"up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"]}`
	dir := modeltest.Files(config, "diffusion_pytorch_model", 1, func(fsys fs.FS) error {
		_, err := vae.Load(e, fsys)
		return err
	})

	ctx := context.Background()
	m, err := vae.Load(e, dir)
	if err != nil {
		log.Fatal(err)
	}
	encoder, err := m.Encoder(1, 32, 48)
	if err != nil {
		log.Fatal(err)
	}
	image := tensor.Make(1, 32, 48, 3) // values from −1 to 1
	moments := encoder.Moments()
	if err := encoder.Encode(ctx, moments, image); err != nil {
		log.Fatal(err)
	}
	z, noise := tensor.Make(1, 8, 12, 4), tensor.Make(1, 8, 12, 4) // noise from sampler.Noise
	moments.Sample(z, noise)
	m.Config.Scale(z)
	fmt.Println("image", image.Shape(), "latents", z.Shape())

	// … a diffusion model at work …

	m.Config.Unscale(z)
	decoder, err := m.Decoder(1, 8, 12)
	if err != nil {
		log.Fatal(err)
	}
	if err := decoder.Decode(ctx, image, z); err != nil {
		log.Fatal(err)
	}
	fmt.Println("latents", z.Shape(), "image", image.Shape())
	// Output:
	// image 1×32×48×3 latents 1×8×12×4
	// latents 1×8×12×4 image 1×32×48×3
}

// A tiny autoencoder decodes what a large one encodes, nearly as well and at a fraction of the cost:
// Open takes the place of either. Any directory will do: os.DirFS("taesd").
func ExampleOpen() {
	e, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	const config = `{"_class_name": "AutoencoderTiny"}`
	dir := modeltest.Files(config, "diffusion_pytorch_model", 1, func(fsys fs.FS) error {
		_, err := vae.Open(e, fsys)
		return err
	})

	m, err := vae.Open(e, dir)
	if err != nil {
		log.Fatal(err)
	}
	decoder, err := m.Decoder(1, 4, 4)
	if err != nil {
		log.Fatal(err)
	}
	image := decoder.Images()
	if err := decoder.Decode(context.Background(), image, tensor.Make(1, 4, 4, m.Space().LatentChannels)); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%T: %s\n", m, image.Shape())
	// Output: *vae.Tiny: 1×32×32×3
}
