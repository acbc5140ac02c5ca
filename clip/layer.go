package clip

import (
	"fmt"

	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// layer is one layer of an encoder of texts or images:
//
//	y   = x + out(attention(qkv(norm1(x))))
//	dst = y + fc2(act(fc1(norm2(y))))
type layer struct {
	name         string
	act          kernels.Act
	norm1, norm2 *blocks.LayerNorm
	qkv, out     *blocks.Linear
	fc1, fc2     *blocks.Linear
}

// loadLayers loads count layers of "encoder.layers".
func loadLayers(l *blocks.Loader, model string, count, width, inner int, act kernels.Act, eps float64) []layer {
	all := make([]layer, count)
	for i := range all {
		name := fmt.Sprintf("%s.encoder.layers.%d", model, i)
		attn, mlp := name+".self_attn", name+".mlp"
		all[i] = layer{
			name: name, act: act,
			norm1: l.LayerNorm(name+".layer_norm1", width, eps),
			qkv: l.Stack(attn+".qkv_proj", width, true,
				blocks.Part{Name: attn + ".q_proj", Out: width},
				blocks.Part{Name: attn + ".k_proj", Out: width},
				blocks.Part{Name: attn + ".v_proj", Out: width}),
			out:   l.Linear(attn+".out_proj", width, width, true),
			norm2: l.LayerNorm(name+".layer_norm2", width, eps),
			fc1:   l.Linear(mlp+".fc1", width, inner, true),
			fc2:   l.Linear(mlp+".fc2", inner, width, true),
		}
	}
	return all
}

// build appends the layer, from x to x; normed is a buffer of its size. bias, if it is not nil, holds
// when the program runs what is added to scores, which says all about who sees whom, or nothing.
func (l *layer) build(g *blocks.Graph, x, normed program.Value, s attention.Shape, bias *tensor.Mat) {
	qkv, inner := g.Mat(x.Rows(), 3*x.C), g.Mat(x.Rows(), l.fc1.Out)
	l.norm1.Build(g, normed, x)
	l.qkv.Build(g, qkv, normed, blocks.Fuse{})
	l.buildAttention(g, normed, qkv, s, bias)
	l.out.Build(g, x, normed, blocks.Fuse{Add: x})
	l.norm2.Build(g, normed, x)
	l.fc1.Build(g, inner, normed, blocks.Fuse{Act: l.act})
	l.fc2.Build(g, x, inner, blocks.Fuse{Add: x})
}

// buildAttention appends dst = attention over queries, keys and values, which qkv has beside each
// other.
func (l *layer) buildAttention(g *blocks.Graph, dst, qkv program.Value, s attention.Shape, bias *tensor.Mat) {
	tokens := float64(dst.Rows() / s.Batch)
	pairs := tokens * tokens
	if s.Causal {
		pairs = tokens * (tokens + 1) / 2
	}
	g.Add(program.Op{
		Name: l.name + ".self_attn", Kind: "attention", Dst: dst, Src: []program.Value{qkv},
		Cost: func() program.Cost { return program.Cost{FLOP: 4 * float64(s.Batch) * pairs * float64(dst.C)} },
		Bind: func(m program.Memory) func() {
			d, all := m.Mat(dst), m.Mat(qkv)
			q := all.Columns(0, dst.C)
			kv := []attention.KV{{K: all.Columns(dst.C, 2*dst.C), V: all.Columns(2*dst.C, 3*dst.C)}}
			return func() {
				now := s
				if bias != nil {
					kv[0].Mask = *bias
					now.Causal = s.Causal && bias.Data == nil
				}
				attention.Attend(g.Engine, d, q, kv, now)
			}
		},
	})
}

// keep appends a copy of src to a matrix that is known when the program runs; nothing where it has no
// Data.
func keep(g *blocks.Graph, name string, src program.Value, to func() tensor.Mat) {
	g.Add(program.Op{Name: name, Kind: "copy", Src: []program.Value{src}, Bind: func(m program.Memory) func() {
		s := m.Mat(src)
		return func() {
			d := to()
			for i := range d.Rows {
				copy(d.Row(i), s.Row(i))
			}
		}
	}})
}

// hidden returns the states that left layer i, counted from 1, or nothing where nobody asked.
func hidden(states []tensor.Mat, i int) tensor.Mat {
	if states == nil {
		return tensor.Mat{}
	}
	return states[i]
}
