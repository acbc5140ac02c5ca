package bench

import (
	"testing"

	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// BenchmarkAttention counts the 4·size operations of each pair of query and key, nothing for the
// softmax.
func BenchmarkAttention(b *testing.B) {
	for _, shape := range read(b, "attention", 5) {
		batch, heads, queries, keys, size := shape[0], shape[1], shape[2], shape[3], shape[4]
		for _, set := range kernels.Available() {
			if set.ISA == kernels.Generic {
				continue
			}
			for _, workers := range []int{1, 2} {
				name := kerneltest.Name("isa", set.ISA, "b", batch, "heads", heads, "q", queries, "k", keys, "d", size, "workers", workers)
				b.Run(name, func(b *testing.B) {
					e, err := engine.New(engine.Options{Workers: workers, Set: set})
					if err != nil {
						b.Fatal(err)
					}
					defer e.Close()
					random := func(rows int) tensor.Mat {
						m := tensor.MakeMat(rows, heads*size)
						copy(m.Data, kerneltest.Random(uint64(rows), len(m.Data)))
						return m
					}
					q, dst := random(batch*queries), random(batch*queries)
					kv := []attention.KV{{K: random(batch * keys), V: random(batch * keys)}}
					s := attention.Shape{Batch: batch, Heads: heads}
					attention.Attend(e, dst, q, kv, s)
					for b.Loop() {
						attention.Attend(e, dst, q, kv, s)
					}
					report(b, 4*float64(batch*heads*queries*keys*size), set, workers)
				})
			}
		}
	}
}
