package engine_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/lanewise/lanewise/engine"
)

func open(t testing.TB, workers int) *engine.Engine {
	t.Helper()
	e, err := engine.New(engine.Options{Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func TestForDoesEveryTileOnce(t *testing.T) {
	for _, workers := range []int{1, 2, 3, 7} {
		e := open(t, workers)
		for _, tiles := range []int{0, 1, 2, 3, 10, 1000} {
			for round := range 50 {
				seen := make([]atomic.Int32, tiles)
				e.For(tiles, engine.Scratch{}, engine.Func(func(w *engine.Worker, tile int) {
					if w.Index < 0 || w.Index >= workers {
						t.Errorf("worker %d of %d", w.Index, workers)
					}
					seen[tile].Add(1)
				}))
				for i := range seen {
					if n := seen[i].Load(); n != 1 {
						t.Fatalf("workers %d, tiles %d, round %d: tile %d done %d times", workers, tiles, round, i, n)
					}
				}
				if round%16 == 15 {
					time.Sleep(time.Millisecond / 4) // long enough to park
				}
			}
		}
	}
}

// Memory written by a tile is the caller's after For, and the worker's scratch is its own: plain
// accesses here are what the race detector judges.
func TestForOrdersMemory(t *testing.T) {
	e := open(t, 4)
	sum := make([]int, 64)
	for range 200 {
		e.For(len(sum), engine.Scratch{Floats: 8}, engine.Func(func(w *engine.Worker, tile int) {
			f := w.Floats()
			for i := range f {
				f[i] = float32(tile)
			}
			sum[tile] += int(f[7])
		}))
	}
	for i, s := range sum {
		if s != 200*i {
			t.Fatalf("tile %d: %d, want %d", i, s, 200*i)
		}
	}
}

func TestConcurrentCallers(t *testing.T) {
	e := open(t, 3)
	var callers sync.WaitGroup
	for c := range 6 {
		callers.Add(1)
		go func() {
			defer callers.Done()
			for range 200 {
				out := make([]int, 17)
				e.For(len(out), engine.Scratch{Pointers: c}, engine.Func(func(_ *engine.Worker, tile int) { out[tile] = c + tile }))
				for i, v := range out {
					if v != c+i {
						t.Errorf("caller %d, tile %d: %d", c, i, v)
						return
					}
				}
			}
		}()
	}
	callers.Wait()
}

func TestScratchIsAlignedAndGrows(t *testing.T) {
	e := open(t, 2)
	for _, n := range []int{1, 100, 7, 5000} {
		e.For(64, engine.Scratch{Floats: n, Pointers: n}, engine.Func(func(w *engine.Worker, _ int) {
			if len(w.Floats()) < n || len(w.Pointers()) < n {
				t.Errorf("scratch of %d and %d for %d", len(w.Floats()), len(w.Pointers()), n)
			}
			if p := uintptr(unsafe.Pointer(unsafe.SliceData(w.Floats()))); p%64 != 0 {
				t.Errorf("scratch at %#x", p)
			}
		}))
	}
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 20 {
		e, err := engine.New(engine.Options{Workers: 5})
		if err != nil {
			t.Fatal(err)
		}
		e.For(9, engine.Scratch{}, engine.Func(func(*engine.Worker, int) {}))
		e.Close()
		e.Close()
	}
	for range 100 { // a goroutine counts until a moment after its last statement
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("%d goroutines before, %d after", before, runtime.NumGoroutine())
}

func TestUseAfterClosePanics(t *testing.T) {
	e := open(t, 2)
	e.Close()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	e.For(1, engine.Scratch{}, engine.Func(func(*engine.Worker, int) {}))
}

type nothing struct{}

func (nothing) Tile(*engine.Worker, int) {}

func TestForDoesNotAllocate(t *testing.T) {
	for _, workers := range []int{1, 2} {
		e := open(t, workers)
		var job engine.Job = nothing{}
		if n := testing.AllocsPerRun(100, func() { e.For(8, engine.Scratch{Floats: 64}, job) }); n != 0 {
			t.Errorf("workers %d: %v allocations", workers, n)
		}
	}
}

func TestUnknownISA(t *testing.T) {
	t.Setenv("LANEWISE_ISA", "mmx")
	if _, err := engine.New(engine.Options{}); err == nil {
		t.Error("no error")
	}
}

// BenchmarkFor is what a region costs: of two tiles that do nothing (gap=0: the other goroutine
// spins), and after a pause in which it parked.
func BenchmarkFor(b *testing.B) {
	for _, gap := range []time.Duration{0, 500 * time.Microsecond} {
		b.Run("workers=2/gap="+gap.String(), func(b *testing.B) {
			e := open(b, 2)
			var job engine.Job = nothing{}
			for b.Loop() {
				if gap > 0 {
					b.StopTimer()
					time.Sleep(gap)
					b.StartTimer()
				}
				e.For(2, engine.Scratch{}, job)
			}
		})
	}
}
