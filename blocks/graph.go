// Package blocks holds what diffusion models are made of: layers, residual and transformer blocks,
// resamplers and embeddings, each of which knows the names of its weights in a diffusers checkpoint.
//
// A block lives twice. A method of Loader reads and packs its weights, once for all users of a
// model; its Build appends its ops to a Graph, once for every shape that the model runs at. The
// name that it was loaded by is also the name of its ops: in profiles, and where a test says which
// op is off.
//
// Build takes the destination first. It panics where shapes do not fit: models check their
// configuration before they load.
package blocks

import (
	"github.com/lanewise/lanewise/activation"
	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
)

// Graph is a program under construction, with what the blocks of a model share in it.
type Graph struct {
	program.Builder
	Engine *engine.Engine
	// Time holds what TimeProjections made of the time embedding, a row for each image: the
	// columns that belong to a residual block are known to it. The zero Value if there is none.
	Time program.Value
	// Prompts lists the cross-attention layers in the program.
	Prompts []*Prompt
}

// Prompt is where a cross-attention layer of a program finds what to attend to. KV must be set
// before the program runs and may be changed between runs; CrossAttention.Project makes its parts.
type Prompt struct {
	Layer *CrossAttention
	KV    []attention.KV
}

// Fuse is what a layer does to its output on the way to memory: gemm.Epilogue in symbols. The
// zero value is the layer alone, with its own bias.
type Fuse struct {
	// ImageBias is a bias for each image, instead of the layer's own.
	ImageBias program.Value
	Act       kernels.Act
	// Gate multiplies what is activated, by a value for each image and column: images × columns.
	Gate program.Value
	// Add is a residual, which may be the destination itself.
	Add program.Value
}

// values lists the operands of an op with src and f.
func (f Fuse) values(src program.Value) []program.Value {
	return []program.Value{src, f.ImageBias, f.Gate, f.Add}
}

// bind returns the epilogue of a layer with the given bias.
func (f Fuse) bind(m program.Memory, bias []float32) gemm.Epilogue {
	ep := gemm.Epilogue{Bias: bias, ImageBias: m.Mat(f.ImageBias), Act: f.Act, Gate: m.Mat(f.Gate), Add: m.Mat(f.Add)}
	if ep.ImageBias.Data != nil {
		ep.Bias = nil
	}
	return ep
}

// Activate appends dst = act(src), value by value. dst may be src.
func (g *Graph) Activate(name string, dst, src program.Value, act kernels.Act) {
	g.Add(program.Op{Name: name, Kind: "activation", Dst: dst, Src: []program.Value{src}, Bind: func(m program.Memory) func() {
		d, s := m.Mat(dst), m.Mat(src)
		return func() { activation.Apply(g.Engine, d, s, act) }
	}})
}

// bytes is the size of a vector or matrix of n values.
func bytes(n int) float64 { return 4 * float64(n) }

// flops is the work of a product of an m × k with a k × n matrix.
func flops(m, k, n int) float64 { return 2 * float64(m) * float64(k) * float64(n) }
