package bench

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/kernels"
)

// shapes reads shapes/<name>.txt: a shape of n numbers on each line, comments after #.
func shapes(b testing.TB, name string, n int) (all [][]int) {
	b.Helper()
	path := "shapes/" + name + ".txt"
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != n {
			b.Fatalf("%s: %q: %d numbers, want %d", path, line, len(words), n)
		}
		shape := make([]int, n)
		for i, word := range words {
			if _, err := fmt.Sscan(word, &shape[i]); err != nil {
				b.Fatalf("%s: %q: %v", path, line, err)
			}
		}
		all = append(all, shape)
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
