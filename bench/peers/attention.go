package main

import (
	"fmt"
	"math"

	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/bench/internal/measure"
	"github.com/lanewise/lanewise/tensor"
)

// attentionRow is softmax(q·kᵀ/√size)·v. Its operations are the 4·size of each pair of query and
// key, nothing for the softmax. Lanewise and MultiHeadAttention have the heads of a token side by
// side, the chains of products a head's tokens, which is what suits them.
func attentionRow(shape []int) row {
	batch, heads, queries, keys, size := shape[0], shape[1], shape[2], shape[3], shape[4]
	return row{
		kind: "attention", shape: fmt.Sprintf("%d×%d heads %d×%d d%d", batch, heads, queries, keys, size),
		work: 4 * float64(batch*heads*size) * float64(queries*keys), unit: "GFLOP/s", tolerance: 1e-4,
		enter: func(r *race) {
			width, scale := heads*size, float32(1/math.Sqrt(float64(size)))
			q, k, v := measure.Random(1, batch*queries*width), measure.Random(2, batch*keys*width), measure.Random(3, batch*keys*width)
			matrix := func(rows int, data []float32) tensor.Mat {
				return tensor.Mat{Rows: batch * rows, Cols: width, Stride: width, Data: data}
			}
			r.lanewise("", func() []float32 { return tensor.Aligned(len(q)) }, func(o *ours, dst []float32) func() {
				kv := []attention.KV{{K: matrix(keys, k), V: matrix(keys, v)}}
				return func() {
					attention.Attend(o.Engine, matrix(queries, dst), matrix(queries, q), kv, attention.Shape{Batch: batch, Heads: heads})
				}
			})

			all := batch * heads
			restore := func(values []float32) []float32 { return swapped(values, batch, heads, queries, size) }
			apart := func(tokens int, values []float32) []float32 { return swapped(values, batch, tokens, heads, size) }
			r.add(oneDNN, "products", func() (contender, error) {
				p := newDNN(r.workers)
				p.restore = restore
				mq, mv, y := p.plain(all, queries, size), p.plain(all, keys, size), p.plain(all, queries, size)
				mk := p.tensor([]int{all, size, keys}, []int{keys * size, 1, size}, false) // transposed where it lies
				scores := p.plain(all, queries, keys)
				p.matmul(scores, mq, mk, scale)
				p.softmax(scores, scores, 2)
				p.matmul(y, scores, mv, 1)
				p.fill(mq, apart(queries, q))
				p.fill(mv, apart(keys, v))
				p.fill(mk, apart(keys, k))
				return p.finish(y)
			})

			r.add(onnxRuntime, "MultiHeadAttention", func() (contender, error) {
				return sessionOf(newORT(r.workers, model{
					nodes: []node{{op: "MultiHeadAttention", domain: microsoft, in: []string{"q", "k", "v"}, out: []string{"y"},
						attributes: []attribute{{"num_heads", heads}}}},
					inputs:  []operand{{"q", []int{batch, queries, width}}, {"k", []int{batch, keys, width}}, {"v", []int{batch, keys, width}}},
					outputs: []operand{{"y", []int{batch, queries, width}}},
				}, q, k, v))
			})
			r.add(onnxRuntime, "products", func() (contender, error) {
				s, err := newORT(r.workers, model{
					nodes: []node{
						{op: "Mul", in: []string{"q", "scale"}, out: []string{"scaled"}},
						{op: "MatMul", in: []string{"scaled", "k"}, out: []string{"scores"}},
						{op: "Softmax", in: []string{"scores"}, out: []string{"weights"}, attributes: []attribute{{"axis", -1}}},
						{op: "MatMul", in: []string{"weights", "v"}, out: []string{"y"}},
					},
					constants: []constant{{"scale", nil, []float32{scale}}},
					inputs:    []operand{{"q", []int{all, queries, size}}, {"k", []int{all, size, keys}}, {"v", []int{all, keys, size}}},
					outputs:   []operand{{"y", []int{all, queries, size}}},
				}, apart(queries, q), transposed(apart(keys, k), all, keys, size), apart(keys, v))
				if err != nil {
					return nil, err
				}
				s.restore = restore
				return s, nil
			})
		},
	}
}
