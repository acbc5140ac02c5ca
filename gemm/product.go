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
// The rows of C are cut into tiles of nearly equal height, so that there is no scalar edge, a run of
// tiles is a block, and a task is a block times a group of units, a unit being NR columns (for GLU
// those of the values and those of the gates). Within a task the panels pass by the block, whose
// rows stay in the second-level cache; where the chain is longer than KC it is cut into chunks,
// and partial sums wait in scratch.
type Product struct {
	w        *Packed
	dst      tensor.Mat
	ep       Epilogue
	perImage int // rows of dst that share a row of ImageBias

	tiles, blocks int // tiles of rows, and blocks of tiles
	units, groups int // units of columns, and groups of units
	tapsPerChunk  int // at least 1; 1 where a tap is cut into parts
	parts         int // pieces that a tap's channels are cut into
	staged        bool
	workers       int
}

// Block is the rows and columns of a task.
type Block struct {
	Row, Rows int       // of C
	Tiles     int       // that the rows are cut into
	Scratch   []float32 // as much as Run was asked for

	p            *Product
	tile, unit   int // the first
	units        int
	then         int // the first unit of the task that this worker probably does next
	pointers     []*float32
	sums, biases []float32 // of the task's units; of one tile
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
	if w.set != e.Set() {
		panic(fmt.Sprintf("gemm: weights packed for %v on an engine of %v", w.set.ISA, e.Set().ISA))
	}
	dst.Check("gemm: dst")
	if dst.Cols != w.Out {
		panic(fmt.Sprintf("gemm: dst has %d columns, the weights %d", dst.Cols, w.Out))
	}
	ep.check(dst, w.Out*w.halves())
	*p = Product{w: w, dst: dst, ep: ep, workers: e.Workers()}
	if dst.Rows == 0 || dst.Cols == 0 {
		return false
	}
	if ep.ImageBias.Data != nil {
		p.perImage = dst.Rows / ep.ImageBias.Rows
	}
	p.staged = ep.Act != kernels.Identity || w.GLU
	p.plan()
	return true
}

// Run does the tasks by job, whose Tile does one. Every block has scratch of its own beside that
// of the product.
func (p *Product) Run(e *engine.Engine, scratch int, job engine.Job) {
	e.For(p.Tasks(), engine.Scratch{
		Floats:   p.sumsLen() + p.biasLen() + scratch,
		Pointers: p.blockTiles() * p.tapsPerChunk * p.w.set.GEMM.MR,
	}, job)
}

// MR returns the rows of a full tile, the distance of two taps' pointers.
func (p *Product) MR() int { return p.w.set.GEMM.MR }

// Tasks returns how many tasks there are.
func (p *Product) Tasks() int { return p.blocks * p.groups }

// BlockRows returns how many rows a block has at most.
func (p *Product) BlockRows() int {
	most := 0
	for b := range p.blocks {
		most = max(most, p.tileRow(p.blockTile(b+1))-p.tileRow(p.blockTile(b)))
	}
	return most
}

// Blocks returns how many blocks the rows are cut into, and BlockRange the rows of one.
func (p *Product) Blocks() int { return p.blocks }

// BlockRange returns the first row of block b and the first of the next.
func (p *Product) BlockRange(b int) (r0, r1 int) {
	return p.tileRow(p.blockTile(b)), p.tileRow(p.blockTile(b + 1))
}

// Chunks returns how many chunks the chain is cut into.
func (p *Product) Chunks() int {
	return (p.w.taps + p.tapsPerChunk - 1) / p.tapsPerChunk * p.parts
}

// Chunk returns chunk i, in rising k.
func (p *Product) Chunk(i int) Chunk {
	n := p.Chunks()
	c := Chunk{index: i, first: i == 0, last: i == n-1}
	if p.parts > 1 {
		part := i % p.parts
		c.Tap, c.Taps = i/p.parts, 1
		c.From = part * p.w.In / p.parts
		c.K = (part+1)*p.w.In/p.parts - c.From
	} else {
		c.Tap = i * p.w.taps / n
		c.Taps = (i+1)*p.w.taps/n - c.Tap
		c.K = p.w.In
	}
	c.offset = c.Tap*p.w.In + c.From
	return c
}

// Block returns the block of a task.
func (p *Product) Block(w *engine.Worker, task int) Block {
	group, block := task/p.blocks, task%p.blocks
	b := Block{p: p, tile: p.blockTile(block), unit: p.groupUnit(group)}
	b.Tiles = p.blockTile(block+1) - b.tile
	b.units = p.groupUnit(group+1) - b.unit
	b.then = p.groupUnit(min(task+p.workers, p.Tasks()-1) / p.blocks)
	b.Row = p.tileRow(b.tile)
	b.Rows = p.tileRow(b.tile+b.Tiles) - b.Row
	b.pointers = w.Pointers()
	f := w.Floats()
	b.sums, f = f[:p.sumsLen()], f[p.sumsLen():]
	b.biases, b.Scratch = f[:p.biasLen()], f[p.biasLen():]
	return b
}

