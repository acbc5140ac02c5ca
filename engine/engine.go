// Package engine runs the tiles of an operator on a few goroutines that stay.
//
// A diffusion step is hundreds of parallel regions of 10 µs to 10 ms each, back to back. Waking a
// goroutine through the Go scheduler costs about 10 µs, finding a spinning one 0.2 µs, so an
// engine's goroutines spin for a moment after a region and then park: nothing runs while the
// engine is idle. Every worker, the caller among them, has a share of the tiles, the same in each
// region of as many tiles, so that it finds in its cache what it left there; who is done takes from the
// shares of others. A tile's result must be a function of the tile alone, which makes results
// independent of the number of workers.
package engine

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lanewise/lanewise/kernels"
)

// Options are the choices that an engine is made with. The zero value is the default.
type Options struct {
	// Workers is how many tiles run at once, the caller's included; 0 means
	// runtime.GOMAXPROCS(0), which follows a container's CPU limit.
	Workers int
	// Set is the kernels to use; nil means kernels.Default.
	Set *kernels.Set
	// Storage is how operators that run on the engine keep the weights that they lay out.
	Storage Storage
}

// Storage is a choice of how to keep weights in memory. None of them loses a bit: results
// are the same under each.
type Storage uint8

const (
	// Compact keeps matrices whose every value is a bfloat16, or else every one a binary16, in
	// that format, half as wide: the checkpoints that are distributed so. Others stay float32.
	Compact Storage = iota
	// Float32 keeps all as float32, which takes twice the memory and saves the widening.
	Float32
)

// Engine is a Set of kernels with goroutines and memory to run them on. It is safe for
// concurrent use: regions of concurrent callers run one after the other.
type Engine struct {
	set     *kernels.Set
	storage Storage
	workers []*Worker // workers[0] is the caller's

	region sync.Mutex // held by the caller whose region runs
	job    Job
	shares []share // of each worker

	// state tells goroutines whether there is a region to join: its number, whether it is open, and
	// how many of them are inside. See open, join and leave.
	state  atomic.Uint64
	parked []parkingPlace
	closed atomic.Bool
	done   sync.WaitGroup
}

// Job is the work of one region.
type Job interface {
	// Tile does one tile. It runs on several goroutines at once, each with a Worker of its own,
	// and must not call For on the same engine.
	Tile(w *Worker, tile int)
}

// Func makes a Job of a function. Making one may allocate; operators in a hot path implement Job
// on a struct that they keep.
type Func func(w *Worker, tile int)

// Tile calls f.
func (f Func) Tile(w *Worker, tile int) { f(w, tile) }

