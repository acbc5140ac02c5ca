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
	"slices"

	"github.com/lanewise/lanewise/activation"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// Graph is a program under construction, with what the blocks of a model share in it.
type Graph struct {
	program.Builder
	Engine  *engine.Engine
	Options Options
	// Prompts lists the layers in the program that attend to a prompt, in the program's order.
	Prompts []*Prompt

	// What adaptive norms of transformer blocks are conditioned on; each kind of them says which.
	Steps      []int         // the time step of each image, read on every run: StepNorm
	Condition  program.Value // a vector for each image, after its activation: AdaNorm in a block
	Modulation program.Value // what AdaLayerNormSingle made for all blocks

	times   map[*TimeProjections]program.Value // what they made of a time embedding, a row for each image
	choices []*choice                          // of convolutions
}

// Build chooses how convolutions are computed, plans the memory and binds the ops to it. The Graph must
// not be used afterwards.
func (g *Graph) Build() *program.Program {
	g.choose()
	return g.Builder.Build()
}

// Fuse is what a layer does to its output on the way to memory: gemm.Epilogue in symbols. The
// zero value is the layer alone, with its own bias.
type Fuse struct {
	// ImageBias is a bias for each image, instead of the layer's own.
	ImageBias program.Value
	Act       kernels.Act
	// Gate multiplies what is activated, by a value for each image and column: images × columns.
	Gate program.Value
	// Scale multiplies what is activated by a constant; 0 means 1. It excludes Gate.
	Scale float64
	// Add is a residual, which may be the destination itself.
	Add program.Value
}

// values lists the operands of an op with src and f.
func (f Fuse) values(src program.Value) []program.Value {
	return []program.Value{src, f.ImageBias, f.Gate, f.Add}
}

// bind returns the epilogue of a layer with the given bias and number of columns.
func (f Fuse) bind(m program.Memory, bias []float32, columns int) gemm.Epilogue {
	ep := gemm.Epilogue{Bias: bias, ImageBias: m.Mat(f.ImageBias), Act: f.Act, Gate: m.Mat(f.Gate), Add: m.Mat(f.Add)}
	if ep.ImageBias.Data != nil {
		ep.Bias = nil
	}
	if !isOne(f.Scale) {
		if ep.Gate.Data != nil {
			panic("blocks: both a gate and a scale")
		}
		ep.Gate = tensor.Mat{Rows: 1, Cols: columns, Stride: columns, Data: constants(columns, f.Scale)}
	}
	return ep
}

// isOne says whether a factor changes nothing: 0 stands for one that nobody has set.
func isOne(factor float64) bool { return factor == 0 || factor == 1 }

// constants returns n times x.
func constants(n int, x float64) []float32 { return slices.Repeat([]float32{float32(x)}, n) }

// Activate appends dst = act(src), value by value. dst may be src.
func (g *Graph) Activate(name string, dst, src program.Value, act kernels.Act) {
	g.Add(program.Op{Name: name, Kind: "activation", Dst: dst, Src: []program.Value{src}, Bind: func(m program.Memory) func() {
		d, s := m.Mat(dst), m.Mat(src)
		return func() { activation.Apply(g.Engine, d, s, act) }
	}})
}

// Scale appends dst = factor·src. dst may be src.
func (g *Graph) Scale(name string, dst, src program.Value, factor float64) {
	g.Add(program.Op{Name: name, Kind: "scale", Dst: dst, Src: []program.Value{src}, Bind: func(m program.Memory) func() {
		d, s, factors := m.Mat(dst), m.Mat(src), constants(src.C, factor)
		return func() { activation.Scale(g.Engine, d, s, factors) }
	}})
}

// bytes is the size of a vector or matrix of n values.
func bytes(n int) float64 { return 4 * float64(n) }

// flops is the work of a product of an m × k with a k × n matrix.
func flops(m, k, n int) float64 { return 2 * float64(m) * float64(k) * float64(n) }
