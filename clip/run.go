package clip

import (
	"math"
	"slices"
	"sync"

	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// textShape is what the program of an encoder depends on.
type textShape struct{ texts, tokens int }

// textRun is an encoder's program at one shape with what it reads and writes. It has one user at
// a time.
type textRun struct {
	shape   textShape
	program *program.Program

	ids, positions []int      // a token each
	ends           []int      // a text each: the row of its end
	mask           tensor.Mat // memory for one, texts × tokens
	visible        tensor.Mat // mask, or nothing where all tokens are seen
	out            *TextOutput
}

// newRun builds the program for a shape.
func (m *TextModel) newRun(shape textShape) *textRun {
	c, rows := m.Config, shape.texts*shape.tokens
	r := &textRun{
		shape: shape, ids: make([]int, rows), positions: make([]int, rows), ends: make([]int, shape.texts),
		mask: tensor.MakeMat(shape.texts, shape.tokens),
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
	r.keep(g, embeddings, x, func(out *TextOutput) tensor.Mat { return out.hidden(0) })
	for i, l := range m.layers {
		m.buildLayer(g, x, normed, l, r)
		r.keep(g, l.name, x, func(out *TextOutput) tensor.Mat { return out.hidden(i + 1) })
	}
	m.final.Build(g, normed, x)
	r.keep(g, m.final.Name, normed, func(out *TextOutput) tensor.Mat { return out.States })
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

// buildLayer appends one layer, from x to x; normed is a buffer of its size.
func (m *TextModel) buildLayer(g *blocks.Graph, x, normed program.Value, l textLayer, r *textRun) {
	c := m.Config
	qkv, inner := g.Mat(x.Rows(), 3*c.Width), g.Mat(x.Rows(), c.Inner)
	l.norm1.Build(g, normed, x)
	l.qkv.Build(g, qkv, normed, blocks.Fuse{})
	r.buildAttention(g, l.name+".self_attn", normed, qkv, c.Heads)
	l.out.Build(g, x, normed, blocks.Fuse{Add: x})
	l.norm2.Build(g, normed, x)
	l.fc1.Build(g, inner, normed, blocks.Fuse{Act: c.Act})
	l.fc2.Build(g, x, inner, blocks.Fuse{Add: x})
}

// buildAttention appends dst = causal attention over queries, keys and values, which qkv has
// beside each other, with the run's mask.
func (r *textRun) buildAttention(g *blocks.Graph, name string, dst, qkv program.Value, heads int) {
	width, pairs := dst.C, float64(r.shape.texts*r.shape.tokens*(r.shape.tokens+1)/2)
	shape := attention.Shape{Batch: r.shape.texts, Heads: heads, Causal: true}
	g.Add(program.Op{
		Name: name, Kind: "attention", Dst: dst, Src: []program.Value{qkv},
		Cost: func() program.Cost { return program.Cost{FLOP: 4 * pairs * float64(width)} },
		Bind: func(m program.Memory) func() {
			d, s := m.Mat(dst), m.Mat(qkv)
			q := s.Columns(0, width)
			kv := []attention.KV{{K: s.Columns(width, 2*width), V: s.Columns(2*width, 3*width)}}
			return func() {
				kv[0].Mask = r.visible
				attention.Attend(g.Engine, d, q, kv, shape)
			}
		},
	})
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
	g.Add(program.Op{Name: name, Kind: "copy", Src: []program.Value{src}, Bind: func(m program.Memory) func() {
		s := m.Mat(src)
		return func() {
			d := to(r.out)
			for i := range d.Rows {
				copy(d.Row(i), s.Row(i))
			}
		}
	}})
}

// set puts what Encode was given where the program reads it.
func (r *textRun) set(ids [][]int, o TextOptions, end func(text []int) int) {
	r.visible = tensor.Mat{}
	if o.Mask != nil {
		r.visible = r.mask
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
		}
		if o.Mask == nil {
			continue
		}
		for t, seen := range o.Mask[i] {
			// As in transformers, so that a token which sees none, not even itself, sees all before
			// it equally.
			r.mask.Row(i)[t] = 0
			if !seen {
				r.mask.Row(i)[t] = -math.MaxFloat32
			}
		}
	}
}

// freeRuns keeps the runs that nobody uses, a few of them.
type freeRuns struct {
	mu   sync.Mutex
	free []*textRun // the one that was used last is last
}

// freeMost is how many runs are kept: prompts have one length or two, in batches of one or two.
const freeMost = 4

// take returns a run of a shape, or nil.
func (f *freeRuns) take(shape textShape) *textRun {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, r := range f.free {
		if r.shape == shape {
			f.free = slices.Delete(f.free, i, i+1)
			return r
		}
	}
	return nil
}

// put gives a run back.
func (f *freeRuns) put(r *textRun) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.free) == freeMost {
		f.free = slices.Delete(f.free, 0, 1)
	}
	f.free = append(f.free, r)
}
