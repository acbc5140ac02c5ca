package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
)

// What a profile can be broken down by.
const (
	profileByKind = "kind"
	profileByOp   = "op"
)

// writeProfile prints what each kind of op took, or each op, beside what the engine could do.
func writeProfile(w io.Writer, e *engine.Engine, p program.Profile, by string) error {
	peak, what := peakFLOPS(e), "op"
	if by == profileByKind {
		p, what = p.ByKind(), "kind of op"
	}
	fmt.Fprintf(w, "\nU-Net, by %s; the peak is %.0f GFLOP/s (%v, %s):\n", what, peak/1e9, e.Set().ISA, count(e.Workers(), "worker"))
	return p.Write(w, peak)
}

// peakFLOPS measures how many floating-point operations all workers together do in a second: fused
// multiply-adds in registers and nothing else, for a tenth of a second, of which the best moment
// counts.
func peakFLOPS(e *engine.Engine) float64 {
	const iterations = 1 << 14
	best := 0.0
	for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); {
		var flop atomic.Int64
		began := time.Now()
		e.For(e.Workers(), engine.Scratch{}, engine.Func(func(w *engine.Worker, _ int) {
			args := kernels.PeakArgs{Iterations: iterations}
			w.Set.Peak(&args)
			flop.Add(int64(args.FLOP))
		}))
		best = max(best, float64(flop.Load())/time.Since(began).Seconds())
	}
	return best
}
