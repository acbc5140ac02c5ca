package bench

import (
	"testing"

	"github.com/lanewise/lanewise/activation"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/resample"
	"github.com/lanewise/lanewise/tensor"
)

// BenchmarkActivation is every activation by itself on the images that norms are timed on. Its GB/s
// count one reading and one writing.
func BenchmarkActivation(b *testing.B) {
	for _, act := range kernels.Acts()[1:] { // all but identity
		for _, s := range read(b, "norm", 3) {
			h, w, c := s[0], s[1], s[2]
			each(b, kerneltest.Name("op", act, "h", h, "w", w, "c", c), 0, func(b *testing.B, e *engine.Engine) {
				src, dst := tensor.Mat{Rows: h * w, Cols: c, Stride: c, Data: random(h * w * c)}, tensor.MakeMat(h*w, c)
				activation.Apply(e, dst, src, act)
				for b.Loop() {
					activation.Apply(e, dst, src, act)
				}
				traffic(b, len(src.Data)+len(dst.Data))
			})
		}
	}
}

// BenchmarkResample makes images twice as large or half as large. Its GB/s count both.
func BenchmarkResample(b *testing.B) {
	for _, op := range []struct {
		name string
		call func(e *engine.Engine, large, small tensor.NHWC)
	}{
		{"nearest", func(e *engine.Engine, large, small tensor.NHWC) { resample.Nearest(e, large, small) }},
		{"average", func(e *engine.Engine, large, small tensor.NHWC) { resample.AveragePool(e, small, large, 2) }},
	} {
		for _, s := range read(b, "norm", 3) {
			h, w, c := s[0], s[1], s[2]
			each(b, kerneltest.Name("op", op.name, "h", h, "w", w, "c", c), 0, func(b *testing.B, e *engine.Engine) {
				large, small := tensor.Make(1, h, w, c), tensor.Make(1, h/2, w/2, c)
				copy(large.Data, random(len(large.Data)))
				copy(small.Data, random(len(small.Data)))
				op.call(e, large, small)
				for b.Loop() {
					op.call(e, large, small)
				}
				traffic(b, len(large.Data)+len(small.Data))
			})
		}
	}
}

// traffic reports GB/s of a benchmark whose iteration reads or writes so many values.
func traffic(b *testing.B, values int) {
	b.Helper()
	b.ReportMetric(4*float64(values)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GB/s")
}
