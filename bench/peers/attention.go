package main

import (
	"fmt"
	"math"
	"slices"

	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/bench/internal/measure"
	"github.com/lanewise/lanewise/tensor"
)

// attentionSheets are the kinds of attention that models have.
var attentionSheets = []sheet{
	{"attention", 5, one(func(s []int) row {
		return attentionRow(attentionShape{batch: s[0], heads: s[1], queries: s[2], keys: s[3:4], size: s[4]})
	})},
	{"attention-masked", 6, one(func(s []int) row {
		return attentionRow(attentionShape{batch: s[0], heads: s[1], queries: s[2], keys: s[3:4], masked: s[4], size: s[5]})
	})},
	{"attention-causal", 4, one(func(s []int) row {
		return attentionRow(attentionShape{batch: s[0], heads: s[1], queries: s[2], keys: s[2:3], causal: true, size: s[3]})
	})},
	{"attention-contexts", 6, one(func(s []int) row {
		return attentionRow(attentionShape{batch: s[0], heads: s[1], queries: s[2], keys: s[3:5], size: s[5]})
	})},
}

// attentionShape is what attention has to do.
type attentionShape struct {
	batch, heads, queries, size int
	keys                        []int // of each context
	masked                      int   // of the first context's keys, the last ones, that no query sees
	causal                      bool
}

func (s attentionShape) String() string {
	keys := fmt.Sprint(s.keys[0])
	for _, n := range s.keys[1:] {
		keys += fmt.Sprint("+", n)
	}
	name := fmt.Sprintf("%d×%d heads %d×%s d%d", s.batch, s.heads, s.queries, keys, s.size)
	switch {
	case s.causal:
		name += " causal"
	case s.masked > 0:
		name += fmt.Sprintf(", %d masked", s.masked)
	}
	return name
}

// work is the 4·size operations of each pair of query and key, masked or not, nothing for the softmax.
func (s attentionShape) work() (operations float64) {
	for _, keys := range s.keys {
		operations += 4 * float64(s.batch*s.heads*s.size) * float64(s.queries*keys)
	}
	return operations
}

// attentionData is a shape with its operands as projections leave them: the heads of a token side by side.
type attentionData struct {
	attentionShape
	q        []float32
	contexts []attentionContext
	mask     []float32 // added to the first context's scores: a value for each key, or for each query and key where causal; or nil
	scale    float32   // of the scores
}

// attentionContext is the keys and values of a context, whose result counts by weight.
type attentionContext struct {
	keys   int
	k, v   []float32
	weight float32
}

// width is how many values a token has.
func (s attentionShape) width() int { return s.heads * s.size }

// secondWeight is how an image prompt counts beside the text.
const secondWeight = 0.6

func (s attentionShape) data() attentionData {
	d := attentionData{attentionShape: s, q: measure.Random(1, s.batch*s.queries*s.width()), scale: float32(1 / math.Sqrt(float64(s.size)))}
	for i, keys := range s.keys {
		c := attentionContext{keys: keys, weight: 1}
		if i > 0 {
			c.weight = secondWeight
		}
		c.k = measure.Random(uint32(2*i+2), s.batch*keys*s.width())
		c.v = measure.Random(uint32(2*i+3), len(c.k))
		d.contexts = append(d.contexts, c)
	}
	out := float32(math.Inf(-1))
	switch keys := s.keys[0]; {
	case s.causal:
		d.mask = tensor.Aligned(s.queries * keys)
		for q := range s.queries {
			for k := q + 1; k < keys; k++ {
				d.mask[q*keys+k] = out
			}
		}
	case s.masked > 0:
		d.mask = tensor.Aligned(keys)
		for k := keys - s.masked; k < keys; k++ {
			d.mask[k] = out
		}
	}
	return d
}

// apart returns the rows of tokens of each head together.
func (d *attentionData) apart(tokens int, values []float32) []float32 {
	return swapped(values, d.batch, tokens, d.heads, d.size)
}

// together returns a result as Lanewise has it, from one whose heads are apart.
func (d *attentionData) together(values []float32) []float32 {
	return swapped(values, d.batch, d.heads, d.queries, d.size)
}