// New starts an engine. It fails where LANEWISE_ISA names an instruction set that cannot run here.
func New(o Options) (*Engine, error) {
	if o.Set == nil {
		set, err := kernels.Default()
		if err != nil {
			return nil, err
		}
		o.Set = set
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	e := &Engine{set: o.Set, shares: make([]share, o.Workers), storage: o.Storage, workers: make([]*Worker, o.Workers), parked: make([]parkingPlace, o.Workers)}
	for i := range e.workers {
		e.workers[i] = &Worker{Index: i, Set: e.set}
	}
	for _, w := range e.workers[1:] {
		e.parked[w.Index].wake = make(chan struct{}, 1)
		e.done.Add(1)
		go e.serve(w)
	}
	return e, nil
}

// Set returns the kernels that this engine runs.
func (e *Engine) Set() *kernels.Set { return e.set }

// Storage returns how operators keep weights.
func (e *Engine) Storage() Storage { return e.storage }

// Workers returns how many tiles run at once.
func (e *Engine) Workers() int { return len(e.workers) }

// Close stops the engine's goroutines and returns when the last has ended. It waits for a region
// that runs. Using the engine after Close panics; closing it again does nothing.
func (e *Engine) Close() {
	e.region.Lock()
	defer e.region.Unlock()
	if e.closed.Swap(true) {
		return
	}
	for i := range e.parked[1:] {
		e.parked[1+i].unpark()
	}
	e.done.Wait()
}

// For runs tiles 0 up to tiles of job and returns when all are done. Every worker has at least
// the scratch memory that is asked for. For allocates only where a worker's scratch has to grow.
func (e *Engine) For(tiles int, need Scratch, job Job) {
	if tiles <= 0 {
		return
	}
	e.region.Lock()
	defer e.region.Unlock()
	if e.closed.Load() {
		panic("engine: used after Close")
	}
	for _, w := range e.workers {
		w.reserve(need)
	}
	if tiles == 1 || len(e.workers) == 1 {
		for tile := range tiles {
			job.Tile(e.workers[0], tile)
		}
		return
	}
	e.job = job
	for i := range e.shares {
		e.shares[i].deal(i*tiles/len(e.shares), (i+1)*tiles/len(e.shares))
	}
	e.open(tiles - 1)
	defer e.shut()
	e.take(e.workers[0])
}

// take does tiles until none is left: the worker's own, then those that others have not begun.
func (e *Engine) take(w *Worker) {
	for i := range e.shares {
		s := &e.shares[(w.Index+i)%len(e.shares)]
		for {
			tile, ok := s.take()
			if !ok {
				break
			}
			e.job.Tile(w, tile)
		}
	}
}

// share is a range of tiles, handed out one at a time.
type share struct {
	next atomic.Int64
	end  int64
	_    [48]byte // a cache line of its own
}

// deal fills an empty share.
func (s *share) deal(first, end int) {
	s.end = int64(end)
	s.next.Store(int64(first))
}

// take hands out a tile, if any is left.
func (s *share) take() (tile int, ok bool) {
	if s.next.Load() >= s.end { // without writing to what others read
		return 0, false
	}
	t := s.next.Add(1) - 1
	return int(t), t < s.end
}

// The state word: the region's number in the upper 32 bits, then a bit that says it is open, then
// the number of goroutines inside.
const (
	stateOpen   = 1 << 31
	stateInside = stateOpen - 1
	stateRegion = 32
)

// open starts a new region and wakes as many parked goroutines as could find a tile.
func (e *Engine) open(wanted int) {
	e.state.Store((e.state.Load()>>stateRegion+1)<<stateRegion | stateOpen)
	for i := 1; i < len(e.parked) && wanted > 0; i++ {
		e.parked[i].unpark()
		wanted--
	}
}

// join enters the region if it is open and another than the last one this goroutine was in.
func (e *Engine) join(last uint64) (region uint64, ok bool) {
	for {
		s := e.state.Load()
		if s&stateOpen == 0 || s>>stateRegion == last {
			return last, false
		}
		if e.state.CompareAndSwap(s, s+1) {
			return s >> stateRegion, true
		}
	}
}

// leave is the end of what join began.
func (e *Engine) leave() { e.state.Add(^uint64(0)) }

// shut ends the region: nobody may join any more, and all who did have left on return.
func (e *Engine) shut() {
	e.state.And(^uint64(stateOpen))
	for spins := 0; e.state.Load()&stateInside != 0; spins++ {
		if spins%spinsPerYield == spinsPerYield-1 {
			runtime.Gosched()
		}
	}
	e.job = nil
}

// How long a goroutine spins for the next region before it parks. Operators of a model follow
// each other within a few microseconds; a sampler's step between forwards, or a slow serial op,
// takes tens.
const (
	spinTime      = 100 * time.Microsecond
	spinsPerYield = 64
)

// serve is the life of a goroutine: join regions, spin, park.
func (e *Engine) serve(w *Worker) {
	defer e.done.Done()
	place := &e.parked[w.Index]
	var last uint64
	for !e.closed.Load() {
		region, ok := e.await(last)
		if !ok {
			place.park(func() bool { return e.closed.Load() || e.joinable(last) })
			continue
		}
		last = region
		e.take(w)
		e.leave()
	}
}

// joinable says whether join would succeed.
func (e *Engine) joinable(last uint64) bool {
	s := e.state.Load()
	return s&stateOpen != 0 && s>>stateRegion != last
}

// await spins until it could join a region, or gives up.
func (e *Engine) await(last uint64) (region uint64, ok bool) {
	var deadline time.Time
	for spins := 1; ; spins++ {
		if region, ok := e.join(last); ok {
			return region, true
		}
		if spins%spinsPerYield != 0 {
			continue
		}
		now := time.Now()
		if deadline.IsZero() {
			deadline = now.Add(spinTime)
		}
		if e.closed.Load() || now.After(deadline) {
			return last, false
		}
		runtime.Gosched()
	}
}

// parkingPlace is where one goroutine sleeps.
type parkingPlace struct {
	asleep atomic.Bool
	wake   chan struct{} // holds at most the one token that belongs to asleep
	_      [40]byte      // a cache line of its own
}

// park sleeps until unpark. It does not sleep where there is something to do: that is asked after
// asleep was set, so that a region opened in between is either seen here or does the waking.
func (p *parkingPlace) park(ready func() bool) {
	p.asleep.Store(true)
	if ready() && p.asleep.CompareAndSwap(true, false) {
		return
	}
	<-p.wake
}

// unpark wakes the goroutine if it sleeps.
func (p *parkingPlace) unpark() {
	if p.asleep.CompareAndSwap(true, false) {
		p.wake <- struct{}{}
	}
}
