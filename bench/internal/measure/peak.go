// Package measure is what the programs that compare speeds share: the machine's peak, bursts in turns,
// medians of rounds, data.
package measure

import (
	"time"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
)

// Peak measures multiply-adds that never leave the registers.
type Peak struct {
	e          *engine.Engine
	iterations int
	args       []kernels.PeakArgs // eight for each worker, so that no two share a cache line
}

// NewPeak finds how many iterations of the loop take 20 µs.
func NewPeak(e *engine.Engine) *Peak {
	p := &Peak{e: e, iterations: 1000, args: make([]kernels.PeakArgs, e.Workers()*8)}
	for {
		start := time.Now()
		p.Tile(&engine.Worker{Set: e.Set()}, 0)
		if d := time.Since(start); d > 20*time.Microsecond {
			p.iterations = int(float64(p.iterations)*20/(float64(d)/float64(time.Microsecond))) + 1
			return p
		}
		p.iterations *= 2
	}
}

// Rate returns the GFLOP/s of all workers at once: the median of a few runs of 2 ms. Clocks and
// neighbours change from second to second, so it is measured close to what is compared with it.
func (p *Peak) Rate() float64 {
	const runs, tiles = 5, 100 // for each worker
	rates := make([]float64, runs)
	for i := range rates {
		start := time.Now()
		p.e.For(tiles*p.e.Workers(), engine.Scratch{}, p)
		rates[i] = float64(p.args[0].FLOP) * float64(tiles*p.e.Workers()) / float64(time.Since(start).Nanoseconds())
	}
	return Median(rates)
}

// Tile is the loop, once.
func (p *Peak) Tile(w *engine.Worker, _ int) {
	a := &p.args[w.Index*8]
	a.Iterations = p.iterations
	w.Set.Peak(a)
}
