package unet_test

import (
	"context"
	"fmt"
	"io/fs"
	"log"

	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/models/emoji"
	"github.com/lanewise/lanewise/tensor"
	"github.com/lanewise/lanewise/unet"
)

// The U-Net of the embedded emoji model, in one forward pass with and without a condition. Any
// directory of diffusers' will do: os.DirFS("stable-diffusion-v1-5/unet").
func Example() {
	e, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	dir, err := fs.Sub(emoji.Files(), "unet")
	if err != nil {
		log.Fatal(err)
	}
	m, err := unet.Load(e, dir)
	if err != nil {
		log.Fatal(err)
	}
	s, err := m.Session(2, 32, 32)
	if err != nil {
		log.Fatal(err)
	}

	words := tensor.MakeMat(16, m.Config.ContextDim) // from a text encoder
	without := cond.Cond{Context: []cond.Context{{Tokens: words}}, Class: 5}
	with := cond.Cond{Context: []cond.Context{{Tokens: words}}, Class: 0}
	b, err := s.Bind(without, with)
	if err != nil {
		log.Fatal(err)
	}

	x := tensor.Make(1, 32, 32, m.Config.InChannels) // from a sampler
	out := tensor.Make(2, 32, 32, m.Config.OutChannels)
	if err := b.Forward(context.Background(), out, x, 999); err != nil {
		log.Fatal(err)
	}
	fmt.Println("x", x.Shape(), "out", out.Shape())

	without.Class = 6
	_, err = s.Bind(without, with)
	fmt.Println(err)
	// Output:
	// x 1×32×32×3 out 2×32×32×3
	// unet: condition 0: class 6 of 6, want 0 to 5
}
