package gemm

// A task's size. Its flop count is worth minTask at least, about 20 µs of one core, which is a
// hundred times what handing it out costs; tasksPerWorker of them for each worker even out what
// one loses to interruptions. sumsMax bounds the partial sums of a task, in values, to a
// quarter of a second-level cache.
const (
	minTask        = 2 << 20
	tasksPerWorker = 4
	sumsMax        = 64 << 10
)

// plan cuts the product into chunks, blocks and groups.
func (p *Product) plan() {
	g := &p.w.set.GEMM
	p.tapsPerChunk, p.parts = 1, 1
	switch chain := p.w.taps * p.w.In; {
	case chain <= g.KC:
		p.tapsPerChunk = p.w.taps
	case p.w.In > g.KC:
		p.parts = (p.w.In + g.KC - 1) / g.KC
	default:
		n := (chain + g.KC - 1) / g.KC
		p.tapsPerChunk = (p.w.taps + n - 1) / n
	}
	p.tiles = (p.dst.Rows + g.MR - 1) / g.MR
	p.units = p.w.units()
	p.blocks = (p.tiles*g.MR + g.MC - 1) / g.MC
	p.groups = 1
	if p.keepsSums() {
		rows := min(g.MC, p.dst.Rows)
		most := max(1, sumsMax/(rows*g.NR*p.w.halves())) // units of a group
		p.groups = (p.units + most - 1) / most
	}
	if p.workers == 1 {
		return
	}
	flop := 2 * float64(p.dst.Rows) * float64(p.w.taps*p.w.In) * float64(p.units*g.NR*p.w.halves())
	want := min(tasksPerWorker*p.workers, 1+int(flop/minTask))
	if p.Tasks() >= want {
		p.blocks = even(p.blocks, p.groups, p.workers, p.tiles)
		return
	}
	// First columns, so that a block of rows is read in full by as few workers as can be.
	p.groups = min(p.units, (want+p.blocks-1)/p.blocks)
	if p.Tasks() < want {
		p.blocks = min(p.tiles, (want+p.groups-1)/p.groups)
	}
	p.blocks = even(p.blocks, p.groups, p.workers, p.tiles)
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

// tileRow returns the first row of tile t.
func (p *Product) tileRow(t int) int { return t * p.dst.Rows / p.tiles }

// blockTile returns the first tile of block b.
func (p *Product) blockTile(b int) int { return b * p.tiles / p.blocks }

// groupUnit returns the first unit of group g.
func (p *Product) groupUnit(g int) int { return g * p.units / p.groups }

// blockTiles is how many tiles a block has at most.
func (p *Product) blockTiles() int { return (p.tiles + p.blocks - 1) / p.blocks }

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

// biasLen is how much scratch a tile of biases needs, for tiles whose rows belong to several
// images.
func (p *Product) biasLen() int {
	if p.ep.ImageBias.Data == nil {
		return 0
	}
	return p.w.set.GEMM.MR * p.w.set.GEMM.NR
}
