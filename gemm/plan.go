package gemm

// A task's size. Its flop count is worth minTask at least, about 20 µs of one core, which is a
// hundred times what handing it out costs; tasksPerWorker of them for each worker even out what
// one loses to interruptions. sumsMax bounds the partial sums of a task, in values, to a
// quarter of a second-level cache. thinChain is how many k values a call may take in that has so few
// rows that nothing of a panel is used twice: 64 columns of them are some 100 µs of a core's way to
// memory.
const (
	minTask        = 2 << 20
	tasksPerWorker = 4
	sumsMax        = 64 << 10
	thinChain      = 8 << 10
)

// plan cuts the product into chunks, blocks and groups.
func (p *Product) plan() {
	g := &p.w.set.GEMM
	kc := g.KC
	if p.dst.Rows <= g.MR {
		kc = max(kc, thinChain)
	}
	p.tapsPerChunk, p.parts = 1, 1
	switch chain := p.w.chain(); {
	case chain <= kc:
		p.tapsPerChunk = p.w.taps
	case p.w.In > kc:
		p.parts = (p.w.In + kc - 1) / kc
	default:
		n := (chain + kc - 1) / kc
		p.tapsPerChunk = (p.w.taps + n - 1) / n
	}
	tiles := p.rows.tiles()
	p.units, p.groups = p.w.units(), 1
	p.blocks = (tiles*g.MR + g.MC - 1) / g.MC
	if p.ep.Moments != nil {
		p.blocks = p.rows.spans()
	}
	if p.keepsSums() {
		most := max(1, sumsMax/(min(p.BlockRows(), g.MC)*g.NR*p.w.halves())) // units of a group
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

// sumsLen is how much scratch the sums of a task need.
func (p *Product) sumsLen() int {
	panel := p.BlockRows() * p.w.set.GEMM.NR * p.w.halves()
	switch {
	case p.keepsSums():
		return panel * ((p.units + p.groups - 1) / p.groups)
	case p.staged:
		return panel
	}
	return 0
}
