package bench

import (
	"testing"

	"github.com/lanewise/lanewise/bench/internal/measure"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
)

// peak returns the GFLOP/s of multiply-adds that never leave the registers, on all workers at once,
// measured anew at each call.
func peak(b testing.TB, set *kernels.Set, workers int) float64 {
	b.Helper()
	e, err := engine.New(engine.Options{Set: set, Workers: workers})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	return measure.NewPeak(e).Rate()
}

// BenchmarkPeak is what everything else is measured by: multiply-adds in registers, and the traffic
// of STREAM's triad over arrays that no private cache holds.
func BenchmarkPeak(b *testing.B) {
	each(b, "", 0, func(b *testing.B, e *engine.Engine) {
		t := measure.NewTriad(e, 3*32<<20)
		var flops, bytes []float64
		for b.Loop() {
			flops = append(flops, peak(b, e.Set(), e.Workers()))
			bytes = append(bytes, t.Rate())
		}
		b.ReportMetric(median(flops), "GFLOP/s")
		b.ReportMetric(median(bytes), "GB/s")
	})
}
