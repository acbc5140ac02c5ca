package bench

import (
	"testing"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// BenchmarkAttentionKernels is attention's products and its softmax alone, for a tile of queries and a block of
// keys that stay in the private caches. Softmax, which has no multiply-adds to count, reports the time for 16 scores.
func BenchmarkAttentionKernels(b *testing.B) {
	const keys = 96
	for _, size := range []int{40, 64, 80, 160} {
		for _, kernel := range []string{"score", "softmax", "weigh"} {
			each(b, kerneltest.Name("kernel", kernel, "d", size), 0, func(b *testing.B, e *engine.Engine) {
				if e.Workers() > 1 {
					b.Skip("the kernel is one worker's")
				}
				if kernel == "softmax" && size != 64 {
					b.Skip("it has no size")
				}
				set, lanes := e.Set(), e.Set().Queries
				values := func(n int) []float32 {
					v := tensor.Aligned(n)
					copy(v, random(n))
					return v
				}
				rows, panel, scores := values(keys*size), values(size*lanes), values(keys*lanes)
				top, sum, alpha := values(lanes), values(lanes), values(lanes)
				run, flop := map[string]func(){
					"score": func() {
						set.Score(&kernels.ScoreArgs{Keys: keys, Cols: size, Lanes: lanes, K: rows, KStride: size, Q: panel, S: scores})
					},
					"softmax": func() {
						set.Softmax(&kernels.SoftmaxArgs{Keys: keys, Lanes: lanes, S: scores, Max: top, Sum: sum, Alpha: alpha})
					},
					"weigh": func() {
						set.Weigh(&kernels.WeighArgs{Rows: size, Keys: keys, Lanes: lanes, V: rows, VStride: size, P: scores, O: panel})
					},
				}[kernel], 2*float64(keys*lanes*size)
				run()
				for b.Loop() {
					run()
				}
				if kernel == "softmax" {
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(keys*float64(lanes)/16), "ns/16scores")
					return
				}
				report(b, flop, set, 1)
			})
		}
	}
}
