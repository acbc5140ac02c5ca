package unet

import (
	"context"
	"fmt"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// compute runs a small program now, and returns its output: what depends on conditions alone is not
// part of a step.
func (t *trunk) compute(in tensor.Mat, build func(g *blocks.Graph, src program.Value) program.Value) tensor.Mat {
	rows := tensor.NHWC{N: in.Rows, H: 1, W: 1, C: in.Cols, Stride: in.Stride, Data: in.Data}
	return t.computeImage(rows, Options{}, build).Tokens()
}

// computeImage is compute for images, with the options of a session.
func (t *trunk) computeImage(in tensor.NHWC, o Options, build func(g *blocks.Graph, src program.Value) program.Value) tensor.NHWC {
	g := &blocks.Graph{Engine: t.engine, Options: o}
	src := g.Image(in.N, in.H, in.W, in.C)
	g.Add(program.Op{Name: "input", Kind: "copy", Dst: src, Bind: func(m program.Memory) func() {
		dst := m.Image(src)
		return func() { tensor.Copy(dst, in) }
	}})
	last := build(g, src)
	out := tensor.Make(last.N, last.H, last.W, last.C)
	g.Add(program.Op{Name: "output", Kind: "copy", Src: []program.Value{last}, Bind: func(m program.Memory) func() {
		src := m.Image(last)
		return func() { tensor.Copy(out, src) }
	}})
	if err := g.Build().Run(context.Background()); err != nil {
		panic(err) // there is nobody to cancel it
	}
	return out
}

// row is compute for one vector.
func (t *trunk) row(in []float32, build func(g *blocks.Graph, src program.Value) program.Value) []float32 {
	return t.compute(tensor.Mat{Rows: 1, Cols: len(in), Stride: len(in), Data: in}, build).Row(0)
}

// errorf returns an error that begins with the model's name.
func (t *trunk) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %w", t.name, fmt.Errorf(format, args...))
}
