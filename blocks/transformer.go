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

// TransformerBlock is diffusers' BasicTransformerBlock with layer norms:
//
//	x += attn1(norm1(x))
//	x += attn2(norm2(x), prompt)
//	x += ff(norm3(x))
type TransformerBlock struct {
	norm1, norm2, norm3 *LayerNorm
	attn1, attn2        attender
	ff                  *FeedForward
}

// TransformerOptions are what the transformers of one level of a model have in common.
type TransformerOptions struct {
	Heads, HeadDim int
	Layers         int // transformer blocks in a row
	Context        int // columns of a prompt's token
	Groups         int
	// Linear says that the projections in and out are stored as linear layers, not as 1 × 1
	// convolutions.
	Linear bool
	// OnlyCross says that attn1 attends to the prompt as well.
	OnlyCross bool
}

// TransformerBlock loads "norm1", "attn1", "norm2", "attn2", "norm3" and "ff".
func (l *Loader) TransformerBlock(name string, channels int, o TransformerOptions) *TransformerBlock {
	const eps = 1e-5
	attention := AttentionOptions{Heads: o.Heads, HeadDim: o.HeadDim}
	b := &TransformerBlock{
		norm1: l.LayerNorm(name+".norm1", channels, eps),
		norm2: l.LayerNorm(name+".norm2", channels, eps),
		norm3: l.LayerNorm(name+".norm3", channels, eps),
		attn2: l.CrossAttention(name+".attn2", channels, o.Context, attention),
		ff:    l.FeedForward(name+".ff", channels, FeedForwardOptions{}),
	}
	if o.OnlyCross {
		b.attn1 = l.CrossAttention(name+".attn1", channels, o.Context, attention)
	} else {
		b.attn1 = l.SelfAttention(name+".attn1", channels, attention)
	}
	return b
}

// Build appends what turns x into the block's output.
func (b *TransformerBlock) Build(g *Graph, x program.Value) {
	y := g.Image(x.N, x.H, x.W, x.C)
	b.norm1.Build(g, y, x)
	b.attn1.Build(g, x, y, Fuse{Add: x})
	b.norm2.Build(g, y, x)
	b.attn2.Build(g, x, y, Fuse{Add: x})
	b.norm3.Build(g, y, x)
	b.ff.Build(g, x, y, Fuse{Add: x})
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
