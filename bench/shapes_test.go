package bench

import (
	"testing"

	"github.com/lanewise/lanewise/bench/shapes"
	"github.com/lanewise/lanewise/kernels"
)

// read returns the shapes of a kind, of n numbers each.
func read(b testing.TB, kind string, n int) [][]int {
	b.Helper()
	all, err := shapes.Read(shapes.Files, kind, n)
	if err != nil {
		b.Fatal(err)
	}
	return all
}

// report adds GFLOP/s and the share of the machine's peak to a benchmark whose iteration is flop
// operations.
func report(b *testing.B, flop float64, set *kernels.Set, workers int) {
	b.Helper()
	gflops := flop * float64(b.N) / float64(b.Elapsed().Nanoseconds())
	b.ReportMetric(gflops, "GFLOP/s")
	b.ReportMetric(100*gflops/peak(b, set, workers), "%peak")
}
