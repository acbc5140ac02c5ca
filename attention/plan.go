package attention

import (
	"math"
	"slices"
	"sync"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/tensor"
)

// keyBlock is how many keys a block has, but for a context's last. It is the same for all instruction sets
// and for contexts of any length, since the softmax's partial sums end with a block: so keys that a mask
// takes out at the end of a context do not change a bit. It is a multiple of the six rows that kernels take
// at once, and scores of 64 queries for it take 24 KiB, half a first-level cache or most of it. Between 56
// and 168 it matters little.
const keyBlock = 96

const (
	// tasksPerWorker is how many tasks a worker should find, to even out what workers differ by.
	tasksPerWorker = 4
	// runFloats bounds what the tiles of a run that passes through the keys together carry, three quarters of a
	// megabyte in the second-level cache: two tiles of a head of 512. maxRun is how many they are at most.
	runFloats = 3 << 18 / 4
	maxRun    = 32
	// groupFloats bounds the keys and values of a task's heads, likewise.
	groupFloats = 1 << 19 / 4
	// packTiles is the length of a run from which on a block's values are first copied out from between those
	// of the other heads. Weigh goes down a few columns of them at a time, and where rows are far apart, as
	// those of 8 heads of 160, lines of the same columns displace each other in the first-level cache: Weigh
	// takes a tenth longer than on rows that lie beside each other, and attention as a whole, with the copy, 1 to 5 %.
	// Score goes along the rows of keys, which lie well where they are.
	packTiles = 2
)

// job is one call of Attend, divided into tasks: every image's heads in groups, its tiles of queries in
// runs.
type job struct {
	dst, q tensor.Mat
	kv     []KV
	Shape

	short bool // every context is one block of keys

	unit    int  // lanes of a vector
	lanes   int  // queries in a tile, at most: Set.Queries
	size    int  // of a head
	queries int  // of an image
	keys    int  // of all contexts of an image
	block   int  // the most keys in a block of any context
	perKey  bool // some context's mask is a value per key
	masked  bool // some scores have a mask of their own

	tiles         int // of queries of an image
	run, runs     int // tiles in a task, tasks for the tiles of an image
	group, groups int // heads in a task, tasks for the heads of an image

	work []task // for each worker, that which it is at
}

var jobs = sync.Pool{New: func() any { return new(job) }}

// plan fills in the job.
func (j *job) plan(e *engine.Engine, dst, q tensor.Mat, kv []KV, s Shape) {
	*j = job{dst: dst, q: q, kv: append(j.kv[:0], kv...), Shape: s, work: slices.Grow(j.work[:0], e.Workers())[:e.Workers()]}
	j.unit, j.lanes = e.Set().GEMM.Lanes, e.Set().Queries
	j.size = q.Cols / s.Heads
	if j.Scale == 0 {
		j.Scale = float32(1 / math.Sqrt(float64(j.size)))
	}
	j.queries = q.Rows / s.Batch
	j.short, j.masked = true, s.Causal
	for i := range j.kv {
		c := &j.kv[i]
		if c.Scale == 0 {
			c.Scale = 1
		}
		keys := c.K.Rows / s.Batch
		j.keys += keys
		j.block = max(j.block, min(keys, keyBlock))
		j.short = j.short && keys <= keyBlock
		if c.Mask.Data != nil {
			j.perKey = j.perKey || j.isPerKey(c)
			j.masked = j.masked || !j.isPerKey(c)
		}
	}
	j.divide(e.Workers())
}

// divide chooses groups and runs: tasks enough for all workers first, then whole rows of queries where
// keys are few, or long runs where they are many.
func (j *job) divide(workers int) {
	j.tiles = ceil(ceil(j.queries, j.unit), j.lanes/j.unit)
	enough := tasksPerWorker * workers
	j.group = 1
	if j.short {
		j.group = min(j.Heads, groupFloats/(2*j.keys*j.size), j.Batch*j.Heads*j.tiles/enough)
	}
	j.groups = ceil(j.Heads, max(j.group, 1))
	j.group = ceil(j.Heads, j.groups)
	longest := j.Batch * j.groups * j.tiles / enough
	if !j.short {
		longest = min(longest, runFloats/j.tileFloats(), maxRun)
	}
	j.runs = ceil(j.tiles, max(longest, 1))
	j.run = ceil(j.tiles, j.runs)
	j.runs = ceil(j.tiles, j.run)
}

// tasks is how many there are.
func (j *job) tasks() int { return j.Batch * j.groups * j.runs }

// forget drops the references to the caller's memory.
func (j *job) forget() {
	clear(j.kv)
	clear(j.work)
	*j = job{kv: j.kv[:0], work: j.work[:0]}
}

// tile returns the queries of an image that its i-th tile holds, first up to end, and how many lanes they
// lie in. Tiles are as even as vectors allow, since narrow ones are slow.
func (j *job) tile(i int) (first, end, lanes int) {
	vectors := ceil(j.queries, j.unit)
	first, end = i*vectors/j.tiles*j.unit, (i+1)*vectors/j.tiles*j.unit
	return first, min(end, j.queries), end - first
}

// isPerKey says whether a context's mask has one value for each key.
func (j *job) isPerKey(c *KV) bool { return c.Mask.Rows == j.Batch }

func ceil(a, b int) int { return (a + b - 1) / b }
