package gemm

import "math"

// A task's size. Its flop count is worth minTask at least, about 10 µs of one core; what surrounds it
// costs as much as taskFLOP, and where it is the weights' way from a cache that takes the time, a
// byte of them counts for byteFLOP. tasksPerWorker tasks for each worker even out what one loses to
// interruptions. sumsMax bounds the partial sums of a task, in values, to a
// quarter of a second-level cache. thinChain is how many k values a call may take in that has so few
// rows that nothing of a panel is used twice: 64 columns of them are some 100 µs of a core's way to
// memory.
const (
	minTask        = 2 << 20
	taskFLOP       = 400 << 10
	byteFLOP       = 4
	tasksPerWorker = 4
	sumsMax        = 64 << 10
	thinChain      = 8 << 10
)

// plan cuts the product into chunks, blocks and groups. A chain that is longer than KC by an eighth at most is left
// whole, and where chains are shorter a block has more rows, up to twice as many.
func (p *Product) plan() {
	g := &p.w.set.GEMM
	kc, mc, sums := g.KC, g.MC, sumsMax
	if chain := p.w.chain(); chain <= kc+kc/8 {
		kc = max(kc, chain)
		mc = min(mc*kc/max(chain, 1), 2*mc) / g.MR * g.MR
	}
	switch {
	case p.rows.total <= g.MR:
		kc = max(kc, thinChain)
	case p.w.half != nil && p.rows.total > (p.workers-1)*2*mc: // a block for every worker is left
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
		most := max(1, sums/(min(p.highest(), mc)*g.NR*p.w.halves())) // units of a group
		p.groups = (p.units + most - 1) / most
	}
	if p.workers > 1 {
		p.share(tiles)
	}
}

// share cuts the product into more tasks, of blocks and groups no larger than they are, so that the
// worker with most to do has least: what the others wait for. Of cuts that cost the same, within a
// percent, the one with more tasks is chosen.
func (p *Product) share(tiles int) {
	flop := 2 * float64(p.rows.total) * float64(p.w.chain()*p.w.Out*p.w.halves())
	flop = max(flop, byteFLOP*float64(p.w.Bytes()))
	want := min(tasksPerWorker*p.workers, 1+int(flop/minTask))
	if want == 1 {
		return
	}
	one := flop / float64(tiles*p.units) // a tile in a unit
	least := math.Inf(1)
	blocks, last := p.blocks, max(p.groups, min(p.units, want))
	for groups := p.groups; groups <= last; groups++ {
		for _, tasks := range [...]int{p.workers, want} {
			n := blocks
			if p.ep.Moments == nil { // where a block is a span
				n = even(max(blocks, min(tiles, (tasks+groups-1)/groups)), groups, p.workers, tiles)
			}
			most := (n*groups + p.workers - 1) / p.workers // tasks of a worker
			cost := float64(most) * (taskFLOP + one*float64((tiles+n-1)/n*((p.units+groups-1)/groups)))
			cost *= 1 - 0.01*float64(min(n*groups, want))/float64(want)
			if cost < least {
				least, p.blocks, p.groups = cost, n, groups
			}
		}
	}
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
	if p.blocks == 1 {
		return b * p.rows.tiles()
	}
	return b * p.rows.tiles() / p.blocks
}

// groupUnit returns the first unit of group g.
func (p *Product) groupUnit(g int) int {
	if p.groups == 1 {
		return g * p.units
	}
	return g * p.units / p.groups
}

// blockTiles is how many tiles a block has at most.
func (p *Product) blockTiles() int {
	if p.ep.Moments != nil {
		return p.rows.tilesInSpan
	}
	return (p.rows.tiles() + p.blocks - 1) / p.blocks
}

// keepsSums says whether the sums of all units of a task wait in scratch for the next chunk.
func (p *Product) keepsSums() bool { return p.Chunks() > 1 }

// runs cuts what one call of the kernel does of a chunk: all of it, or, of half-width weights that few
// rows pass by, what the first-level cache holds of a panel once it is wide. To cut float32 panels
// so as well was measured, 96 to 192 k values of 64 columns: what it saves on reading them from the
// second-level cache anew for every tile, it loses on setting sums down and taking them up.
func (p *Product) runs(rows int, c Chunk) cuts {
	limit := c.Taps * c.K
	if p.w.half != nil && rows <= fewRows {
		limit = min(limit, halfPiece/p.w.set.GEMM.NR)
	}
	return cutChain(c.Taps, c.K, limit)
}

// sumsLen is how much scratch the sums of a task need.
func (p *Product) sumsLen() int {
	panel := p.BlockRows() * p.w.set.GEMM.NR * p.w.halves()
	switch {
	case p.keepsSums():
		return panel * ((p.units + p.groups - 1) / p.groups)
	case p.staged || p.w.half != nil:
		return panel
	}
	return 0
}
