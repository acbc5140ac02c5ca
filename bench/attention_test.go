package bench

import (
	"fmt"
	"math"
	"testing"

	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/tensor"
)

// heads is a problem of attention: as many keys for each context as are listed.
type heads struct {
	batch, heads, queries, size int
	keys                        []int
}

// flop counts the 4·size operations of each pair of query and key, nothing for the softmax.
func (h heads) flop() (n float64) {
	for _, keys := range h.keys {
		n += 4 * float64(h.batch*h.heads*h.queries*h.size) * float64(keys)
	}
	return n
}

// operands are random.
func (h heads) operands() (dst, q tensor.Mat, kv []attention.KV, s attention.Shape) {
	matrix := func(rows int) tensor.Mat {
		m := tensor.MakeMat(rows, h.heads*h.size)
		copy(m.Data, random(len(m.Data)))
		return m
	}
	for _, keys := range h.keys {
		kv = append(kv, attention.KV{K: matrix(h.batch * keys), V: matrix(h.batch * keys)})
	}
	return matrix(h.batch * h.queries), matrix(h.batch * h.queries), kv, attention.Shape{Batch: h.batch, Heads: h.heads}
}

// run times the problem after it was changed by change.
func (h heads) run(b *testing.B, name string, change func(kv []attention.KV, s *attention.Shape)) {
	each(b, name, h.flop(), func(b *testing.B, e *engine.Engine) {
		dst, q, kv, s := h.operands()
		change(kv, &s)
		attention.Attend(e, dst, q, kv, s)
		for b.Loop() {
			attention.Attend(e, dst, q, kv, s)
		}
		report(b, h.flop(), e.Set(), e.Workers())
	})
}

func plain([]attention.KV, *attention.Shape) {}

// BenchmarkAttention runs the layers of models.
func BenchmarkAttention(b *testing.B) {
	for _, s := range read(b, "attention", 5) {
		h := heads{batch: s[0], heads: s[1], queries: s[2], keys: s[3:4], size: s[4]}
		h.run(b, kerneltest.Name("b", s[0], "heads", s[1], "q", s[2], "k", s[3], "d", s[4]), plain)
	}
}

// BenchmarkHeadSize runs heads of every kind of size, those that no model has too.
func BenchmarkHeadSize(b *testing.B) {
	for _, size := range []int{1, 2, 3, 4, 8, 13, 16, 20, 24, 32, 37, 40, 48, 56, 64, 72, 80, 88, 96, 101, 112, 128, 144, 160, 192, 211, 256, 320, 384, 449, 512} {
		heads{batch: 1, heads: 2, queries: 1024, keys: []int{1024}, size: size}.run(b, fmt.Sprintf("d=%d", size), plain)
	}
}

// BenchmarkAttentionMask shows what masks cost.
func BenchmarkAttentionMask(b *testing.B) {
	for _, h := range []heads{
		{batch: 2, heads: 8, queries: 1024, keys: []int{77}, size: 80},
		{batch: 1, heads: 8, queries: 1024, keys: []int{1024}, size: 80},
		{batch: 1, heads: 12, queries: 77, keys: []int{77}, size: 64},
	} {
		mask := func(rows int) func([]attention.KV, *attention.Shape) {
			return func(kv []attention.KV, s *attention.Shape) {
				m := tensor.MakeMat(rows, h.keys[0])
				for i := range m.Data {
					m.Data[i] = []float32{0, 0, float32(math.Inf(-1))}[i%3]
				}
				kv[0].Mask = m
			}
		}
		name := kerneltest.Name("b", h.batch, "heads", h.heads, "q", h.queries, "k", h.keys[0], "d", h.size)
		h.run(b, name+"/mask=none", plain)
		h.run(b, name+"/mask=key", mask(h.batch))
		h.run(b, name+"/mask=pair", mask(h.batch*h.queries))
		h.run(b, name+"/mask=causal", func(_ []attention.KV, s *attention.Shape) { s.Causal = true })
	}
}

// BenchmarkAttentionContexts shows what the tokens of an image prompt cost beside those of a text, and what
// they would cost as keys of the same softmax.
func BenchmarkAttentionContexts(b *testing.B) {
	h := heads{batch: 2, heads: 8, queries: 4096, size: 40}
	for _, keys := range [][]int{{77}, {77, 4}, {77, 16}, {77, 257}} {
		h.keys = keys
		h.run(b, fmt.Sprintf("k=%v", keys), plain)
		if len(keys) > 1 {
			h.run(b, fmt.Sprintf("k=%v/joint", keys), func(_ []attention.KV, s *attention.Shape) { s.Joint = true })
		}
	}
}
