package unet

import (
	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// attentionPool makes one vector of a text's tokens x (diffusers' TextTimeEmbedding, after DeepFloyd
// IF): with m the mean of n = norm1(x) and a learned vector p,
//
//	y = norm2(proj(softmax(q(m+p)·k([m+p; n])ᵀ/√d)·v([m+p; n])))
type attentionPool struct {
	norm1, norm2 *blocks.LayerNorm
	position     []float32
	q, kv, proj  *blocks.Linear
	heads        int
}

// loadAttentionPool loads "norm1", "pool", "proj" and "norm2".
func loadAttentionPool(l *blocks.Loader, name string, in, out, heads int) *attentionPool {
	pool := name + ".pool"
	return &attentionPool{
		norm1:    l.LayerNorm(name+".norm1", in, normEps),
		norm2:    l.LayerNorm(name+".norm2", out, normEps),
		position: l.Tensor(pool+".positional_embedding", 1, in),
		q:        l.Linear(pool+".q_proj", in, in, true),
		kv:       l.Stack(pool+".kv_proj", in, true, blocks.Part{Name: pool + ".k_proj", Out: in}, blocks.Part{Name: pool + ".v_proj", Out: in}),
		proj:     l.Linear(name+".proj", in, out, true),
		heads:    heads,
	}
}

// build appends the pooling of one text's tokens.
func (p *attentionPool) build(g *blocks.Graph, src program.Value) program.Value {
	n := g.Mat(src.Rows(), src.C)
	p.norm1.Build(g, n, src)
	x := g.Mat(1+src.Rows(), src.C)
	g.Add(program.Op{Name: "pool.mean", Kind: "copy", Dst: x, Src: []program.Value{n}, Bind: func(m program.Memory) func() {
		dst, src := m.Mat(x), m.Mat(n)
		return func() { p.prepend(dst, src) }
	}})
	kv := g.Mat(x.Rows(), p.kv.Out)
	p.kv.Build(g, kv, x, blocks.Fuse{})
	first := g.Mat(1, src.C)
	g.Add(program.Op{Name: "pool.first", Kind: "copy", Dst: first, Src: []program.Value{x}, Bind: func(m program.Memory) func() {
		dst, src := m.Mat(first), m.Mat(x)
		return func() { copy(dst.Row(0), src.Row(0)) }
	}})
	q := g.Mat(1, src.C)
	p.q.Build(g, q, first, blocks.Fuse{})
	g.Add(program.Op{Name: "pool", Kind: "attention", Dst: q, Src: []program.Value{q, kv}, Bind: func(m program.Memory) func() {
		q, kv, shape := m.Mat(q), m.Mat(kv), attention.Shape{Batch: 1, Heads: p.heads}
		all := []attention.KV{{K: kv.Columns(0, q.Cols), V: kv.Columns(q.Cols, 2*q.Cols)}}
		return func() { attention.Attend(g.Engine, q, q, all, shape) }
	}})
	y := g.Mat(1, p.proj.Out)
	p.proj.Build(g, y, q, blocks.Fuse{})
	p.norm2.Build(g, y, y)
	return y
}

// prepend fills dst with the mean of src's rows plus the learned vector, and then src.
func (p *attentionPool) prepend(dst, src tensor.Mat) {
	first := dst.Row(0)
	for c := range first {
		sum := 0.0
		for r := range src.Rows {
			sum += float64(src.Row(r)[c])
		}
		first[c] = float32(sum/float64(src.Rows)) + p.position[c]
	}
	for r := range src.Rows {
		copy(dst.Row(r+1), src.Row(r))
	}
}
