package clip

import (
	"math"

	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// textShape is what the program of an encoder depends on.
type textShape struct{ texts, tokens, skip int }

// textRun is an encoder's program at one shape with what it reads and writes. It has one user at
// a time.
type textRun struct {
	shape   textShape
	program *program.Program

	ids, positions []int      // a token each
	ends           []int      // a text each: the row of its end
	mask           tensor.Mat // memory for what masks add to scores: tokens × tokens for each text
	bias           tensor.Mat // mask, or nothing where all tokens are seen
	out            *TextOutput
}

// of returns the run's shape.
func (r *textRun) of() textShape { return r.shape }

// newRun builds the program for a shape.
func (m *TextModel) newRun(shape textShape) *textRun {
	c, rows := m.Config, shape.texts*shape.tokens
	r := &textRun{
		shape: shape, ids: make([]int, rows), positions: make([]int, rows), ends: make([]int, shape.texts),
		mask: tensor.MakeMat(rows, shape.tokens),
	}
	g := &blocks.Graph{Engine: m.engine}
	x, normed := g.Mat(rows, c.Width), g.Mat(rows, c.Width)
	const embeddings = "text_model.embeddings"
	g.Add(program.Op{Name: embeddings, Kind: "embedding", Dst: x, Bind: func(m program.Memory) func() {
		x := m.Mat(x)
		return func() {
			for i := range x.Rows {
				clear(x.Row(i))
			}
		}
	}})
	m.token.Build(g, x, r.ids)
	m.position.Build(g, x, r.positions)
	left := func(name string, layers int) { // what is kept of x behind so many layers
		r.keep(g, name, x, func(out *TextOutput) tensor.Mat { return hidden(out.Hidden, layers) })
		if layers == c.Layers-shape.skip {
			m.final.Build(g, normed, x)
			r.keep(g, m.final.Name, normed, func(out *TextOutput) tensor.Mat { return out.States })
		}
	}
	left(embeddings, 0)
	attends := attention.Shape{Batch: shape.texts, Heads: c.Heads, Causal: true}
	for i, l := range m.layers {
		l.build(g, x, normed, attends, &r.bias)
		left(l.name, i+1)
	}
	if shape.skip > 0 {
		m.final.Build(g, normed, x)
	}
	pooled := g.Mat(shape.texts, c.Width)
	r.buildPool(g, pooled, normed)
	r.keep(g, "pooled", pooled, func(out *TextOutput) tensor.Mat { return out.Pooled })
	if m.projection != nil {
		embedding := g.Mat(shape.texts, c.Projection)
		m.projection.Build(g, embedding, pooled, blocks.Fuse{})
		r.keep(g, m.projection.Name, embedding, func(out *TextOutput) tensor.Mat { return out.Embedding })
	}
	r.program = g.Build()
	return r
}

// buildPool appends dst = the rows of src that are the ends of texts.
func (r *textRun) buildPool(g *blocks.Graph, dst, src program.Value) {
	g.Add(program.Op{Name: "pooled", Kind: "copy", Dst: dst, Src: []program.Value{src}, Bind: func(m program.Memory) func() {
		d, s := m.Mat(dst), m.Mat(src)
		return func() {
			for i, row := range r.ends {
				copy(d.Row(i), s.Row(row))
			}
		}
	}})
}

// keep appends a copy of src to where it belongs in the output; to is nothing where nobody asked.
func (r *textRun) keep(g *blocks.Graph, name string, src program.Value, to func(*TextOutput) tensor.Mat) {
	keep(g, name, src, func() tensor.Mat { return to(r.out) })
}

// set puts what Encode was given where the program reads it.
func (r *textRun) set(ids [][]int, o TextOptions, end func(text []int) int) {
	r.bias = tensor.Mat{}
	if o.Mask != nil {
		r.bias = r.mask
	}
	for i, text := range ids {
		first := i * r.shape.tokens
		copy(r.ids[first:], text)
		r.ends[i] = first + end(text)
		for t := range text {
			at := t
			if o.Positions != nil {
				at = o.Positions[i][t]
			}
			r.positions[first+t] = at
			if o.Mask != nil {
				maskRow(r.mask.Row(first+t), t, o.Mask[i])
			}
		}
	}
}

// maskRow fills row with what is added to the scores of token t. As in transformers, the order of
// tokens and the mask each take one out by the lowest number there is: a token that sees none, not even
// itself, sees equally all that only one of them takes out.
func maskRow(row []float32, t int, seen []bool) {
	for k, see := range seen {
		row[k] = 0
		if k > t {
			row[k] = -math.MaxFloat32
		}
		if !see {
			row[k] -= math.MaxFloat32 // −Inf where there are both
		}
	}
}
