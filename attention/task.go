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
	image    int
	head     int // that is worked on
	from, to int // tiles that pass through the keys together

	state  []float32 // of each tile: see tileState
	scores []float32 // block × lanes
	packed []float32 // block × size, twice: a block's keys and values
	masks
}

// tileState is what a tile of queries carries from block to block.
type tileState struct {
	q, o            []float32 // size × lanes: scaled queries; values weighed so far
	max, sum, alpha []float32 // lanes: see kernels.SoftmaxArgs
	total           []float32 // size × lanes: the sum of contexts, where they are several
}

// stateFloats is the memory of a tileState.
func (j *job) stateFloats() int {
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

// packs says whether blocks of keys and values are copied.
func (j *job) packs() bool { return j.together() >= packTiles }

// scratch is the memory of a task.
func (j *job) scratch() engine.Scratch {
	n := j.together()*j.stateFloats() + j.block*j.lanes
	if j.packs() {
		n += 2 * j.block * j.size
	}
	return engine.Scratch{Floats: n + j.maskFloats()}
}

// Tile does one task: it implements engine.Job.
func (j *job) Tile(w *engine.Worker, n int) {
	t := task{job: j, Worker: w, image: n / j.groups / j.runs}
	f := w.Floats()
	cut := func(n int) (v []float32) {
		v, f = f[:n:n], f[n:]
		return v
	}
	t.state, t.scores = cut(j.together()*j.stateFloats()), cut(j.block*j.lanes)
	if j.packs() {
		t.packed = cut(2 * j.block * j.size)
	}
	t.beginMasks(f)

	first := n / j.groups % j.runs * j.run
	last := min(first+j.run, j.tiles)
	head := n % j.groups * j.group
	for t.from = first; t.from < last; t.from = t.to {
		t.to = min(t.from+j.together(), last)
		for t.head = head; t.head < min(head+j.group, j.Heads); t.head++ {
			t.attend()
		}
	}
}

// A tile is one of those that pass through the keys together.
type tile struct {
	tileState
	index      int // in the image
	query, end int // of the image
	lanes      int
}

// tileAt returns tile i of the image.
func (t *task) tileAt(i int) tile {
	first, end, lanes := t.tile(i)
	s := t.state[(i-t.from)*t.stateFloats():]
	cut := func(n int) (v []float32) {
		v, s = s[:n:n], s[n:]
		return v
	}
	panel := t.size * lanes
	state := tileState{q: cut(panel), o: cut(panel), max: cut(lanes), sum: cut(lanes), alpha: cut(lanes)}
	if t.sums() {
		state.total = cut(panel)
	}
	return tile{state, i, first, end, lanes}
}

// part cuts the task's image and head out of m: tokens rows for each image.
func (t *task) part(m tensor.Mat, tokens int) tensor.Mat {
	return m.Slice(t.image*tokens, (t.image+1)*tokens).Columns(t.head*t.size, (t.head+1)*t.size)
}

// attend takes the tiles through all contexts, for one head.
func (t *task) attend() {
	t.readQueries()
	for i := range t.kv {
		if i == 0 || !t.Joint {
			t.begin()
		}
		t.through(i)
		if t.sums() {
			t.add(i)
		}
	}
	t.write()
}

// readQueries lays the queries into lanes, scaled for a softmax to base 2.
func (t *task) readQueries() {
	q := t.part(t.q, t.queries)
	a := &t.Args.ToLanes
	a.Cols, a.SrcStride, a.Scale = t.size, q.Stride, float32(float64(t.Scale)*math.Log2E)
	for i := t.from; i < t.to; i++ {
		tile := t.tileAt(i)
		a.Rows, a.Lanes, a.DstStride = tile.end-tile.query, tile.lanes, tile.lanes
		a.Src, a.Dst = q.Data[tile.query*q.Stride:], tile.q
		t.Set.ToLanes(a)
	}
}

// begin lets the tiles start a softmax.
func (t *task) begin() {
	for i := t.from; i < t.to; i++ {
		tile := t.tileAt(i)
		clear(tile.sum)
		fill(tile.max, -math.MaxFloat32)
	}
}

// block is a block of keys: which they are, and they and their values.
type block struct {
	context      int
	first, end   int
	keys, values tensor.Mat
	next         [2]tensor.Mat // keys and values of the block that comes next; no rows where none does
}

// through takes the tiles through context i.
func (t *task) through(i int) {
	c := &t.kv[i]
	tokens := c.K.Rows / t.Batch
	keys, values := t.part(c.K, tokens), t.part(c.V, tokens)
	seen := tokens
	if t.Causal {
		_, end, _ := t.tile(t.to - 1)
		seen = min(seen, end)
	}
	for first := 0; first < seen; first += keyBlock {
		end := min(first+keyBlock, tokens)
		after := min(end+keyBlock, tokens)
		b := block{i, first, end, keys.Slice(first, end), values.Slice(first, end), [2]tensor.Mat{keys.Slice(end, after), values.Slice(end, after)}}
		if t.packs() {
			b.keys = pack(t.packed, b.keys)
			b.values = pack(t.packed[t.block*t.size:], b.values)
		}
		for i := t.from; i < t.to; i++ {
			tile := t.tileAt(i)
			if !t.Causal || first < tile.end { // otherwise every key comes after these queries
				t.pass(&tile, &b)
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

// pass takes a tile through a block of keys.
func (t *task) pass(tile *tile, b *block) {
	keys := b.end - b.first
	fetchScore, fetchWeigh := t.ahead(tile, b)
	t.Args.Score = kernels.ScoreArgs{
		Keys: keys, Cols: t.size, Lanes: tile.lanes, K: b.keys.Data, KStride: b.keys.Stride, Q: tile.q, S: t.scores,
		Bias: t.bias(b), Mask: t.mask(tile, b),
		FetchRows: fetchScore.Rows, FetchCols: fetchScore.Cols, Fetch: fetchScore.Data, FetchStride: fetchScore.Stride,
	}
	t.Set.Score(&t.Args.Score)
	t.Args.Softmax = kernels.SoftmaxArgs{Keys: keys, Lanes: tile.lanes, S: t.scores, Max: tile.max, Sum: tile.sum, Alpha: tile.alpha}
	t.Set.Softmax(&t.Args.Softmax)
	alpha := tile.alpha
	if b.first == 0 && (b.context == 0 || !t.Joint) { // nothing is weighed yet
		alpha = nil
	}
	t.Args.Weigh = kernels.WeighArgs{
		Rows: t.size, Keys: keys, Lanes: tile.lanes, V: b.values.Data, VStride: b.values.Stride, P: t.scores, O: tile.o, Alpha: alpha,
		FetchRows: fetchWeigh.Rows, FetchCols: fetchWeigh.Cols, Fetch: fetchWeigh.Data, FetchStride: fetchWeigh.Stride,
	}
	t.Set.Weigh(&t.Args.Weigh)
}

// ahead returns what Score and Weigh shall fetch behind their arithmetic: the tile's share of the next
// block or, in the last, the rows of dst that the tile will be written to, and what the task reads next of
// q.
func (t *task) ahead(tile *tile, b *block) (score, weigh tensor.Mat) {
	if keys, values := b.next[0], b.next[1]; keys.Rows > 0 {
		i, n := tile.index-t.from, t.to-t.from
		lo, hi := i*keys.Rows/n, (i+1)*keys.Rows/n
		return keys.Slice(lo, hi), values.Slice(lo, hi)
	}
	return t.nextQueries(tile), t.part(t.dst, t.queries).Slice(tile.query, tile.end)
}

// nextQueries returns the queries that are laid into lanes after those of tile: where a tile goes through
// all heads by itself, its own of the next head.
func (t *task) nextQueries(tile *tile) tensor.Mat {
	if !t.short || t.head+1 == t.Heads {
		return tensor.Mat{}
	}
	return t.q.Slice(t.image*t.queries+tile.query, t.image*t.queries+tile.end).Columns((t.head+1)*t.size, (t.head+2)*t.size)
}

// add brings what was weighed of context i to its scale and adds it to the total.
func (t *task) add(i int) {
	a := &t.Args.Activate
	for n := t.from; n < t.to; n++ {
		tile := t.tileAt(n)
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
	dst := t.part(t.dst, t.queries)
	a := &t.Args.FromLanes
	a.Cols, a.Add, a.DstStride = t.size, false, dst.Stride
	for i := t.from; i < t.to; i++ {
		tile := t.tileAt(i)
		a.Src = tile.o
		if t.sums() {
			a.Src = tile.total
			fill(tile.sum, 1)
		} else {
			settle(tile.sum, t.kv[0].Scale)
		}
		a.Rows, a.Lanes, a.Scale, a.Dst = tile.end-tile.query, tile.lanes, tile.sum, dst.Data[tile.query*dst.Stride:]
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
