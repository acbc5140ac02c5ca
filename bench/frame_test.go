package bench

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/bench/internal/measure"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
)

// genericFLOP is the most work that the pure-Go kernels, some hundred times slower than the
// others, are timed on.
const genericFLOP = 100e6

// each runs f for every Set and for one worker and all, as isa=<isa>/<name>/workers=<workers>. flop
// is the work of one call, for which generic may be left out.
func each(b *testing.B, name string, flop float64, f func(b *testing.B, e *engine.Engine)) {
	for _, set := range kernels.Available() {
		if set.ISA == kernels.Generic && flop > genericFLOP {
			continue
		}
		counts := []int{1}
		if n := runtime.GOMAXPROCS(0); n > 1 {
			counts = append(counts, n)
		}
		for _, workers := range counts {
			parts := []string{"isa=" + set.ISA.String(), name, fmt.Sprintf("workers=%d", workers)}
			if name == "" {
				parts = []string{parts[0], parts[2]}
			}
			b.Run(strings.Join(parts, "/"), func(b *testing.B) {
				e, err := engine.New(engine.Options{Set: set, Workers: workers})
				if err != nil {
					b.Fatal(err)
				}
				defer e.Close()
				f(b, e)
			})
		}
	}
}

// random makes n values between −1 and 1.
func random(n int) []float32 { return measure.Random(0, n) }

func median(v []float64) float64 { return measure.Median(v) }
