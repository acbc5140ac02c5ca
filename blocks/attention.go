package blocks

import (
	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// AttentionOptions are what the layers of an attention are like.
type AttentionOptions struct {
	Heads, HeadDim int
	Bias           bool // q, k and v have biases
	NoOutBias      bool // the layer behind the attention has none
}

// inner is how many columns queries have.
func (o AttentionOptions) inner() int { return o.Heads * o.HeadDim }

// SelfAttention lets the pixels of an image attend to each other:
// y = out(softmax(q·kᵀ/√d)·v), with q, k and v linear in x.
type SelfAttention struct {
	Name  string
	heads int
	inner int // columns of q: heads × head size

	qkv *Linear
	out *Linear
}

// SelfAttention loads "to_q", "to_k" and "to_v" as one layer, and "to_out.0".
func (l *Loader) SelfAttention(name string, channels int, o AttentionOptions) *SelfAttention {
	inner := o.inner()
	return &SelfAttention{
		Name: name, heads: o.Heads, inner: inner,
		qkv: l.Stack(name+".to_qkv", channels, o.Bias, Part{name + ".to_q", inner}, Part{name + ".to_k", inner}, Part{name + ".to_v", inner}),
		out: l.Linear(name+".to_out.0", inner, channels, !o.NoOutBias),
	}
}

// Build appends dst = the attention of src, with f.
func (a *SelfAttention) Build(g *Graph, dst, src program.Value, f Fuse) {
	qkv := g.Image(src.N, src.H, src.W, 3*a.inner)
	a.qkv.Build(g, qkv, src, Fuse{})
	q := qkv.Channels(0, a.inner) // and the result, which takes its place
	g.Add(program.Op{
		Name: a.Name, Kind: "attention", Dst: q, Src: []program.Value{qkv},
		Cost: func() program.Cost { return attentionCost(q, src.Rows()/src.N) },
		Bind: func(m program.Memory) func() {
			part := columns(m.Mat(qkv), a.inner, a.inner, a.inner)
			q, kv := part[0], []attention.KV{{K: part[1], V: part[2]}}
			shape := attention.Shape{Batch: src.N, Heads: a.heads}
			return func() { attention.Attend(g.Engine, q, q, kv, shape) }
		},
	})
	a.out.Build(g, dst, q, f)
}

// CrossAttention lets the pixels of an image attend to the tokens of a prompt. Keys and values
// depend on the prompt alone: Project makes them once, not in every step.
type CrossAttention struct {
	Name    string
	Context int // columns of a token

	heads int
	inner int

	q, kv, out *Linear
}

// CrossAttention loads "to_q", "to_k" and "to_v", and "to_out.0".
func (l *Loader) CrossAttention(name string, channels, context int, o AttentionOptions) *CrossAttention {
	inner := o.inner()
	return &CrossAttention{
		Name: name, Context: context, heads: o.Heads, inner: inner,
		q:   l.Linear(name+".to_q", channels, inner, o.Bias),
		kv:  l.Stack(name+".to_kv", context, o.Bias, Part{name + ".to_k", inner}, Part{name + ".to_v", inner}),
		out: l.Linear(name+".to_out.0", inner, channels, !o.NoOutBias),
	}
}

// Project returns keys and values of tokens, which are those of all images, image by image.
func (a *CrossAttention) Project(e *engine.Engine, tokens tensor.Mat) attention.KV {
	kv := tensor.MakeMat(tokens.Rows, 2*a.inner)
	gemm.Mul(e, kv, tokens, a.kv.w, gemm.Prologue{}, gemm.Epilogue{Bias: a.kv.bias})
	part := columns(kv, a.inner, a.inner)
	return attention.KV{K: part[0], V: part[1]}
}

// Build appends dst = the attention of src to what will be the layer's prompt in the graph, with f.
func (a *CrossAttention) Build(g *Graph, dst, src program.Value, f Fuse) {
	prompt := &Prompt{Layer: a}
	g.Prompts = append(g.Prompts, prompt)
	q := g.Image(src.N, src.H, src.W, a.inner)
	a.q.Build(g, q, src, Fuse{})
	g.Add(program.Op{
		Name: a.Name, Kind: "attention", Dst: q, Src: []program.Value{q},
		Cost: func() (c program.Cost) {
			for _, kv := range prompt.KV {
				one := attentionCost(q, kv.K.Rows/src.N)
				c.FLOP += one.FLOP
				c.Bytes += bytes(2 * kv.K.Rows * a.inner)
			}
			return c
		},
		Bind: func(m program.Memory) func() {
			q, shape := m.Mat(q), attention.Shape{Batch: src.N, Heads: a.heads}
			return func() { attention.Attend(g.Engine, q, q, prompt.KV, shape) }
		},
	})
	a.out.Build(g, dst, q, f)
}

// attentionCost is the work of queries with the given number of keys for each image.
func attentionCost(q program.Value, keys int) program.Cost {
	return program.Cost{FLOP: 2 * flops(q.Rows(), keys, q.C)}
}

// columns cuts a matrix whose columns belong to several layers.
func columns(m tensor.Mat, widths ...int) []tensor.Mat {
	cut := make([]tensor.Mat, len(widths))
	from := 0
	for i, w := range widths {
		cut[i] = m.Columns(from, from+w)
		from += w
	}
	return cut
}
