package blocks_test

import (
	"context"
	"fmt"
	"io/fs"
	"log"

	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/safetensors"
	"github.com/lanewise/lanewise/tensor"
)

// random calls load with a loader of a model that has random weights for all that it asks for.
func random(e *engine.Engine, load func(l *blocks.Loader)) {
	modeltest.Files("{}", "model", 1, func(fsys fs.FS) error {
		weights, err := safetensors.OpenSharded(fsys, "model")
		if err != nil {
			return err
		}
		defer weights.Close()
		l := blocks.NewLoader(e, weights, "tiny")
		load(l)
		return l.Err()
	})
}

// A residual block that halves its image. Its weights are loaded once, and built into a program for every
// shape.
func ExampleLoader_ResNet() {
	e, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	var block *blocks.ResNet
	time := blocks.NewTimeProjections(16)
	random(e, func(l *blocks.Loader) {
		time = blocks.NewTimeProjections(16)
		block = l.ResNet("resnets.0", 8, 12, blocks.ResNetOptions{Groups: 4, Eps: 1e-5, Act: kernels.SiLU, Time: time, Down: true})
		time.Load(l)
	})

	g := &blocks.Graph{Engine: e}
	fill := func(name string, v program.Value) program.Value {
		g.Add(program.Op{Name: name, Dst: v, Bind: func(m program.Memory) func() {
			return func() { clear(m.Image(v).Data) }
		}})
		return v
	}
	x, embedding := fill("x", g.Image(1, 6, 10, 8)), fill("time", g.Mat(1, 16))
	time.Build(g, embedding)
	y := block.Image(g, x)
	block.Build(g, y, x)
	fmt.Printf("%d×%d pixels of %d channels by\n", y.H, y.W, y.C)
	p := g.Build()
	for _, op := range p.Names() {
		fmt.Println(op)
	}
	if err := p.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 3×5 pixels of 12 channels by
	// x
	// time
	// time_emb_proj
	// resnets.0.norm1
	// resnets.0.downsample
	// resnets.0.conv1
	// resnets.0.norm2
	// resnets.0.downsample
	// resnets.0.conv_shortcut
	// resnets.0.conv2
}

// Pixels that attend to a text, and beside it, half as much, to the tokens of an image. Keys and values
// are made once and may be changed between runs.
func ExampleKeyValue_Project() {
	e, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	var layer *blocks.CrossAttention
	random(e, func(l *blocks.Loader) {
		layer = l.CrossAttention("attn2", 8, 4, blocks.AttentionOptions{Heads: 2, HeadDim: 4})
	})

	g := &blocks.Graph{Engine: e}
	x := g.Image(1, 2, 2, 8)
	var out tensor.NHWC
	g.Add(program.Op{Name: "x", Dst: x, Bind: func(m program.Memory) func() {
		out = m.Image(x)
		return func() { clear(out.Data) }
	}})
	layer.Build(g, x, x, blocks.Fuse{Add: x})
	p, prompt := g.Build(), g.Prompts[0]

	tokens := func(n int) tensor.Mat {
		m := tensor.MakeMat(n, layer.Context)
		for i := range m.Data {
			m.Data[i] = float32(i%5) - 2
		}
		return m
	}
	text, image := layer.Project(e, tokens(7)), layer.Project(e, tokens(3))
	image.Scale = 0.5
	for _, kv := range [][]attention.KV{{text}, {text, image}} {
		prompt.KV = kv
		if err := p.Run(context.Background()); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s, %d contexts: %.3f\n", layer.Name, len(kv), out.Pixel(0, 0, 0)[0])
	}
	// Output:
	// attn2, 1 contexts: -0.312
	// attn2, 2 contexts: -0.299
}