// attentionRow is the sum over contexts of weight·softmax(q·kᵀ/√size + mask)·v. Lanewise and MultiHeadAttention have
// the heads of a token side by side, the chains of products a head's tokens, which is what suits them.
func attentionRow(s attentionShape) row {
	return row{
		kind: "attention", shape: s.String(), work: s.work(), unit: "GFLOP/s", tolerance: 1e-4,
		enter: func(r *race) {
			d := s.data()
			r.lanewise("", func() []float32 { return tensor.Aligned(len(d.q)) }, d.attend)
			d.products(r)
			d.onnx(r)
			d.torch(r)
		},
	}
}

// attend is Lanewise's.
func (d *attentionData) attend(o *ours, dst []float32) func() {
	matrix := func(rows int, data []float32) tensor.Mat {
		return tensor.Mat{Rows: d.batch * rows, Cols: d.width(), Stride: d.width(), Data: data}
	}
	var kv []attention.KV
	for _, c := range d.contexts {
		kv = append(kv, attention.KV{K: matrix(c.keys, c.k), V: matrix(c.keys, c.v), Scale: c.weight})
	}
	if d.masked > 0 {
		kv[0].Mask = tensor.MakeMat(d.batch, d.keys[0])
		for image := range d.batch {
			copy(kv[0].Mask.Row(image), d.mask)
		}
	}
	shape := attention.Shape{Batch: d.batch, Heads: d.heads, Causal: d.causal}
	return func() { attention.Attend(o.Engine, matrix(d.queries, dst), matrix(d.queries, d.q), kv, shape) }
}

// products are oneDNN's: product, softmax, product, of all heads at once. The keys and values of a context are the same
// at every step of sampling: a variant has them as it likes them.
func (d *attentionData) products(r *race) {
	variants := []string{"products"}
	if len(d.keys) > 1 || d.keys[0] != d.queries {
		variants = append(variants, "products, context laid out")
	}
	for _, variant := range variants {
		r.add(oneDNN, variant, func() (contender, error) {
			p := newDNN(r.workers)
			p.restore = d.together
			all := d.batch * d.heads
			q, y := p.plain(all, d.queries, d.size), p.plain(all, d.queries, d.size)
			for i, c := range d.contexts {
				operand := func(rows, cols, row, col int) dnnTensor {
					return p.tensor([]int{all, rows, cols}, []int{rows * cols, row, col}, variant != "products")
				}
				k, v := operand(d.size, c.keys, 1, d.size), operand(c.keys, d.size, d.size, 1) // k transposed where it lies
				scores := p.plain(all, d.queries, c.keys)
				after := dnnAfter{scale: d.scale}
				var mask dnnTensor
				switch {
				case i > 0 || d.mask == nil:
				case d.causal: // one matrix for all heads would run in its reference implementation
					mask = p.plain(all, d.queries, c.keys)
					after.mask = mask
				default:
					mask = p.plain(1, 1, c.keys)
					after.bias = mask
				}
				p.matmul(scores, q, k, after)
				p.softmax(scores, scores, 2)
				p.matmul(y, scores, v, dnnAfter{scale: c.weight, sum: i > 0})
				p.fill(k, d.apart(c.keys, c.k))
				p.fill(v, d.apart(c.keys, c.v))
				if mask.c != nil {
					p.fill(mask, slices.Repeat(d.mask, mask.size/len(d.mask)))
				}
			}
			p.fill(q, d.apart(d.queries, d.q))
			return p.finish(y)
		})
	}
}

// torch is PyTorch's, as diffusers calls it: pytorch.py says how.
func (d *attentionData) torch(r *race) {
	c := torchCall{Op: "attention", Batch: d.batch * d.heads, Size: d.size, Queries: d.queries, Keys: d.keys, Scale: d.scale}
	operands := [][]float32{d.apart(d.queries, d.q)}
	for _, context := range d.contexts {
		c.Weights = append(c.Weights, context.weight)
		operands = append(operands, d.apart(context.keys, context.k), d.apart(context.keys, context.v))
	}
	if d.mask != nil {
		c.Mask = len(d.mask) / d.keys[0]
		operands = append(operands, d.mask)
	}
	r.torch("", c, len(d.q), d.together, operands...)
}
