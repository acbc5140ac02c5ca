package blocks

import (
	"fmt"

	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
)

// attender is an attention layer: Build appends dst = the attention of src, with f.
type attender interface {
	Build(g *Graph, dst, src program.Value, f Fuse)
}

// TransformerBlock is diffusers' BasicTransformerBlock:
//
//	x += attn1(norm1(x))
//	x += attn2(norm2(x), prompt)
//	x += ff(norm3(x))
//
// where NormKind says what the norms depend on, and whether the first and the last addition have a
// gate.
type TransformerBlock struct {
	norm1, norm2, norm3 *LayerNorm // norm2 is nil where attn2 is, or sees x itself
	attn1, attn2        attender
	ff                  *FeedForward

	// modulate appends what a condition makes of attn1, attn2 and ff; nil for nothing.
	modulate  func(g *Graph, images int) [3]Modulation
	positions *positions // what an attention's input gets added; nil for nothing
}

// NormKind is what the norms of a TransformerBlock depend on, diffusers' norm_type.
type NormKind uint8

const (
	// LayerNorms depend on nothing.
	LayerNorms NormKind = iota
	// StepNorms has StepNorm before the attentions: the graph has Steps.
	StepNorms
	// AdaZero makes norm1 an AdaLayerNormZero, which modulates norm3 as well and gates what attn1 and ff
	// add: TransformerOptions has Conditions.
	AdaZero
	// AdaSingle modulates and gates as AdaZero does, by the graph's Modulation and a table of the
	// block's own. attn2 sees x without a norm.
	AdaSingle
	// AdaContinuous makes each norm an AdaNorm, the first two by root mean squares: the graph has a
	// Condition.
	AdaContinuous
)

// NormKinds are the kinds by diffusers' names. (Its layer_norm_i2vgen is missing: the block there has no
// norm before its feed-forward network, and fails for want of it.)
var NormKinds = map[string]NormKind{
	"layer_norm": LayerNorms, "ada_norm": StepNorms, "ada_norm_zero": AdaZero, "ada_norm_single": AdaSingle,
	"ada_norm_continuous": AdaContinuous,
}

// TransformerOptions are what the transformers of one level of a model have in common.
type TransformerOptions struct {
	Heads, HeadDim int
	Layers         int // transformer blocks in a row
	// Context is how many columns a prompt's token has. 0 is no prompt and no attn2.
	Context int
	// OnlyCross says that attn1 attends to the prompt as well.
	OnlyCross bool
	// DoubleSelf says that attn2 attends to the pixels.
	DoubleSelf bool
	Bias       bool // queries, keys and values have biases
	NoOutBias  bool // what follows an attention has none

	Norm     NormKind
	Eps      float64 // of the norms; 0 means 1e-5
	NoAffine bool    // layer norms have no weights
	// Steps is how many time steps StepNorms know.
	Steps int
	// Conditions project the condition of AdaZero.
	Conditions *TimeProjections
	// ConditionDim is how many columns the condition of AdaContinuous has, and ConditionBias whether the
	// layers behind it have biases.
	ConditionDim  int
	ConditionBias bool

	FeedForward FeedForwardOptions
	// Positions is for how many tokens there are sinusoids to be added to what an attention sees; 0 is
	// none.
	Positions int

	// Of Transformer2D:

	Groups int
	// Linear says that the projections in and out are stored as linear layers, not as 1 × 1
	// convolutions.
	Linear bool
}

// TransformerBlock loads "norm1", "attn1", "norm2", "attn2", "norm3" and "ff", as far as the block has
// them, and "scale_shift_table" for AdaSingle. Other layers of AdaZero than these are left to
// o.Conditions.
func (l *Loader) TransformerBlock(name string, channels int, o TransformerOptions) *TransformerBlock {
	if o.Eps == 0 {
		o.Eps = 1e-5
	}
	b := &TransformerBlock{ff: l.FeedForward(name+".ff", channels, o.FeedForward)}
	l.blockNorms(b, name, channels, o)
	if o.Positions > 0 {
		b.positions = sequencePositions(o.Positions, channels)
	}
	attention := AttentionOptions{Heads: o.Heads, HeadDim: o.HeadDim, Bias: o.Bias, NoOutBias: o.NoOutBias}
	if o.OnlyCross && o.Context > 0 {
		first := l.CrossAttention(name+".attn1", channels, o.Context, attention)
		first.KeyValue.Unmasked = true
		b.attn1 = first
	} else {
		b.attn1 = l.SelfAttention(name+".attn1", channels, attention)
	}
	switch {
	case o.DoubleSelf:
		b.attn2 = l.SelfAttention(name+".attn2", channels, attention)
	case o.Context > 0:
		b.attn2 = l.CrossAttention(name+".attn2", channels, o.Context, attention)
	}
	return b
}

// hasSecond says whether blocks have a second attention.
func (o *TransformerOptions) hasSecond() bool { return o.Context > 0 || o.DoubleSelf }

