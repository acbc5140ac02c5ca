package clip

import (
	"slices"
	"sync"
)

// freeRuns keeps the programs of a model that nobody uses, a few of them, each for one shape.
type freeRuns[Shape comparable, Run interface{ of() Shape }] struct {
	mu   sync.Mutex
	free []Run // the one that was used last is last
}

// freeMost is how many runs are kept: prompts have one length or two, in batches of one or two.
const freeMost = 4

// take returns a run of a shape, or one that is made now.
func (f *freeRuns[Shape, Run]) take(shape Shape, newRun func(Shape) Run) Run {
	f.mu.Lock()
	for i, r := range f.free {
		if r.of() == shape {
			f.free = slices.Delete(f.free, i, i+1)
			f.mu.Unlock()
			return r
		}
	}
	f.mu.Unlock()
	return newRun(shape)
}

// put gives a run back.
func (f *freeRuns[Shape, Run]) put(r Run) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.free) == freeMost {
		f.free = slices.Delete(f.free, 0, 1)
	}
	f.free = append(f.free, r)
}
