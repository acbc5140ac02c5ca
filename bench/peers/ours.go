package main

import (
	"time"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
)

// ours is Lanewise on one instruction set.
type ours struct {
	*engine.Engine
	job peakJob
}

// newOurs starts an engine.
func newOurs(isa kernels.ISA, workers int) (*ours, error) {
	set, err := kernels.Lookup(isa)
	if err != nil {
		return nil, err
	}
	e, err := engine.New(engine.Options{Set: set, Workers: workers})
	if err != nil {
		return nil, err
	}
	o := &ours{Engine: e, job: peakJob{iterations: 1000, args: make([]kernels.PeakArgs, workers*8)}}
	for { // how many iterations take 20 µs
		start := time.Now()
		o.job.Tile(&engine.Worker{Set: set}, 0)
		if d := time.Since(start); d > 20*time.Microsecond {
			o.job.iterations = int(float64(o.job.iterations)*20/(float64(d)/float64(time.Microsecond))) + 1
			return o, nil
		}
		o.job.iterations *= 2
	}
}

func (o *ours) name() string { return "Lanewise " + o.Set().ISA.String() }

// peak returns the GFLOP/s of multiply-adds that never leave the registers, on all workers at once:
// the median of a few runs of 2 ms.
func (o *ours) peak() float64 {
	const runs, tiles = 5, 100 // for each worker
	rates := make([]float64, runs)
	for i := range rates {
		start := time.Now()
		o.For(tiles*o.Workers(), engine.Scratch{}, &o.job)
		rates[i] = float64(o.job.args[0].FLOP) * float64(tiles*o.Workers()) / float64(time.Since(start).Nanoseconds())
	}
	return median(rates)
}

// peakJob's tile is the loop, once.
type peakJob struct {
	iterations int
	args       []kernels.PeakArgs // eight for each worker, so that no two share a cache line
}

func (j *peakJob) Tile(w *engine.Worker, _ int) {
	a := &j.args[w.Index*8]
	a.Iterations = j.iterations
	w.Set.Peak(a)
}

// call is a contender of ours: one call of an operator.
type call struct {
	dst     []float32
	compute func()
}

// Run runs on a goroutine of its own: the one that calls libraries in C is tied to its thread, and a
// tied goroutine that yields costs a switch of threads, which a Go program does not pay.
func (c *call) Run(times int) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range times {
			c.compute()
		}
	}()
	<-done
	return nil
}

func (c *call) Output() ([]float32, error) { return c.dst, nil }
func (c *call) Close()                     {}