// blockNorms loads the norms of a block, and what modulates them.
func (l *Loader) blockNorms(b *TransformerBlock, name string, channels int, o TransformerOptions) {
	second := o.hasSecond()
	plain := func(name string) *LayerNorm {
		return l.Norm(name, channels, NormOptions{Eps: o.Eps, Scale: !o.NoAffine, Shift: !o.NoAffine})
	}
	var each [3]func(g *Graph, images int) Modulation // of norms with a modulation of their own
	switch o.Norm {
	case LayerNorms:
		b.norm1 = plain(name + ".norm1")
		if second {
			b.norm2 = plain(name + ".norm2")
		}
		b.norm3 = plain(name + ".norm3")
		return
	case AdaZero:
		first := l.AdaLayerNormZero(name+".norm1", channels, 1e-6, o.Conditions)
		b.norm1 = first.norm
		if second {
			b.norm2 = plain(name + ".norm2")
		}
		b.norm3 = plain(name + ".norm3")
		b.modulate = func(g *Graph, _ int) (m [3]Modulation) {
			m[0], m[2] = first.Modulations(g)
			return m
		}
		return
	case AdaSingle:
		table := l.ScaleShiftTable(name+".scale_shift_table", 6, channels)
		b.norm1, b.norm3 = plain(name+".norm1"), plain(name+".norm2")
		b.modulate = func(g *Graph, _ int) (m [3]Modulation) {
			m[0], m[2] = twoModulations(table.Build(g, g.Modulation))
			return m
		}
		return
	case StepNorms:
		step := func(i int, name string) *LayerNorm {
			n := l.StepNorm(name, channels, o.Steps, AdaNormOptions{NormOptions: NormOptions{Eps: 1e-5}, Width: channels, Bias: true})
			each[i] = n.modulation
			return n.norm.norm
		}
		b.norm1 = step(0, name+".norm1")
		if second {
			b.norm2 = step(1, name+".norm2")
		}
		b.norm3 = plain(name + ".norm3")
	case AdaContinuous:
		ada := func(i int, name string, rms bool) *LayerNorm {
			affine := NormOptions{Eps: o.Eps, RMS: rms, Scale: !o.NoAffine, Shift: !o.NoAffine && !rms && o.ConditionBias}
			n := l.AdaNorm(name+".norm", name+".linear", channels, AdaNormOptions{NormOptions: affine, Width: o.ConditionDim, Bias: o.ConditionBias})
			each[i] = func(g *Graph, _ int) Modulation { return n.modulation(g, g.Condition) }
			return n.norm
		}
		b.norm1 = ada(0, name+".norm1", true)
		if second {
			b.norm2 = ada(1, name+".norm2", true)
		}
		b.norm3 = ada(2, name+".norm3", false)
	}
	b.modulate = func(g *Graph, images int) (m [3]Modulation) {
		for i, modulation := range each {
			if modulation != nil {
				m[i] = modulation(g, images)
			}
		}
		return m
	}
}

// Build appends what turns x into the block's output.
func (b *TransformerBlock) Build(g *Graph, x program.Value) {
	var m [3]Modulation
	if b.modulate != nil {
		m = b.modulate(g, x.N)
	}
	y := g.Image(x.N, x.H, x.W, x.C)
	b.norm1.BuildAda(g, y, x, m[0])
	b.positions.build(g, b.norm1.Name+".pos_embed", y)
	b.attn1.Build(g, x, y, Fuse{Gate: m[0].Gate, Add: x})
	if b.attn2 != nil {
		query := x
		if b.norm2 != nil {
			query = y
			b.norm2.BuildAda(g, y, x, m[1])
			b.positions.build(g, b.norm2.Name+".pos_embed", y)
		}
		b.attn2.Build(g, x, query, Fuse{Add: x})
	}
	b.norm3.BuildAda(g, y, x, m[2])
	b.ff.Build(g, x, y, Fuse{Gate: m[2].Gate, Add: x})
}

// Transformer2D is diffusers' Transformer2DModel on images: transformer blocks over the pixels,
// between a group norm with a projection and a projection with a residual,
//
//	y = proj_out(blocks(proj_in(norm(x)))) + x
type Transformer2D struct {
	inner   int
	norm    *GroupNorm
	in, out *Linear
	blocks  []*TransformerBlock
}

// Transformer2D loads "norm", "proj_in", "transformer_blocks" and "proj_out".
func (l *Loader) Transformer2D(name string, channels int, o TransformerOptions) *Transformer2D {
	const eps = 1e-6
	inner := o.Heads * o.HeadDim
	project := l.Pointwise
	if o.Linear {
		project = func(name string, in, out int) *Linear { return l.Linear(name, in, out, true) }
	}
	t := &Transformer2D{
		inner: inner,
		norm:  l.GroupNorm(name+".norm", channels, o.Groups, eps, kernels.Identity),
		in:    project(name+".proj_in", channels, inner),
		out:   project(name+".proj_out", inner, channels),
	}
	for i := range o.Layers {
		t.blocks = append(t.blocks, l.TransformerBlock(fmt.Sprintf("%s.transformer_blocks.%d", name, i), inner, o))
	}
	return t
}

// Build appends dst = the transformer of src, which must not overlap.
func (t *Transformer2D) Build(g *Graph, dst, src program.Value) {
	n := g.Image(src.N, src.H, src.W, src.C)
	t.norm.Build(g, n, src)
	x := g.Image(src.N, src.H, src.W, t.inner)
	t.in.Build(g, x, n, Fuse{})
	for _, b := range t.blocks {
		b.Build(g, x)
	}
	t.out.Build(g, dst, x, Fuse{Add: src})
}