// TileRows returns the rows of tile t of the block, counted from the block's first.
func (b *Block) TileRows(t int) (r0, r1 int) {
	return b.p.tileRow(b.tile+t) - b.Row, b.p.tileRow(b.tile+t+1) - b.Row
}

// Pointers returns where the row pointers of tile t go for chunk c: tap s and row r of the tile
// at [s*MR+r].
func (b *Block) Pointers(t int, c Chunk) []*float32 {
	n := c.Taps * b.p.w.set.GEMM.MR
	return b.pointers[t*n : (t+1)*n]
}

// Multiply adds chunk c of the chain to the block's sums, and stores them after the last.
func (p *Product) Multiply(w *engine.Worker, b *Block, c Chunk) {
	g, t := &p.w.set.GEMM, &w.Args.Tile
	*t = kernels.TileArgs{} // whatever another operator left there
	nr, halves := g.NR, p.w.halves()
	stride := b.Rows * nr // of the sums of a panel
	for unit := range b.units {
		column := (b.unit + unit) * nr
		t.Cols = min(nr, p.dst.Cols-column)
		sums := b.sums
		if p.keepsSums() {
			sums = sums[unit*halves*stride:]
		}
		for half := range halves {
			t.B = p.panel((b.unit+unit)*halves+half, c)
			t.Segments, t.K = c.Taps, c.K
			next := p.next(b, unit*halves+half, c)
			for tile := range b.Tiles {
				t.Ahead = next
				next = next[min(len(next), len(t.B)/4):] // as much as a tile asks for
				r0, r1 := b.TileRows(tile)
				t.Rows = r1 - r0
				t.A = b.Pointers(tile, c)
				if c.first {
					p.start(t, b, b.Row+r0, half*p.w.Out+column)
				} else {
					t.Init, t.InitStride = sums[half*stride+r0*nr:], nr
				}
				if c.last && !p.staged {
					t.Dst, t.DstStride = p.dst.Data[(b.Row+r0)*p.dst.Stride+column:], p.dst.Stride
					if p.ep.Add.Data != nil {
						t.Add, t.AddStride = p.ep.Add.Data[(b.Row+r0)*p.ep.Add.Stride+column:], p.ep.Add.Stride
					}
				} else {
					t.Dst, t.DstStride = sums[half*stride+r0*nr:], nr
				}
				g.Tile(t)
			}
		}
		if c.last && p.staged {
			p.activate(w, b, column, sums, stride)
		}
	}
	*t = kernels.TileArgs{} // keep no memory alive
}

// panel returns the part of panel i that chunk c multiplies.
func (p *Product) panel(i int, c Chunk) []float32 {
	nr := p.w.set.GEMM.NR
	return p.w.panel(i)[c.offset*nr : (c.offset+c.Taps*c.K)*nr]
}

// next returns what the task reads after panel i of the block in chunk c, which the tiles ask for
// ahead; after the last, what the worker's next task begins with.
func (p *Product) next(b *Block, i int, c Chunk) []float32 {
	first := b.unit * p.w.halves()
	if i+1 < b.units*p.w.halves() {
		return p.panel(first+i+1, c)
	}
	if c.last {
		return p.panel(b.then*p.w.halves(), p.Chunk(0))
	}
	return p.panel(first, p.Chunk(c.index+1))
}

// start sets what the accumulators of a tile start from: its bias.
func (p *Product) start(t *kernels.TileArgs, b *Block, row, column int) {
	switch {
	case p.ep.Bias != nil:
		t.Init, t.InitStride = p.ep.Bias[column:], 0
	case p.ep.ImageBias.Data == nil:
		t.Init, t.InitStride = nil, 0
	case row/p.perImage == (row+t.Rows-1)/p.perImage:
		t.Init, t.InitStride = p.ep.ImageBias.Row(row / p.perImage)[column:], 0
	default:
		nr := p.w.set.GEMM.NR
		for r := range t.Rows {
			copy(b.biases[r*nr:][:t.Cols], p.ep.ImageBias.Row((row + r) / p.perImage)[column:])
		}
		t.Init, t.InitStride = b.biases, nr
	}
}

// activate stores the block's columns of one unit, whose sums are complete, through the
// activation.
func (p *Product) activate(w *engine.Worker, b *Block, column int, sums []float32, stride int) {
	nr := p.w.set.GEMM.NR
	a := &w.Args.Activate
	*a = kernels.ActivateArgs{
		Rows: b.Rows, Cols: min(nr, p.dst.Cols-column), Act: p.ep.Act,
		Src: sums, SrcStride: nr,
		Dst: p.dst.Data[b.Row*p.dst.Stride+column:], DstStride: p.dst.Stride,
	}
	if p.w.GLU {
		a.Value, a.ValueStride = sums, nr
		a.Src = sums[stride:]
	}
	if p.ep.Add.Data != nil {
		a.Add, a.AddStride = p.ep.Add.Data[b.Row*p.ep.Add.Stride+column:], p.ep.Add.Stride
	}
	w.Set.Activate(a)
	*a = kernels.ActivateArgs{}
}
