package blocks

import (
	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// AttentionOptions are what the layers of an attention are like. Heads, HeadDim apart, the zero value is
// what U-Nets have.
type AttentionOptions struct {
	Heads, HeadDim int
	Bias           bool // q, k and v have biases
	NoOutBias      bool // the layer behind the attention has none
	Out            int  // columns of the output; 0 means those of the input
	// Scale multiplies the dot products of q and k; 0 means 1/√HeadDim.
	Scale float64
	// CrossNorm normalises the tokens of a prompt before their projection.
	CrossNorm CrossNorm
	// CrossGroups are those of a group norm; 0 means 32.
	CrossGroups int
}

// inner is how many columns queries have.
func (o AttentionOptions) inner() int { return o.Heads * o.HeadDim }

// shape is that of the attention for so many images.
func (o AttentionOptions) shape(images int) attention.Shape {
	return attention.Shape{Batch: images, Heads: o.Heads, Scale: float32(o.Scale)}
}

// out loads "to_out.0".
func (o AttentionOptions) out(l *Loader, name string, channels int) *Linear {
	if o.Out != 0 {
		channels = o.Out
	}
	return l.Linear(name+".to_out.0", o.inner(), channels, !o.NoOutBias)
}

// SelfAttention lets the pixels of an image attend to each other:
// y = out(softmax(q·kᵀ/√d)·v), with q, k and v linear in x.
type SelfAttention struct {
	Name string

	o        AttentionOptions
	qkv, out *Linear
}

// SelfAttention loads "to_q", "to_k" and "to_v" as one layer, and "to_out.0".
func (l *Loader) SelfAttention(name string, channels int, o AttentionOptions) *SelfAttention {
	inner := o.inner()
	return &SelfAttention{
		Name: name, o: o,
		qkv: l.Stack(name+".to_qkv", channels, o.Bias, Part{name + ".to_q", inner}, Part{name + ".to_k", inner}, Part{name + ".to_v", inner}),
		out: o.out(l, name, channels),
	}
}

// Build appends dst = the attention of src, with f.
func (a *SelfAttention) Build(g *Graph, dst, src program.Value, f Fuse) {
	inner := a.o.inner()
	qkv := g.Image(src.N, src.H, src.W, 3*inner)
	a.qkv.Build(g, qkv, src, Fuse{})
	q := qkv.Channels(0, inner) // and the result, which takes its place
	g.Add(program.Op{
		Name: a.Name, Kind: "attention", Dst: q, Src: []program.Value{qkv},
		Cost: func() program.Cost { return attentionCost(q, src.Rows()/src.N) },
		Bind: func(m program.Memory) func() {
			part := columns(m.Mat(qkv), inner, inner, inner)
			q, kv := part[0], []attention.KV{{K: part[1], V: part[2]}}
			shape := a.o.shape(src.N)
			return func() { attention.Attend(g.Engine, q, q, kv, shape) }
		},
	})
	a.out.Build(g, dst, q, f)
}

// CrossAttention lets the pixels of an image attend to the tokens of a prompt, whose keys and values
// its KeyValue makes.
type CrossAttention struct {
	*KeyValue

	o      AttentionOptions
	q, out *Linear
}

// CrossAttention loads "to_q", "to_k" and "to_v", "to_out.0", and "norm_cross" where there is one.
func (l *Loader) CrossAttention(name string, channels, context int, o AttentionOptions) *CrossAttention {
	return &CrossAttention{
		KeyValue: l.keyValue(name, context, "to_k", "to_v", o),
		o:        o,
		q:        l.Linear(name+".to_q", channels, o.inner(), o.Bias),
		out:      o.out(l, name, channels),
	}
}

// Build appends dst = the attention of src to what will be the layer's prompt in the graph, with f.
func (a *CrossAttention) Build(g *Graph, dst, src program.Value, f Fuse) {
	prompt := g.prompt(a.KeyValue)
	q := g.Image(src.N, src.H, src.W, a.o.inner())
	a.q.Build(g, q, src, Fuse{})
	g.Add(program.Op{
		Name: a.Name, Kind: "attention", Dst: q, Src: []program.Value{q},
		Cost: func() program.Cost { return prompt.cost(q) },
		Bind: func(m program.Memory) func() {
			q, shape := m.Mat(q), a.o.shape(src.N)
			return func() { attention.Attend(g.Engine, q, q, prompt.KV, shape) }
		},
	})
	a.out.Build(g, dst, q, f)
}

// AddedKVAttention is how the pixels of an image attend to each other and to the tokens of a prompt at
// once, in one softmax (Saharia et al. 2022, "Photorealistic Text-to-Image Diffusion Models with Deep
// Language Understanding"; diffusers' AttnAddedKVProcessor): with h = norm(x) and tokens p,
//
//	y = out(softmax(q(h)·[add_k(p) | k(h)]ᵀ/√d)·[add_v(p) | v(h)]) + x
//
// or with OnlyCross to the tokens alone. The parts of its Prompt.KV have no Scale: what is weighed less
// has smaller values.
type AddedKVAttention struct {
	*KeyValue // of the tokens

	o      AttentionOptions
	norm   *GroupNorm
	q, out *Linear // q with k and v beside it, unless there are none
	cross  bool
}

// AddedKVOptions are what an AddedKVAttention is like. Bias is that of "add_k_proj" and "add_v_proj" as
// well.
type AddedKVOptions struct {
	AttentionOptions
	Groups    int // of the norm
	Eps       float64
	OnlyCross bool
}

// AddedKVAttention loads "group_norm", "to_q", "add_k_proj" and "add_v_proj", "to_k" and "to_v" but for
// OnlyCross, "to_out.0", and "norm_cross" where there is one.
func (l *Loader) AddedKVAttention(name string, channels, context int, o AddedKVOptions) *AddedKVAttention {
	inner := o.inner()
	parts := []Part{{name + ".to_q", inner}}
	if !o.OnlyCross {
		parts = append(parts, Part{name + ".to_k", inner}, Part{name + ".to_v", inner})
	}
	return &AddedKVAttention{
		KeyValue: l.keyValue(name, context, "add_k_proj", "add_v_proj", o.AttentionOptions),
		o:        o.AttentionOptions, cross: o.OnlyCross,
		norm: l.GroupNorm(name+".group_norm", channels, o.Groups, o.Eps, kernels.Identity),
		q:    l.Stack(name+".to_qkv", channels, o.Bias, parts...),
		out:  o.out(l, name, channels),
	}
}

// Build appends dst = the attention of src. dst may be src.
func (a *AddedKVAttention) Build(g *Graph, dst, src program.Value) {
	prompt, inner := g.prompt(a.KeyValue), a.o.inner()
	h := g.Image(src.N, src.H, src.W, src.C)
	a.norm.Build(g, h, src)
	qkv := g.Image(src.N, src.H, src.W, a.q.Out)
	a.q.Build(g, qkv, h, Fuse{})
	q := qkv.Channels(0, inner) // and the result
	g.Add(program.Op{
		Name: a.Name, Kind: "attention", Dst: q, Src: []program.Value{qkv},
		Cost: func() program.Cost {
			c := prompt.cost(q)
			if !a.cross {
				c.FLOP += attentionCost(q, src.Rows()/src.N).FLOP
			}
			return c
		},
		Bind: func(m program.Memory) func() {
			q, shape := m.Mat(q), a.o.shape(src.N)
			shape.Joint = true
			if a.cross {
				return func() { attention.Attend(g.Engine, q, q, prompt.KV, shape) }
			}
			part := columns(m.Mat(qkv), inner, inner, inner)
			pixels := attention.KV{K: part[1], V: part[2]}
			all := make([]attention.KV, 0, 4)
			return func() {
				all = append(append(all[:0], prompt.KV...), pixels)
				attention.Attend(g.Engine, q, q, all, shape)
			}
		},
	})
	a.out.Build(g, dst, q, Fuse{Add: src})
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
