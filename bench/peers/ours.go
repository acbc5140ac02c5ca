package main

import (
	"github.com/lanewise/lanewise/bench/internal/measure"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
)

// ours is Lanewise on one instruction set.
type ours struct {
	*engine.Engine
	peak   *measure.Peak
	triads map[int]*measure.Triad // by bytes
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
	return &ours{Engine: e, peak: measure.NewPeak(e), triads: map[int]*measure.Triad{}}, nil
}

// triad is the triad over arrays of so many bytes.
func (o *ours) triad(bytes int) *measure.Triad {
	t := o.triads[bytes]
	if t == nil {
		t = measure.NewTriad(o.Engine, bytes)
		o.triads[bytes] = t
	}
	return t
}

func (o *ours) name() string { return "Lanewise " + o.Set().ISA.String() }

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
