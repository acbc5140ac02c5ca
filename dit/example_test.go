package dit_test

import (
	"context"
	"fmt"
	"io/fs"
	"log"

	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/dit"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

// random is a model directory with random weights, in place of os.DirFS("DiT-XL-2-256/transformer").
func random(e *engine.Engine, config string) fs.FS {
	return modeltest.Files(config, "diffusion_pytorch_model", 1, func(fsys fs.FS) error {
		_, err := dit.Load(e, fsys)
		return err
	})
}

// A picture of a class, by classifier-free guidance: one x runs under two labels at once, the last of
// which is that of no class.
func Example() {
	e, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	m, err := dit.Load(e, random(e, classes))
	if err != nil {
		log.Fatal(err)
	}
	s, err := m.Session(2, 8, 8)
	if err != nil {
		log.Fatal(err)
	}
	none := cond.Cond{Class: m.Config.Labels - 1}
	b, err := s.Bind(none, cond.Cond{Class: 3})
	if err != nil {
		log.Fatal(err)
	}

	guided := sampler.Guide(func(ctx context.Context, out, x tensor.NHWC, p sampler.Point) error {
		return b.Forward(ctx, out, x, p.T)
	}, 4)
	x := tensor.Make(1, 8, 8, m.Config.InChannels) // from a sampler
	sampler.Noise(x, 7)
	out := tensor.Make(1, 8, 8, m.Config.OutChannels)
	if err := guided(context.Background(), out, x, sampler.Point{T: 999, Alpha: 0.01, Sigma: 1}); err != nil {
		log.Fatal(err)
	}
	noise := out.Channels(0, x.C) // behind it is the variance that the model has learned
	fmt.Println("x", x.Shape(), "out", out.Shape(), "noise", noise.Shape())

	_, err = s.Bind(cond.Cond{Class: 6})
	fmt.Println(err)
	// Output:
	// x 1×8×8×4 out 1×8×8×8 noise 1×8×8×4
	// dit: condition 0: class 6 of 6, want 0 to 5
}

// A picture half way between two classes: vectors of labels, mixed.
func ExampleModel_Label() {
	e, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	m, err := dit.Load(e, random(e, classes))
	if err != nil {
		log.Fatal(err)
	}
	var vectors [][]float32
	for _, class := range []int{1, 3} {
		v, err := m.Label(class)
		if err != nil {
			log.Fatal(err)
		}
		vectors = append(vectors, v)
	}
	between, err := cond.Mix([]float64{0.5, 0.5}, vectors...)
	if err != nil {
		log.Fatal(err)
	}
	s, err := m.Session(1, 8, 8)
	if err != nil {
		log.Fatal(err)
	}
	_, err = s.Bind(cond.Cond{Vector: between})
	fmt.Println(len(between) == m.VectorDim(), err)
	// Output: true <nil>
}

// A PixArt-α: a caption whose padding is masked, and the size of the picture. Images need not be
// square.
func Example_pixArt() {
	e, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	m, err := dit.Load(e, random(e, alpha))
	if err != nil {
		log.Fatal(err)
	}
	s, err := m.Session(2, 8, 12)
	if err != nil {
		log.Fatal(err)
	}

	caption := func(words int) cond.Cond { // from a text encoder, 7 tokens whatever the text
		c := cond.Text(tensor.MakeMat(7, m.Config.ContextDim))
		c.Context[0].Mask = make([]float32, 7)
		for i := words; i < 7; i++ {
			c.Context[0].Mask[i] = -10000
		}
		c.Sizes = []float64{64, 96, 64.0 / 96}
		return c
	}
	b, err := s.Bind(caption(1), caption(5))
	if err != nil {
		log.Fatal(err)
	}
	x := tensor.Make(1, 8, 12, m.Config.InChannels)
	out := tensor.Make(2, 8, 12, m.Config.OutChannels)
	if err := b.Forward(context.Background(), out, x, 999); err != nil {
		log.Fatal(err)
	}
	fmt.Println("x", x.Shape(), "out", out.Shape())
	// Output: x 1×8×12×4 out 2×8×12×8
}
