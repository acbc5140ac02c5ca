package gemm

import (
	"fmt"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// Product is one multiplication under way: what Mul and conv.Apply share. They differ in where
// the rows of A are, which they say by pointers, block by block and chunk by chunk:
//
//	b := p.Block(worker, task)
//	for i := range p.Chunks() {
//		c := p.Chunk(i)
//		// fill b.Pointers(tile, c) for every tile of b
//		p.Multiply(worker, &b, c)
//	}
//
// A run of tiles of rows is a block, and a task is a block times a group of units, a unit being NR
// columns (for GLU those of the values and those of the gates). Within a task the panels pass by
// the block, whose rows stay in the second-level cache; where the chain is longer than KC it is cut
// into chunks, and partial sums wait in scratch.
type Product struct {
	w     *Packed
	dst   tensor.Mat
	ep    Epilogue
	rows  rows
	place Placement
	taps  Taps // nil where all rows read all taps

	blocks        int // of tiles
	blockRows     int // at most
	units, groups int // units of columns, and groups of units
	chunks        cuts
	staged        bool
	workers       int
}

// Block is the rows and columns of a task.
type Block struct {
	Row, Rows int       // of C
	Tiles     int       // that the rows are cut into
	Scratch   []float32 // as much as Run was asked for

	p          *Product
	tile, unit int // the first
	units      int
	then       int // the first unit of the task that this worker probably does next
	pointers   []*float32
	sums       []float32 // of the task's units
	wide       []float32 // for the piece of a panel that is widened
}

// Chunk is a piece of the chain: some taps with all their channels, or a part of the channels of
// one tap.
type Chunk struct {
	Tap, Taps int // the first tap, and how many
	From, K   int // the first channel, and how many

	index       int
	offset      int // in the chain
	first, last bool
}

// Begin checks the operands and plans the work. It reports whether there is any.
func (p *Product) Begin(e *engine.Engine, dst tensor.Mat, w *Packed, ep Epilogue) bool {
	return p.BeginPlaced(e, dst, w, ep, Placement{Rows: dst.Rows})
}

// BeginPlaced is Begin for a product of place.Rows rows, not all those of dst. What the epilogue says of images
// divides them evenly. Moments it cannot have.
func (p *Product) BeginPlaced(e *engine.Engine, dst tensor.Mat, w *Packed, ep Epilogue, place Placement) bool {
	if w.set != e.Set() {
		panic(fmt.Sprintf("gemm: weights packed for %v on an engine of %v", w.set.ISA, e.Set().ISA))
	}
	dst.Check("gemm: dst")
	if dst.Cols != w.Out {
		panic(fmt.Sprintf("gemm: dst has %d columns, the weights %d", dst.Cols, w.Out))
	}
	ep.check(dst, w.Out*w.halves())
	if place.Run > 0 && ep.Moments != nil {
		panic("gemm: moments of rows that do not follow each other")
	}
	*p = Product{w: w, dst: dst, ep: ep, place: place, workers: e.Workers()}
	if place.Rows == 0 || dst.Cols == 0 {
		return false
	}
	p.staged = ep.Act != kernels.Identity || w.GLU || place.Run > 0
	p.rows = cutRows(place.Rows, ep.images(), ep.span(place.Rows), w.set.GEMM.MR)
	p.plan()
	p.blockRows = p.highest()
	return true
}

// Taps says which taps matter to some rows.
type Taps interface {
	// Taps returns the first tap that any of the rows r0 up to r1 of C reads, and the first of those
	// beyond it that none reads; and that all rows of the image from r1 up to until read them too. Taps
	// that a row does not read point at zeros.
	Taps(r0, r1 int) (from, to, until int)
}

// Spare has the product leave out taps that t says are zeros to all rows of a tile. It is called between
// Begin and Run.
func (p *Product) Spare(t Taps) { p.taps = t }

// Run does the tasks by job, whose Tile does one. Every block has scratch of its own beside that
// of the product.
func (p *Product) Run(e *engine.Engine, scratch int, job engine.Job) {
	e.For(p.Tasks(), engine.Scratch{
		Floats:   p.sumsLen() + p.wideLen() + scratch,
		Pointers: p.blockTiles() * p.chunks.tapsPerPiece * p.w.set.GEMM.MR,
	}, job)
}

// MR returns the rows of a full tile, the distance of two taps' pointers.
func (p *Product) MR() int { return p.w.set.GEMM.MR }

// Tasks returns how many tasks there are.
func (p *Product) Tasks() int { return p.blocks * p.groups }

// BlockRows returns how many rows a block has at most.
func (p *Product) BlockRows() int { return p.blockRows }

// highest finds BlockRows.
func (p *Product) highest() int {
	most := 0
	for b := range p.blocks {
		r0, r1 := p.BlockRange(b)
		most = max(most, r1-r0)
	}
	return most
}

// Blocks returns how many blocks the rows are cut into, and BlockRange the rows of one.
func (p *Product) Blocks() int { return p.blocks }

// BlockRange returns the first row of block b and the first of the next.
func (p *Product) BlockRange(b int) (r0, r1 int) {
	return p.rows.row(p.blockTile(b)), p.rows.row(p.blockTile(b + 1))
}

// Chunks returns how many chunks the chain is cut into.
func (p *Product) Chunks() int { return p.chunks.pieces }

// Chunk returns chunk i, in rising k.
func (p *Product) Chunk(i int) Chunk {
	c := Chunk{index: i, first: i == 0, last: i == p.Chunks()-1}
	tap0, tap1, k0, k1 := p.chunks.piece(i)
	c.Tap, c.Taps, c.From, c.K = tap0, tap1-tap0, k0, k1-k0
	c.offset = c.Tap*p.w.In + c.From
	return c
}

// Block returns the block of a task.
func (p *Product) Block(w *engine.Worker, task int) Block {
	group, block := task/p.blocks, task%p.blocks
	b := Block{p: p, tile: p.blockTile(block), unit: p.groupUnit(group)}
	b.Tiles = p.blockTile(block+1) - b.tile
	b.units = p.groupUnit(group+1) - b.unit
	b.then = p.groupUnit(min(task+1, p.Tasks()-1) / p.blocks)
	b.Row = p.rows.row(b.tile)
	b.Rows = p.rows.row(b.tile+b.Tiles) - b.Row
	b.pointers = w.Pointers()
	f := w.Floats()
	b.sums, f = f[:p.sumsLen()], f[p.sumsLen():]
	b.wide, b.Scratch = f[:p.wideLen()], f[p.wideLen():]
	return b
}

// TileRows returns the rows of tile t of the block, counted from the block's first.
func (b *Block) TileRows(t int) (r0, r1 int) {
	return b.p.rows.row(b.tile+t) - b.Row, b.p.rows.row(b.tile+t+1) - b.Row
}

// Pointers returns where the row pointers of tile t go for chunk c: tap s and row r of the tile
// at [s*MR+r].
func (b *Block) Pointers(t int, c Chunk) []*float32 {
	n := c.Taps * b.p.w.set.GEMM.MR
	return b.pointers[t*n : (t+1)*n]
}

// thinAhead is how far ahead of a single tile its own panel is fetched, in values: a panel that passes
// by but once comes as fast as its cache or the memory can send it.
const thinAhead = 1024

// Multiply adds chunk c of the chain to the block's sums, and stores them after the last.
func (p *Product) Multiply(w *engine.Worker, b *Block, c Chunk) {
	g, t := &p.w.set.GEMM, &w.Args.Tile
	*t = kernels.TileArgs{AStride: c.Taps * g.MR} // whatever another operator left there
	runs := p.runs(b.Rows, c)
	halves, thin := p.w.halves(), b.Rows <= g.MR
	for i := range b.units * halves {
		unit, half := b.unit+i/halves, i%halves
		t.Cols, t.BStride = p.w.columns(unit), p.w.width(unit)
		next := p.next(b, unit, half, c)
		for run := range runs.pieces {
			tap0, tap1, k0, k1 := runs.piece(run)
			t.Segments, t.From, t.K = tap1-tap0, k0, k1-k0
			k0, k1 = tap0*c.K+k0, (tap1-1)*c.K+k1 // in the chunk
			t.B = p.w.operand(w, b.wide, unit, half, c.offset+k0, c.offset+k1)
			t.Ahead = next[run*len(next)/runs.pieces : (run+1)*len(next)/runs.pieces]
			if thin && p.w.half == nil {
				t.Ahead = t.B[min(len(t.B), thinAhead):]
			}
			p.sweep(w, b, unit, half, c.Tap+tap0, b.pointers[tap0*g.MR:], c.first && run == 0, c.last && run == runs.pieces-1)
		}
	}
	*t = kernels.TileArgs{} // keep no memory alive
}

// sweep has the tile sweep down the block's rows, a span at a time, over a piece of a panel that begins
// at a tap: the first of its chain, the last, or one in between.
func (p *Product) sweep(w *engine.Worker, b *Block, unit, half, tap int, pointers []*float32, first, last bool) {
	g, t := &p.w.set.GEMM, &w.Args.Tile
	column, halves := unit*g.NR, p.w.halves()
	panel, segments := t.B, t.Segments
	for tile := b.tile; tile < b.tile+b.Tiles; {
		end, from := min(p.rows.spanEnd(tile), b.tile+b.Tiles), 0
		if p.taps != nil {
			end, from, t.Segments = p.alike(tile, end, tap, segments)
			t.B = panel[from*t.K*t.BStride:]
		}
		r0 := p.rows.row(tile)
		t.Rows = p.rows.row(end) - r0
		t.A = pointers[(tile-b.tile)*t.AStride+from*g.MR:]
		sums := b.sums // none where they are not kept
		if len(sums) > 0 {
			sums = b.sumsOf(unit, half, r0)
		}
		t.Init, t.InitStride = sums, g.NR
		if first {
			t.Init, t.InitStride = p.bias(p.rows.image(tile), half*p.w.Out+column), 0
		}
		t.Dst, t.DstStride, t.Scale, t.Add = sums, g.NR, nil, nil
		if last && !p.staged {
			if p.ep.Gate.Data != nil {
				t.Scale = p.ep.Gate.Row(p.rows.image(tile))[column:]
			}
			t.Dst, t.DstStride = p.dst.Data[r0*p.dst.Stride+column:], p.dst.Stride
			if p.ep.Add.Data != nil {
				t.Add, t.AddStride = p.ep.Add.Data[r0*p.ep.Add.Stride+column:], p.ep.Add.Stride
			}
		}
		t.Fetch, t.FetchStride = nil, p.dst.Stride
		if last && p.staged && half == halves-1 && p.place.Run == 0 {
			t.Fetch = p.dst.Data[r0*p.dst.Stride+column:]
		}
		g.Tile(t)
		t.Ahead = t.Ahead[min(len(t.Ahead), (end-tile)*t.Segments*t.K*g.NR/4):]
		if last && half == halves-1 {
			p.finish(w, b, unit, p.rows.image(tile), r0, r0+t.Rows)
		}
		tile = end
	}
}

// alike returns the end of the tiles, up to end, that read the same of some taps from tap on as the first
// does, and which those are: n of them after the first from, and one at least. The tiles are of one span.
func (p *Product) alike(tile, end, tap, taps int) (last, from, n int) {
	for last, n = tile, -1; last < end; {
		f, t, until := p.taps.Taps(p.rows.row(last), p.rows.row(last+1))
		f = min(max(f-tap, 0), taps-1)
		t = min(max(t-tap, f+1), taps)
		if n >= 0 && (f != from || t-f != n) {
			break
		}
		from, n = f, t-f
		last = min(last+1+max(0, until-p.rows.row(last+1))/p.rows.mr, end)
	}
	return last, from, n
}

// memory is the part of a panel that chunk c multiplies, where it lies.
func (p *Product) memory(unit, half int, c Chunk) []float32 {
	return p.w.memory(unit, half, c.offset, c.offset+c.Taps*c.K)
}

// next returns what the task reads after a panel in chunk c; after the last, what the worker's next
// task begins with.
func (p *Product) next(b *Block, unit, half int, c Chunk) []float32 {
	switch {
	case half+1 < p.w.halves():
		return p.memory(unit, half+1, c)
	case unit+1 < b.unit+b.units:
		return p.memory(unit+1, 0, c)
	case !c.last:
		return p.memory(b.unit, 0, p.Chunk(c.index+1))
	}
	return p.memory(b.then, 0, p.Chunk(0))
}

// bias returns what the accumulators of an image's rows start from at a column of the weights, nil
// for zero.
func (p *Product) bias(image, column int) []float32 {
	switch {
	case p.ep.Bias != nil:
		return p.ep.Bias[column:]
	case p.ep.ImageBias.Data != nil:
		return p.ep.ImageBias.Row(image)[column:]
	}
	return nil
}

// sumsOf returns where the sums of a panel wait, from row on: NR apart.
func (b *Block) sumsOf(unit, half, row int) []float32 {
	panel := half
	if b.p.keepsSums() {
		panel += (unit - b.unit) * b.p.w.halves()
	}
	return b.sums[(panel*b.Rows+row-b.Row)*b.p.w.set.GEMM.NR:]
}
