package attention

import (
	"math"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// task is a run of query tiles of one image and head, and the memory it works in.
type task struct {
	*job
	*engine.Worker
	image, head int
	query, end  int // of the image

	state  []float32 // of each tile: see tileState
	scores []float32 // keyBlock × lanes
	mask   []float32 // the same: what is added to scores
	packed []float32 // keyBlock × size, twice: a block's keys and values
}

// tileState is what a tile of queries carries from block to block.
type tileState struct {
	q, o            []float32 // size × lanes: scaled queries; values weighed so far, not yet divided by sum
	max, sum, alpha []float32 // lanes: see kernels.SoftmaxArgs
}

// stateFloats is the memory of a tileState.
func (j *job) stateFloats() int { return (2*j.size + 3) * j.lanes }

// scratch is the memory of a task.
func (j *job) scratch() engine.Scratch {
	return engine.Scratch{Floats: j.run*j.stateFloats() + 2*keyBlock*(j.lanes+j.size)}
}

// tile returns the state of the run's i-th tile.
func (t *task) tile(i int) tileState {
	s := t.state[i*t.stateFloats():]
	cut := func(n int) (v []float32) {
		v, s = s[:n:n], s[n:]
		return v
	}
	return tileState{cut(t.size * t.lanes), cut(t.size * t.lanes), cut(t.lanes), cut(t.lanes), cut(t.lanes)}
}

// Tile does one task: it implements engine.Job.
func (j *job) Tile(w *engine.Worker, n int) {
	head := n % j.Heads
	run := n / j.Heads % j.runs
	first := run * j.run * j.lanes
	t := task{
		job: j, Worker: w, image: n / j.Heads / j.runs, head: head,
		query: first, end: min(first+j.run*j.lanes, j.queries),
	}
	f := w.Floats()
	t.state, f = f[:j.run*j.stateFloats()], f[j.run*j.stateFloats():]
	t.scores, t.mask, t.packed = f[:keyBlock*j.lanes], f[keyBlock*j.lanes:2*keyBlock*j.lanes], f[2*keyBlock*j.lanes:]

	t.readQueries()
	for c := range j.kv {
		if c == 0 || !j.Joint {
			t.begin()
		}
		t.attend(&j.kv[c])
		if c == len(j.kv)-1 || !j.Joint {
			t.write(j.kv[c].Scale, c > 0 && !j.Joint)
		}
	}
}

// part cuts the task's image and head out of m: tokens rows for each image.
func (t *task) part(m tensor.Mat, tokens int) tensor.Mat {
	return m.Slice(t.image*tokens, (t.image+1)*tokens).Columns(t.head*t.size, (t.head+1)*t.size)
}

// eachTile calls f for every tile of the run: its number there, its first query and how many.
func (t *task) eachTile(f func(i, query, n int)) {
	for i := 0; t.query+i*t.lanes < t.end; i++ {
		query := t.query + i*t.lanes
		f(i, query, min(t.lanes, t.end-query))
	}
}

// readQueries lays the queries into lanes, scaled for a softmax to base 2.
func (t *task) readQueries() {
	q := t.part(t.q, t.queries)
	a := &t.Args.ToLanes
	a.Cols, a.SrcStride, a.Scale = t.size, q.Stride, float32(float64(t.Scale)*math.Log2E)
	a.Lanes, a.DstStride = t.lanes, t.lanes
	t.eachTile(func(i, query, n int) {
		a.Rows, a.Src, a.Dst = n, q.Data[query*q.Stride:], t.tile(i).q
		t.Set.ToLanes(a)
	})
}

// begin lets the run's tiles start a softmax.
func (t *task) begin() {
	t.eachTile(func(i, _, _ int) {
		s := t.tile(i)
		clear(s.o)
		clear(s.sum)
		for l := range s.max {
			s.max[l] = -math.MaxFloat32
		}
	})
}

// attend takes the run's tiles through one context.
func (t *task) attend(c *KV) {
	tokens := c.K.Rows / t.Batch
	keys, values := t.part(c.K, tokens), t.part(c.V, tokens)
	seen := tokens
	if t.Causal {
		seen = min(seen, t.end)
	}
	for k0 := 0; k0 < seen; k0 += keyBlock {
		end := min(k0+keyBlock, tokens)
		b := block{k0, end, keys.Slice(k0, end), values.Slice(k0, end)}
		if t.end-t.query >= packTiles*t.lanes {
			b.keys = pack(t.packed, b.keys)
			b.values = pack(t.packed[keyBlock*t.size:], b.values)
		}
		t.pass(c, &b)
	}
}

// block is a block of keys: which they are, and they and their values.
type block struct {
	first, end   int
	keys, values tensor.Mat
}

// pack copies m to memory of its own, its rows beside each other.
func pack(to []float32, m tensor.Mat) tensor.Mat {
	p := tensor.Mat{Rows: m.Rows, Cols: m.Cols, Stride: m.Cols, Data: to}
	for r := range m.Rows {
		copy(p.Row(r), m.Row(r))
	}
	return p
}

// pass takes the run's tiles through one block of keys.
func (t *task) pass(c *KV, b *block) {
	var mask []float32
	made := false
	t.eachTile(func(i, query, n int) {
		if t.Causal && b.first > query+n-1 {
			return // every key comes after these queries
		}
		if !made || t.maskVaries(c, b) {
			mask, made = t.additive(c, b, query, n), true
		}
		s := t.tile(i)
		keys := b.end - b.first
		t.Args.Score = kernels.ScoreArgs{
			Keys: keys, Cols: t.size, Lanes: t.lanes, K: b.keys.Data, KStride: b.keys.Stride, Q: s.q, Mask: mask, S: t.scores,
		}
		t.Set.Score(&t.Args.Score)
		t.Args.Softmax = kernels.SoftmaxArgs{Keys: keys, Lanes: t.lanes, S: t.scores, Max: s.max, Sum: s.sum, Alpha: s.alpha}
		t.Set.Softmax(&t.Args.Softmax)
		t.Args.Weigh = kernels.WeighArgs{
			Rows: t.size, Keys: keys, Lanes: t.lanes, V: b.values.Data, VStride: b.values.Stride, P: t.scores, O: s.o, Alpha: s.alpha,
		}
		t.Set.Weigh(&t.Args.Weigh)
	})
}

// write divides what was weighed by the sums and lays it back into rows, added to what is there for
// a context after the first.
func (t *task) write(scale float32, add bool) {
	if scale == 0 {
		scale = 1
	}
	dst := t.part(t.dst, t.queries)
	a := &t.Args.FromLanes
	a.Cols, a.Lanes, a.Add, a.DstStride = t.size, t.lanes, add, dst.Stride
	t.eachTile(func(i, query, n int) {
		s := t.tile(i)
		for l, sum := range s.sum {
			if sum == 0 { // every key was taken out
				s.sum[l] = 0
			} else {
				s.sum[l] = scale / sum
			}
		}
		a.Rows, a.Src, a.Scale, a.Dst = n, s.o, s.sum, dst.Data[query*dst.Stride:]
		t.Set.FromLanes(a)
	})
}
