package blocks

import (
	"context"
	"slices"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// sinusoidDim is how many numbers DiT and PixArt make of a time or a size.
const sinusoidDim = 256

// TimeCondition is what adaptive norms are conditioned on:
//
//	c = linear_2(silu(linear_1(sinusoid(t)))) + v
//
// where v is a vector for each image that no step changes: that of a label, or of sizes.
type TimeCondition struct {
	Width int

	name     string
	sinusoid *Sinusoid
	time     *TimeEmbedding
}

// timeCondition loads "timestep_embedder".
func (l *Loader) timeCondition(name string, width int, shift float64) TimeCondition {
	return TimeCondition{width, name, NewSinusoid(sinusoidDim, true, shift), l.timestepEmbedder(name+".timestep_embedder", width)}
}

// timestepEmbedder loads the network behind a sinusoid.
func (l *Loader) timestepEmbedder(name string, width int) *TimeEmbedding {
	return l.TimeEmbedding(name, sinusoidDim, width, TimeEmbeddingOptions{Act: kernels.SiLU})
}

// Build appends, and returns, c: a row for each of times. v has as many rows of Width values, or no
// Data for none. times and v are read on every run.
func (t *TimeCondition) Build(g *Graph, times []float64, v tensor.Mat) program.Value {
	sinusoid := g.Mat(len(times), sinusoidDim)
	t.sinusoid.Build(g, t.name+".time_proj", sinusoid, times)
	c := g.Mat(len(times), t.Width)
	t.time.Build(g, c, sinusoid)
	if v.Data == nil {
		return c
	}
	g.Add(program.Op{Name: t.name, Kind: "embedding", Dst: c, Src: []program.Value{c}, Bind: func(m program.Memory) func() {
		d := m.Mat(c)
		return func() {
			for i := range d.Rows {
				to := d.Row(i)
				for j, w := range v.Row(i) {
					to[j] += w
				}
			}
		}
	}})
	return c
}

// TimeLabel is diffusers' CombinedTimestepLabelEmbeddings: a TimeCondition whose v is a label's row of a
// table.
type TimeLabel struct {
	TimeCondition
	Labels *Table
}

// TimeLabel loads "timestep_embedder" and "class_embedder". The table has a row for each label, the last
// of which often is that of no label.
//
// A checkpoint has these weights once for every block, and most often they are the same: if they are
// those of one of loaded, it is returned and no memory kept.
func (l *Loader) TimeLabel(name string, labels, width int, loaded ...*TimeLabel) *TimeLabel {
	before := l.bytes
	t := &TimeLabel{l.timeCondition(name, width, 1), l.Table(name+".class_embedder.embedding_table", labels, width)}
	for _, other := range loaded {
		if t.equal(other) {
			l.bytes = before
			return other
		}
	}
	return t
}

// equal says whether two embeddings have the same weights.
func (t *TimeLabel) equal(other *TimeLabel) bool {
	return slices.Equal(t.Labels.rows.Data, other.Labels.rows.Data) &&
		t.time.linear1.equal(other.time.linear1) && t.time.linear2.equal(other.time.linear2)
}

// equal says whether two layers have the same weights.
func (l *Linear) equal(other *Linear) bool {
	return slices.Equal(l.bias, other.bias) && l.w != nil && other.w != nil && l.w.Equal(other.w)
}

// AdaLayerNormSingle makes the modulations that all blocks of a PixArt have in common, from a
// TimeCondition c: linear(silu(c)), images × 6·channels. In c, v is the embedding of sizes, or nothing.
type AdaLayerNormSingle struct {
	Sizes *SizeEmbedding // nil where sizes are no condition

	name   string
	time   TimeCondition
	linear *Linear
}

// AdaLayerNormSingle loads "emb.timestep_embedder", "linear", and for sizes, which wants a multiple of 3
// channels, "emb.resolution_embedder" and "emb.aspect_ratio_embedder".
func (l *Loader) AdaLayerNormSingle(name string, channels int, sizes bool) *AdaLayerNormSingle {
	a := &AdaLayerNormSingle{name: name, time: l.timeCondition(name+".emb", channels, 0), linear: l.Linear(name+".linear", channels, 6*channels, true)}
	if sizes {
		a.Sizes = l.sizeEmbedding(name+".emb", channels/3)
	}
	return a
}

// Build appends the modulations, makes them the graph's, and returns c. times and v are as in
// TimeCondition.
func (a *AdaLayerNormSingle) Build(g *Graph, times []float64, v tensor.Mat) program.Value {
	c := a.time.Build(g, times, v)
	activated := g.Mat(len(times), c.C)
	g.Activate(a.name+".silu", activated, c, kernels.SiLU)
	g.Modulation = g.Mat(len(times), a.linear.Out)
	a.linear.Build(g, g.Modulation, activated, Fuse{})
	return c
}

// SizeEmbedding makes a vector of a picture's size: [f(height) | f(width) | g(ratio)], each a sinusoid
// with a network behind it. It depends on no step.
type SizeEmbedding struct {
	sinusoid          *Sinusoid
	resolution, ratio *TimeEmbedding
	width             int // of each part
}

// sizeEmbedding loads "resolution_embedder" and "aspect_ratio_embedder".
func (l *Loader) sizeEmbedding(name string, width int) *SizeEmbedding {
	return &SizeEmbedding{
		NewSinusoid(sinusoidDim, true, 0),
		l.timestepEmbedder(name+".resolution_embedder", width), l.timestepEmbedder(name+".aspect_ratio_embedder", width), width,
	}
}

// Embed fills dst for a picture of height × width pixels and an aspect ratio.
func (s *SizeEmbedding) Embed(e *engine.Engine, dst []float32, height, width, ratio float64) {
	g := &Graph{Engine: e}
	sizes, ratios := g.Mat(2, sinusoidDim), g.Mat(1, sinusoidDim)
	s.sinusoid.Build(g, "sizes", sizes, []float64{height, width})
	s.sinusoid.Build(g, "ratio", ratios, []float64{ratio})
	two, one := g.Mat(2, s.width), g.Mat(1, s.width)
	s.resolution.Build(g, two, sizes)
	s.ratio.Build(g, one, ratios)
	g.Add(program.Op{Name: "output", Kind: "copy", Src: []program.Value{two, one}, Bind: func(m program.Memory) func() {
		two, one := m.Mat(two), m.Mat(one)
		return func() {
			n := copy(dst, two.Row(0))
			n += copy(dst[n:], two.Row(1))
			copy(dst[n:], one.Row(0))
		}
	}})
	g.Builder.Build().Run(context.Background()) // which fails only where its context does
}

// TextProjection is PixArt's projection of a caption's tokens: linear_2(act(linear_1(x))). It depends
// on no step.
type TextProjection struct {
	linear1, linear2 *Linear
	act              kernels.Act
}

// TextProjection loads "linear_1", in × hidden, and "linear_2", hidden × out.
func (l *Loader) TextProjection(name string, in, hidden, out int, act kernels.Act) *TextProjection {
	return &TextProjection{l.Linear(name+".linear_1", in, hidden, true), l.Linear(name+".linear_2", hidden, out, true), act}
}

// Project returns the projection of tokens, row by row.
func (t *TextProjection) Project(e *engine.Engine, tokens tensor.Mat) tensor.Mat {
	hidden, out := tensor.MakeMat(tokens.Rows, t.linear1.Out), tensor.MakeMat(tokens.Rows, t.linear2.Out)
	gemm.Mul(e, hidden, tokens, t.linear1.w, gemm.Prologue{}, gemm.Epilogue{Bias: t.linear1.bias, Act: t.act})
	gemm.Mul(e, out, hidden, t.linear2.w, gemm.Prologue{}, gemm.Epilogue{Bias: t.linear2.bias})
	return out
}
