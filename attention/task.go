package attention

import (
	"math"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// task is a run of query tiles of one image and a group of its heads, and the memory it works in.
type task struct {
	*job
	*engine.Worker
	image int
	head  int // that is worked on

	memory  [maxRun]tile
	through []tile // those in memory that pass through the keys together

	state  []float32 // of the tiles: see take
	scores []float32 // block × lanes
	packed []float32 // block × size: a block's values
	masks

	_ [64]byte // no cache line is two workers'
}

// tile is up to Set.Queries queries of an image, and what they carry from block to block.
type tile struct {
	index      int // in the image
	query, end int // of the image
	lanes      int

	q, o            []float32 // size × lanes: scaled queries; values weighed so far
	max, sum, alpha []float32 // lanes: see kernels.SoftmaxArgs
	total           []float32 // size × lanes: the sum of contexts, where they are several
}

// tileFloats is the memory of a tile.
func (j *job) tileFloats() int {
	n := 2*j.size + 3
	if j.sums() {
		n += j.size
	}
	return n * j.lanes
}

// sums says whether several contexts, each with a softmax of its own, are added up.
func (j *job) sums() bool { return len(j.kv) > 1 && !j.Joint }

// together is how many tiles pass through the keys together.
func (j *job) together() int {
	if j.short {
		return 1
	}
	return j.run
}

// packs says whether a block's values are copied.
func (j *job) packs() bool { return j.together() >= packTiles }

// scratch is the memory of a task.
func (j *job) scratch() engine.Scratch {
	n := j.together()*j.tileFloats() + j.block*j.lanes
	if j.packs() {
		n += j.block * j.size
	}
	return engine.Scratch{Floats: n + j.maskFloats()}
}

// Tile does one task: it implements engine.Job.
func (j *job) Tile(w *engine.Worker, n int) {
	t := &j.work[w.Index]
	t.job, t.Worker, t.image = j, w, n/j.groups/j.runs
	f := w.Floats()
	cut := func(n int) (v []float32) {
		v, f = f[:n:n], f[n:]
		return v
	}
	t.state, t.scores = cut(j.together()*j.tileFloats()), cut(j.block*j.lanes)
	if j.packs() {
		t.packed = cut(j.block * j.size)
	}
	t.beginMasks(f)

	first := n / j.groups % j.runs * j.run
	last := min(first+j.run, j.tiles)
	head := n % j.groups * j.group
	for from := first; from < last; from += j.together() {
		t.take(from, min(from+j.together(), last))
		for t.head = head; t.head < min(head+j.group, j.Heads); t.head++ {
			t.attend()
		}
	}
}

// take has tiles from up to to pass through the keys together.
func (t *task) take(from, to int) {
	t.through = t.memory[:to-from]
	for i := range t.through {
		first, end, lanes := t.tile(from + i)
		f := t.state[i*t.tileFloats():]
		cut := func(n int) (v []float32) {
			v, f = f[:n:n], f[n:]
			return v
		}
		panel := t.size * lanes
		t.through[i] = tile{index: from + i, query: first, end: end, lanes: lanes,
			q: cut(panel), o: cut(panel), max: cut(lanes), sum: cut(lanes), alpha: cut(lanes)}
		if t.sums() {
			t.through[i].total = cut(panel)
		}
	}
}

// rows cuts rows from up to to of a head out of m, in which the task's image has tokens rows. Attend has seen to
// it that they are there.
func (t *task) rows(m tensor.Mat, tokens, from, to, head int) tensor.Mat {
	if from == to {
		return tensor.Mat{}
	}
	first := (t.image*tokens+from)*m.Stride + head*t.size
	return tensor.Mat{Rows: to - from, Cols: t.size, Stride: m.Stride, Data: m.Data[first:]}
}

// queriesOf cuts a tile's queries of a head out of m, which is q or dst.
func (t *task) queriesOf(tile *tile, m tensor.Mat, head int) tensor.Mat {
	return t.rows(m, t.queries, tile.query, tile.end, head)
}

// attend takes the tiles through all contexts, for one head.
func (t *task) attend() {
	t.readQueries()
	for i := range t.kv {
		if i == 0 || !t.Joint {
			t.begin()
		}
		t.pass(i)
		if t.sums() {
			t.add(i)
		}
	}
	t.write()
}

// readQueries lays the queries into lanes, scaled for a softmax to base 2.
func (t *task) readQueries() {
	a := &t.Args.ToLanes
	a.Cols, a.SrcStride, a.Scale = t.size, t.q.Stride, float32(float64(t.Scale)*math.Log2E)
	for i := range t.through {
		tile := &t.through[i]
		a.Rows, a.Lanes, a.DstStride = tile.end-tile.query, tile.lanes, tile.lanes
		a.Src, a.Dst = t.queriesOf(tile, t.q, t.head).Data, tile.q
		t.Set.ToLanes(a)
	}
}

// begin lets the tiles start a softmax.
func (t *task) begin() {
	for i := range t.through {
		tile := &t.through[i]
		clear(tile.sum)
		fill(tile.max, -math.MaxFloat32)
	}
}

// block is a block of a context's keys: which they are, and they and their values.
type block struct {
	context      int
	first, end   int
	next         int // the end of the block that comes next: end where none does
	keys, values tensor.Mat
}

// pass takes the tiles through context i, block by block.
func (t *task) pass(i int) {
	c := &t.kv[i]
	tokens := c.K.Rows / t.Batch
	seen := tokens
	if t.Causal {
		seen = min(seen, t.through[len(t.through)-1].end)
	}
	for first := 0; first < seen; first += keyBlock {
		end := min(first+keyBlock, tokens)
		b := block{
			context: i, first: first, end: end, next: min(end+keyBlock, tokens),
			keys: t.rows(c.K, tokens, first, end, t.head), values: t.rows(c.V, tokens, first, end, t.head),
		}
		if t.packs() && b.values.Stride > t.size {
			b.values = pack(t.packed, b.values)
		}
		for i := range t.through {
			tile := &t.through[i]
			if !t.Causal || first < tile.end { // otherwise every key comes after these queries
				t.see(tile, &b)
			}
		}
	}
}

// pack copies m to memory of its own, its rows beside each other.
func pack(to []float32, m tensor.Mat) tensor.Mat {
	p := tensor.Mat{Rows: m.Rows, Cols: m.Cols, Stride: m.Cols, Data: to}
	for r := range m.Rows {
		copy(p.Row(r), m.Row(r))
	}
	return p
}

// see takes a tile through a block of keys. Fields are set one by one: a tile of few queries takes two or three
// microseconds, in which composite literals, which are put together elsewhere and then copied, would show.
func (t *task) see(tile *tile, b *block) {
	keys := b.end - b.first
	score := &t.Args.Score
	score.Keys, score.Cols, score.Lanes = keys, t.size, tile.lanes
	score.K, score.KStride, score.Q, score.S = b.keys.Data, b.keys.Stride, tile.q, t.scores
	score.Bias, score.Mask = t.bias(b), t.mask(tile, b)
	ahead := t.keysAhead(tile, b)
	score.FetchRows, score.FetchCols, score.Fetch, score.FetchStride = ahead.Rows, ahead.Cols, ahead.Data, ahead.Stride
	t.Set.Score(score)

	softmax := &t.Args.Softmax
	softmax.Keys, softmax.Lanes, softmax.S = keys, tile.lanes, t.scores
	softmax.Max, softmax.Sum, softmax.Alpha = tile.max, tile.sum, tile.alpha
	t.Set.Softmax(softmax)

	weigh := &t.Args.Weigh
	weigh.Rows, weigh.Keys, weigh.Lanes = t.size, keys, tile.lanes
	weigh.V, weigh.VStride, weigh.P, weigh.O = b.values.Data, b.values.Stride, t.scores, tile.o
	weigh.Alpha = tile.alpha
	if b.first == 0 && (b.context == 0 || !t.Joint) { // nothing is weighed yet
		weigh.Alpha = nil
	}
	ahead = t.valuesAhead(tile, b)
	weigh.FetchRows, weigh.FetchCols, weigh.Fetch, weigh.FetchStride = ahead.Rows, ahead.Cols, ahead.Data, ahead.Stride
	t.Set.Weigh(weigh)
}

// keysAhead returns what Score shall fetch behind its arithmetic: the tile's share of the next block's keys or, in
// the last block, what the task reads next of q, which is its queries of the next head where a tile goes through all heads
// by itself.
func (t *task) keysAhead(tile *tile, b *block) tensor.Mat {
	switch {
	case b.next > b.end:
		return t.share(tile, b, t.kv[b.context].K)
	case t.short && t.head+1 < t.Heads:
		return t.queriesOf(tile, t.q, t.head+1)
	}
	return tensor.Mat{}
}

// valuesAhead returns what Weigh shall fetch: the tile's share of the next block's values or, in the last block, the
// rows that the tile will be written to.
func (t *task) valuesAhead(tile *tile, b *block) tensor.Mat {
	if b.next > b.end {
		return t.share(tile, b, t.kv[b.context].V)
	}
	return t.queriesOf(tile, t.dst, t.head)
}

// share returns the tile's share of the block after b, of whose context m has the keys or values.
func (t *task) share(tile *tile, b *block, m tensor.Mat) tensor.Mat {
	i, n, keys := tile.index-t.through[0].index, len(t.through), b.next-b.end
	return t.rows(m, m.Rows/t.Batch, b.end+i*keys/n, b.end+(i+1)*keys/n, t.head)
}

// add brings what was weighed of context i to its scale and adds it to the total.
func (t *task) add(i int) {
	a := &t.Args.Activate
	for n := range t.through {
		tile := &t.through[n]
		settle(tile.sum, t.kv[i].Scale)
		*a = kernels.ActivateArgs{
			Rows: t.size, Cols: tile.lanes, Act: kernels.Identity, Src: tile.o, SrcStride: tile.lanes,
			Value: tile.sum, ValueStride: 0, Dst: tile.total, DstStride: tile.lanes,
		}
		if i > 0 {
			a.Add, a.AddStride = tile.total, tile.lanes
		}
		t.Set.Activate(a)
	}
}

// write lays the sum of contexts back into rows, or multiplies what was weighed of the only one by its
// factors on the way.
func (t *task) write() {
	a := &t.Args.FromLanes
	a.Cols, a.DstStride = t.size, t.dst.Stride
	for i := range t.through {
		tile := &t.through[i]
		a.Src = tile.o
		if t.sums() {
			a.Src = tile.total
			fill(tile.sum, 1)
		} else {
			settle(tile.sum, t.kv[0].Scale)
		}
		a.Rows, a.Lanes, a.Scale, a.Dst = tile.end-tile.query, tile.lanes, tile.sum, t.queriesOf(tile, t.dst, t.head).Data
		t.Set.FromLanes(a)
	}
}

// settle turns the sums of a softmax into what weighed values are to be multiplied by for the scale of their
// context: 0 where every key was taken out.
func settle(sums []float32, scale float32) {
	for l, sum := range sums {
		if sum == 0 {
			sums[l] = 0
		} else {
			sums[l] = scale / sum
		}
	}
}

func fill(s []float32, v float32) {
	for i := range s {
		s[i] = v
	}
}
