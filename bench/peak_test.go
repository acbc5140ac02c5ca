package bench

import (
	"testing"
	"time"

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
		const size = 8 << 20 // values of each array, 32 MiB
		t := triadJob{dst: random(size), b: random(size), c: random(size), args: make([]kernels.TriadArgs, e.Workers())}
		var flops, bytes []float64
		for b.Loop() {
			flops = append(flops, peak(b, e.Set(), e.Workers()))
			bytes = append(bytes, t.rate(e))
		}
		b.ReportMetric(median(flops), "GFLOP/s")
		b.ReportMetric(median(bytes), "GB/s")
	})
}

// triadJob runs the triad over its arrays, a piece of each at a time.
type triadJob struct {
	dst, b, c []float32
	args      []kernels.TriadArgs
}

const triadPiece = 1 << 14 // values

// rate returns GB/s, two arrays read and one written: the median of a few runs.
func (j *triadJob) rate(e *engine.Engine) float64 {
	const runs = 5
	rates := make([]float64, runs)
	for i := range rates {
		start := time.Now()
		e.For(len(j.dst)/triadPiece, engine.Scratch{}, j)
		rates[i] = 3 * 4 * float64(len(j.dst)) / float64(time.Since(start).Nanoseconds())
	}
	return median(rates)
}

// Tile does one piece.
func (j *triadJob) Tile(w *engine.Worker, i int) {
	from, to := i*triadPiece, (i+1)*triadPiece
	a := &j.args[w.Index]
	*a = kernels.TriadArgs{Dst: j.dst[from:to], B: j.b[from:to], C: j.c[from:to], S: 0.5}
	w.Set.Triad(a)
}
