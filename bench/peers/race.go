package main

import (
	"fmt"
	"runtime"
	"syscall"
	"time"

	"github.com/lanewise/lanewise/bench/internal/measure"
)

// row is one shape of one kind, before it is known who computes it.
type row struct {
	kind, shape string
	work        float64 // of one run: floating-point operations or bytes
	unit        string  // of work in a nanosecond
	tolerance   float64 // how far results may lie from Lanewise's, beside the largest of them
	enter       func(r *race)
}

// race is a row at a number of workers, and everybody who runs it.
type race struct {
	row
	workers int
	ours    []*ours
	theirs  *ours // on the widest instruction set that libraries may take
	loaded  func(*peer) bool
	entries []*entry
}

// entry is a contender with what is known of it.
type entry struct {
	lanewise *ours // whose it is, or
	peer     *peer
	variant  string // which of several ways it is; empty where there is one
	runner   contender
	work     float64   // of one run
	want     []float32 // what it must compute; nil is what Lanewise does

	kernel string        // what the library calls its implementation, where it says so
	first  time.Duration // of the first run
	times  int           // runs in a burst
	rates  []float64     // of each round
	peaks  []float64     // what the machine can do, measured after each burst
	note   string        // why it does not take part
}

// lanewise enters a contender for every instruction set: compute is one run of it, into dst.
func (r *race) lanewise(variant string, dst func() []float32, compute func(o *ours, dst []float32) func()) {
	for _, o := range r.ours {
		d := dst()
		r.entries = append(r.entries, &entry{lanewise: o, variant: variant, work: r.work, runner: &call{dst: d, compute: compute(o, d)}})
	}
}

// way returns the contender that is Lanewise's on one instruction set, by one of its ways.
func (r *race) way(o *ours, variant string) *entry {
	for _, e := range r.entries {
		if e.lanewise == o && e.variant == variant {
			return e
		}
	}
	return nil
}

// add lets a library run, if it is there. What it cannot do is noted and takes no part.
func (r *race) add(p *peer, variant string, create func() (contender, error)) *entry {
	e := &entry{peer: p, variant: variant, work: r.work}
	if !r.loaded(p) {
		return e
	}
	var err error
	if e.runner, err = create(); err != nil {
		e.runner, e.note = nil, err.Error()
	} else if s, ok := e.runner.(fmt.Stringer); ok {
		e.kernel = s.String()
	}
	r.entries = append(r.entries, e)
	return e
}

// close ends every contender.
func (r *race) close() {
	for _, e := range r.entries {
		if e.runner != nil {
			e.runner.Close()
		}
	}
}

// run lets everybody run once and compares the results, then in every round everybody for a burst.
func (r *race) run(rounds int, burst time.Duration) error {
	if err := r.check(); err != nil {
		return err
	}
	var running []*entry
	for _, e := range r.entries {
		if e.note == "" {
			if err := e.calibrate(burst); err != nil {
				return err
			}
			rest()
			running = append(running, e)
		}
	}
	for round := range rounds {
		runtime.GC() // at no other time
		rest()
		for i := range running {
			e := running[(i+round)%len(running)]
			if err := e.burst(); err != nil {
				return err
			}
			if e.lanewise == nil {
				rest()
			}
			e.peaks = append(e.peaks, r.peak(e))
			rest()
		}
	}
	return nil
}

// peak measures what the machine can do on the instruction set of a contender, in the unit of its work: multiply-adds
// in registers, or the triad over as many bytes.
func (r *race) peak(e *entry) float64 {
	o := e.lanewise
	if o == nil {
		o = r.theirs
	}
	if r.unit == "GB/s" {
		return o.triad(int(r.work)).Rate()
	}
	return o.peak.Rate()
}

// check runs everybody once. Results that differ from Lanewise's disqualify.
func (r *race) check() error {
	var truth []float32
	for _, e := range r.entries {
		if e.note != "" {
			continue
		}
		start := time.Now()
		if err := e.runner.Run(1); err != nil {
			e.note = err.Error()
			continue
		}
		e.first = time.Since(start)
		got, err := e.runner.Output()
		rest()
		if err != nil {
			return err
		}
		if truth == nil {
			truth = got // the first is Lanewise
			continue
		}
		want := e.want
		if want == nil {
			want = truth
		}
		if d := measure.Distance(got, want); !(d <= r.tolerance) {
			e.note = fmt.Sprintf("its result is off by %.2g of the largest value", d)
			if e.lanewise != nil {
				return fmt.Errorf("%s %s: %s %s: %s", r.kind, r.shape, e.lanewise.name(), e.variant, e.note)
			}
		}
	}
	return nil
}

// calibrate finds how many runs take a burst.
func (e *entry) calibrate(burst time.Duration) error {
	if e.first > 4*burst { // cold, but not as much as that
		e.times = 1
		return nil
	}
	for times := 1; ; times *= 2 {
		start := time.Now()
		if err := e.runner.Run(times); err != nil {
			return err
		}
		if d := time.Since(start); d > burst/8 {
			e.times = max(1, int(float64(times)*float64(burst)/float64(d)))
			return nil
		}
	}
}

// burst adds the rate of one burst. Another before it wakes the library's threads, which the system may have to spread
// over the cores, and fills the caches.
func (e *entry) burst() error {
	if err := e.runner.Run(e.times); err != nil {
		return err
	}
	start := time.Now()
	err := e.runner.Run(e.times)
	e.rates = append(e.rates, e.work*float64(e.times)/float64(time.Since(start).Nanoseconds()))
	return err
}

// rest waits until the threads of all libraries sleep, which they do some milliseconds after their
// last work: until this process takes no more than a tenth of a processor's time. Threads that have
// not gone to sleep after maxRest take from those who come next, and rest counts them.
func rest() {
	const step, maxRest = 2 * time.Millisecond, 300 * time.Millisecond
	for start := time.Now(); time.Since(start) < maxRest; {
		before, began := processorTime(), time.Now()
		time.Sleep(step)
		if processorTime()-before <= time.Since(began)/10 {
			return
		}
	}
	restless++
}

// restless is how often threads did not go to sleep.
var restless int

// processorTime is what all threads of this process have used, and of those that run PyTorch.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano()+u.Stime.Nano()) + torchTime()
}
