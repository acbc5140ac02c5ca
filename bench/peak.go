// Package bench holds the benchmarks, of kernels, operators and models, at the shapes of real
// layers (shapes/), measured against what the machine itself can do in the same process.
package bench

import (
	"sync"
	"testing"
	"time"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
)

var peaks sync.Map // of peakKey, in GFLOP/s

type peakKey struct {
	isa     kernels.ISA
	workers int
}

// peak returns what workers cores reach together with set's register-only multiply-adds, in
// GFLOP/s: the best of several tries, measured once in a process.
func peak(b testing.TB, set *kernels.Set, workers int) float64 {
	b.Helper()
	key := peakKey{set.ISA, workers}
	if p, ok := peaks.Load(key); ok {
		return p.(float64)
	}
	e, err := engine.New(engine.Options{Workers: workers, Set: set})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	best := 0.0
	const tries, duration = 10, 5 * time.Millisecond
	args := make([]kernels.PeakArgs, workers)
	for i := range args {
		args[i].Iterations = 1000
	}
	run := engine.Func(func(_ *engine.Worker, tile int) { set.Peak(&args[tile]) })
	for try := 0; try < tries; {
		start := time.Now()
		e.For(workers, engine.Scratch{}, run)
		elapsed := time.Since(start)
		if elapsed < duration {
			for i := range args {
				args[i].Iterations *= 2
			}
			continue
		}
		try++
		best = max(best, float64(workers*args[0].FLOP)/float64(elapsed.Nanoseconds()))
	}
	peaks.Store(key, best)
	return best
}
