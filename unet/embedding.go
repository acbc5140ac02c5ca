package unet

import (
	"slices"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// embedding holds the networks that make the time embedding e,
//
//	e = act(network(features(t), guidance) + class + pooled)
//
// or [network | class] with the class beside it, and the tokens that cross-attention sees. All but the
// first term depend on conditions alone, and are computed while those are bound.
type embedding struct {
	features features
	width    int // of the features
	time     *blocks.TimeEmbedding

	table       *blocks.Table         // ClassTable
	classNet    *blocks.TimeEmbedding // ClassTime, ClassNetwork
	classLinear *blocks.Linear        // ClassLinear

	sizes               *blocks.Sinusoid // PooledSizes
	pooledNet           *blocks.TimeEmbedding
	pool                *attentionPool // PooledTokens
	textProj, imageProj *blocks.Linear // PooledImage, PooledTextAndImage
	textNorm, imageNorm *blocks.LayerNorm

	tokenProj      *blocks.Linear // ProjectedTokens, ImageAndTokens
	imageToTokens  *blocks.Linear // ImageTokens, ImageAndTokens
	imageTokenNorm *blocks.LayerNorm
}

// normEps is that of the layer norms of embeddings.
const normEps = 1e-5

// load reads the weights.
func (b *embedding) load(l *blocks.Loader, c *Config) {
	silu := blocks.TimeEmbeddingOptions{Act: kernels.SiLU}
	b.features, b.width = loadFeatures(l, c)
	b.time = l.TimeEmbedding("time_embedding", b.width, c.TimeDim,
		blocks.TimeEmbeddingOptions{Act: c.TimeInnerAct, Post: c.TimePostAct, Cond: c.GuidanceDim})

	const class = "class_embedding"
	switch c.ClassKind {
	case ClassTable:
		b.table = l.Table(class, c.Classes, c.TimeDim)
	case ClassTime:
		b.classNet = l.TimeEmbedding(class, b.width, c.TimeDim, blocks.TimeEmbeddingOptions{Act: c.ClassAct})
	case ClassNetwork:
		b.classNet = l.TimeEmbedding(class, c.VectorDim, c.TimeDim, silu)
	case ClassLinear:
		b.classLinear = l.Linear(class, c.VectorDim, c.TimeDim, true)
	}

	const pooled = "add_embedding"
	switch c.PooledKind {
	case PooledSizes:
		b.sizes = blocks.NewSinusoid(c.SizeDim, c.CosFirst, c.FreqShift)
		b.pooledNet = l.TimeEmbedding(pooled, c.PooledDim, c.TimeDim, silu)
	case PooledTokens:
		b.pool = loadAttentionPool(l, pooled, c.ContextDim, c.TimeDim, c.PooledHeads)
	case PooledImage:
		b.imageProj = l.Linear(pooled+".image_proj", c.ImageDim, c.TimeDim, true)
		b.imageNorm = l.LayerNorm(pooled+".image_norm", c.TimeDim, normEps)
	case PooledTextAndImage:
		b.textProj = l.Linear(pooled+".text_proj", c.PooledDim-c.ImageDim, c.TimeDim, true)
		b.textNorm = l.LayerNorm(pooled+".text_norm", c.TimeDim, normEps)
		b.imageProj = l.Linear(pooled+".image_proj", c.ImageDim, c.TimeDim, true)
	}

	const tokens = "encoder_hid_proj"
	switch c.ContextKind {
	case ProjectedTokens:
		b.tokenProj = l.Linear(tokens, c.ContextDim, c.CrossDim, true)
	case ImageTokens:
		b.imageToTokens = l.Linear(tokens+".image_embeds", c.ImageDim, imageTokens*c.CrossDim, true)
		b.imageTokenNorm = l.LayerNorm(tokens+".norm", c.CrossDim, normEps)
	case ImageAndTokens:
		b.imageToTokens = l.Linear(tokens+".image_embeds", c.ImageDim, imageTokensWithText*c.CrossDim, true)
		b.tokenProj = l.Linear(tokens+".text_proj", c.ContextDim, c.CrossDim, true)
	}
}

// ClassVector returns what the model adds to the time embedding for a label of its table: a Cond.Vector
// of it is that label, and one of several mixed is between them. The result is a copy.
func (m *Model) ClassVector(label int) ([]float32, error) {
	switch n := m.Config.Classes; {
	case m.Config.ClassKind != ClassTable:
		return nil, m.errorf("the model has no table of classes")
	case label < 0 || label >= n:
		return nil, m.errorf("class %d of %d, want 0 to %d", label, n, n-1)
	}
	return slices.Clone(m.embedding.table.Row(label)), nil
}

// GuidanceVector returns the Cond.Guidance of a guidance scale, GuidanceDim values, as latent consistency
// models are trained with it: the sinusoid of 1000·(scale − 1), sines first. It is nil for a model that
// is told no scale.
func (m *Model) GuidanceVector(scale float64) []float32 {
	if m.Config.GuidanceDim == 0 {
		return nil
	}
	v := make([]float32, m.Config.GuidanceDim)
	blocks.NewSinusoid(len(v), false, 1).Embed(v, 1000*(scale-1))
	return v
}

// class returns what a condition's class makes: TimeDim values, or nil for nothing.
func (t *trunk) class(c *cond.Cond) []float32 {
	b := &t.embedding
	switch t.config.ClassKind {
	case NoClass:
		return nil
	case ClassTable:
		if c.Vector == nil {
			return b.table.Row(c.Class)
		}
		return c.Vector
	case ClassVector:
		return c.Vector
	case ClassTime:
		label := make([]float32, b.width)
		b.features.Embed(label, float64(c.Class))
		return t.row(label, t.buildNet(b.classNet))
	case ClassNetwork:
		return t.row(c.Vector, t.buildNet(b.classNet))
	default:
		return t.row(c.Vector, buildLinear(b.classLinear))
	}
}

// pooled returns what whole texts and images make: TimeDim values, or nil for nothing.
func (t *trunk) pooled(c *cond.Cond) []float32 {
	b, k := &t.embedding, &t.config
	image := c.Pooled[max(0, len(c.Pooled)-k.ImageDim):]
	switch k.PooledKind {
	case PooledSizes:
		in := make([]float32, k.PooledDim)
		at := copy(in, c.Pooled)
		for _, size := range c.Sizes {
			b.sizes.Embed(in[at:at+k.SizeDim], size)
			at += k.SizeDim
		}
		return t.row(in, t.buildNet(b.pooledNet))
	case PooledTokens:
		return t.compute(ownTokens(c), b.pool.build).Row(0)
	case PooledImage:
		return t.row(image, func(g *blocks.Graph, src program.Value) program.Value {
			dst := buildLinear(b.imageProj)(g, src)
			b.imageNorm.Build(g, dst, dst)
			return dst
		})
	case PooledTextAndImage:
		return t.row(c.Pooled, func(g *blocks.Graph, src program.Value) program.Value {
			dst := buildLinear(b.textProj)(g, src.Channels(0, src.C-k.ImageDim))
			b.textNorm.Build(g, dst, dst)
			b.imageProj.Build(g, dst, src.Channels(src.C-k.ImageDim, src.C), blocks.Fuse{Add: dst})
			return dst
		})
	}
	return nil
}

// tokens returns what cross-attention sees of a context of slot 0, of no rows where c has none.
func (t *trunk) tokens(c *cond.Cond, given tensor.Mat) tensor.Mat {
	b, k := &t.embedding, &t.config
	if k.ContextKind == GivenTokens || given.Rows == 0 && !k.ContextKind.ofImage() {
		return given
	}
	if k.ContextKind == ProjectedTokens {
		return t.compute(given, buildLinear(b.tokenProj))
	}
	row := t.row(c.Pooled[len(c.Pooled)-k.ImageDim:], buildLinear(b.imageToTokens))
	all := tensor.Mat{Rows: len(row) / k.CrossDim, Cols: k.CrossDim, Stride: k.CrossDim, Data: row}
	if k.ContextKind == ImageTokens {
		return t.compute(all, func(g *blocks.Graph, src program.Value) program.Value {
			b.imageTokenNorm.Build(g, src, src)
			return src
		})
	}
	if given.Rows > 0 {
		text := t.compute(given, buildLinear(b.tokenProj))
		all.Data = append(all.Data[:len(row):len(row)], text.Data...)
		all.Rows += text.Rows
	}
	return all
}

// ownTokens returns the tokens of a condition's first context in slot 0, none if there is no such.
func ownTokens(c *cond.Cond) tensor.Mat {
	for _, context := range c.Context {
		if context.Slot == 0 {
			return context.Tokens
		}
	}
	return tensor.Mat{}
}

// buildNet returns what appends a network to a graph.
func (t *trunk) buildNet(net *blocks.TimeEmbedding) func(*blocks.Graph, program.Value) program.Value {
	return func(g *blocks.Graph, src program.Value) program.Value {
		dst := g.Mat(src.Rows(), t.config.TimeDim)
		net.Build(g, dst, src)
		return dst
	}
}

// buildLinear returns what appends a layer to a graph.
func buildLinear(linear *blocks.Linear) func(*blocks.Graph, program.Value) program.Value {
	return func(g *blocks.Graph, src program.Value) program.Value {
		dst := g.Mat(src.Rows(), linear.Out)
		linear.Build(g, dst, src, blocks.Fuse{})
		return dst
	}
}
