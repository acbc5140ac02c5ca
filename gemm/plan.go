package gemm

// A task's size. Its flop count is worth minTask at least, about 20 µs of one core, which is a
// hundred times what handing it out costs; tasksPerWorker of them for each worker even out what
// one loses to interruptions. sumsMax bounds the partial sums of a task, in values, to a
// quarter of a second-level cache. thinChain is how many k values a call may take in that has so few
// rows that nothing of a panel is used twice: 64 columns of them are some 100 µs of a core's way to
// memory. reuse is how many tiles have to pass by a piece of a panel to pay for reading it into the
// first-level cache and for setting partial sums down.
const (
	minTask        = 2 << 20
	tasksPerWorker = 4
	sumsMax        = 64 << 10
	thinChain      = 8 << 10
	reuse          = 3
)

// plan cuts the product into chunks, blocks and groups.
func (p *Product) plan() {
	g := &p.w.set.GEMM
	kc, mc, sums := g.KC, g.MC, sumsMax
	switch {
	case p.dst.Rows <= g.MR:
		kc = max(kc, thinChain)
	case p.w.half != nil && p.dst.Rows > (p.workers-1)*2*mc: // a block for every worker is left
		mc, sums = 2*mc, max(sums, g.KC*g.MC)
	}
	p.chunks = cutChain(p.w.taps, p.w.In, kc)
	tiles := p.rows.tiles()
	p.units, p.groups = p.w.units(), 1
	p.blocks = (tiles*g.MR + mc - 1) / mc
	if p.ep.Moments != nil {
		p.blocks = p.rows.spans()
	}
	if p.keepsSums() {
		most := max(1, sums/(min(p.BlockRows(), mc)*g.NR*p.w.halves())) // units of a group
		p.groups = (p.units + most - 1) / most
	}
	if p.workers == 1 {
		return
	}
	flop := 2 * float64(p.dst.Rows) * float64(p.w.chain()*p.w.Out*p.w.halves())
	want := min(tasksPerWorker*p.workers, 1+int(flop/minTask))
	if p.Tasks() < want {
		// First columns, so that a block of rows is read in full by as few workers as can be.
		p.groups = min(p.units, (want+p.blocks-1)/p.blocks)
	}
	if p.ep.Moments != nil {
		return
	}
	if p.Tasks() < want {
		p.blocks = min(tiles, (want+p.groups-1)/p.groups)
	}
	p.blocks = even(p.blocks, p.groups, p.workers, tiles)
}

// cuts is how a chain of taps with their channels is cut into pieces: into runs of taps, or each tap
// into parts.
type cuts struct{ taps, channels, tapsPerPiece, parts int }

// cutChain cuts a chain into pieces of at most limit values, or of one.
func cutChain(taps, channels, limit int) cuts {
	c := cuts{taps, channels, 1, 1}
	switch {
	case taps*channels <= limit:
		c.tapsPerPiece = taps
	case channels > limit:
		c.parts = (channels + limit - 1) / limit
	default:
		n := (taps*channels + limit - 1) / limit
		c.tapsPerPiece = (taps + n - 1) / n
	}
	return c
}

// pieces is how many there are.
func (c *cuts) pieces() int { return (c.taps + c.tapsPerPiece - 1) / c.tapsPerPiece * c.parts }

// longest is the most channels of a piece.
func (c *cuts) longest() int { return (c.channels + c.parts - 1) / c.parts }

// piece returns the taps of piece i, and its channels from k0 up to k1.
func (c *cuts) piece(i int) (tap0, tap1, k0, k1 int) {
	if c.parts > 1 {
		tap, part := i/c.parts, i%c.parts
		return tap, tap + 1, part * c.channels / c.parts, (part + 1) * c.channels / c.parts
	}
	n := c.pieces()
	return i * c.taps / n, (i + 1) * c.taps / n, 0, c.channels
}

// even returns the number of blocks, n or a few more but at most limit, that makes tasks go evenly
// into the workers' shares.
func even(n, groups, workers, limit int) int {
	for blocks := n; blocks < min(n+workers, limit+1); blocks++ {
		if blocks*groups%workers == 0 {
			return blocks
		}
	}
	return n
}

// blockTile returns the first tile of block b. Where moments are asked for, a block is a span.
func (p *Product) blockTile(b int) int {
	if p.ep.Moments != nil {
		return p.rows.spanTile(b)
	}
	return b * p.rows.tiles() / p.blocks
}

// groupUnit returns the first unit of group g.
func (p *Product) groupUnit(g int) int { return g * p.units / p.groups }

// blockTiles is how many tiles a block has at most.
func (p *Product) blockTiles() int {
	if p.ep.Moments != nil {
		return p.rows.tilesInSpan
	}
	return (p.rows.tiles() + p.blocks - 1) / p.blocks
}

// keepsSums says whether the sums of all units of a task wait in scratch for the next chunk.
func (p *Product) keepsSums() bool { return p.Chunks() > 1 }

// runs cuts what one call of the kernel does of a chunk: as much of a panel as the first-level cache
// holds, where enough rows pass by to have use for it, or so few that widening is what counts.
func (p *Product) runs(rows int, c Chunk) cuts {
	g := &p.w.set.GEMM
	limit := c.Taps * c.K
	if g.KR > 0 && rows > reuse*g.MR {
		limit = g.KR
	}
	if p.w.half != nil && rows <= fewRows {
		limit = min(limit, halfPiece/g.NR)
	}
	return cutChain(c.Taps, c.K, limit)
}

// sumsLen is how much scratch the sums of a task need.
func (p *Product) sumsLen() int {
	panel := p.BlockRows() * p.w.set.GEMM.NR * p.w.halves()
	switch {
	case p.keepsSums():
		return panel * ((p.units + p.groups - 1) / p.groups)
	case p.staged || p.w.half != nil || p.w.set.GEMM.KR > 0:
		return panel
	}
	return 0
}
