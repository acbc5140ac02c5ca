package gemm

import (
	"fmt"
	"math"
	"sync"
	"unsafe"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// Operand is a factor of General: a matrix, or its transpose.
type Operand struct {
	tensor.Mat
	Transposed bool
}

// shape returns the rows and columns of the factor.
func (o *Operand) shape() (rows, cols int) {
	if o.Transposed {
		return o.Cols, o.Rows
	}
	return o.Rows, o.Cols
}

// from returns the memory of the factor from row i and column j on.
func (o *Operand) from(i, j int) []float32 {
	if o.Transposed {
		i, j = j, i
	}
	return o.Data[i*o.Stride+j:]
}

// General computes
//
//	c = alpha·a·b + beta·c
//
// for a of m × k, b of k × n and c of m × n, where nothing was laid out beforehand. All three may be
// views at any stride. c overlaps neither a nor b. Where beta is 0, c is not read, and where alpha is
// 0, neither are a and b: a NaN there is nothing to the result. General panics where shapes do not fit.
//
// Each element of c is one chain of fused multiply-adds in rising k, of a[i][k] with alpha·b[k][j],
// that starts from beta·c[i][j], or from 0 where beta is; both products are rounded. Transposes,
// strides and worker counts change no bit of it, and neither does the instruction set, but for the
// generic one, whose emulated multiply-adds round twice.
func General(e *engine.Engine, c tensor.Mat, alpha float32, a, b Operand, beta float32) {
	c.Check("gemm: c")
	a.Check("gemm: a")
	b.Check("gemm: b")
	m, k := a.shape()
	l, n := b.shape()
	if k != l || m != c.Rows || n != c.Cols {
		panic(fmt.Sprintf("gemm: %d×%d times %d×%d into c of %d×%d", m, k, l, n, c.Rows, c.Cols))
	}
	if alpha == 0 {
		k = 0
	}
	if m == 0 || n == 0 || k == 0 && beta == 1 {
		return
	}
	g := generals.Get().(*general)
	*g = general{set: e.Set(), a: a, b: b, c: c, k: k, alpha: alpha, beta: beta}
	g.plan(e.Workers())
	e.For(g.bands*g.groups, engine.Scratch{Floats: g.scratch(), Pointers: g.rows}, g)
	*g = general{}
	generals.Put(g)
}

var generals = sync.Pool{New: func() any { return new(general) }}

// general is one call of General. c is cut into bands of rows and groups of columns; a band of a group
// is a task. A task goes through its columns in strips, and through k in chunks. Of each chunk it
// lays a strip of alpha·b into panels, which stay in the second-level cache while the rows of a pass
// by, a block at a time; sums wait in c. So tasks that share columns lay them out each for itself,
// which is cheaper than the way of one shared copy through memory, and scratch does not grow with b.
type general struct {
	set         *kernels.Set
	a, b        Operand
	c           tensor.Mat
	k           int
	alpha, beta float32

	bands, groups int  // of rows and of columns: tasks
	strip         int  // columns of a strip at most, a multiple of NR
	rows          int  // of a block at most
	chunks, chunk int  // of k, at least one, and k values of one at most
	inPlace       bool // b is read where it is, but for its last columns
}

// Work sizes. A strip fills half of a second-level cache, of which MC rows of a fill a quarter (see
// kernels.GEMM).
//
// b is read in place, its rows streaming by in chunks of few k values, where a band has up to placeRows
// rows, for which it is not worth laying out: in chunks of thinChunk while a value of b meets no
// more than thinTiles times MR rows, which is bound by the way from memory, otherwise of placeChunk,
// for which c is read and written less often. As measured on an Intel server core with 2 MiB,
// that is 5 to 30 % faster for 12 to 128 rows, and for fewer up to three times.
//
// shares is how many tasks every worker has: more would cut the rows of b that stream by into pieces
// too short for a core to fetch them ahead, which costs up to a third at 64 rows.
//
// rowOfB is what it costs to lay out a row of b, in rows of the product; columnOfA is what it costs to
// read a column of a, in columns of the product, and columnOfAT to transpose it.
const (
	placeRows  = 128
	placeChunk = 128
	thinTiles  = 4
	thinChunk  = 32
	shares     = 2
	rowOfB     = 16
	columnOfA  = 4
	columnOfAT = 32
)

// plan cuts the work.
func (g *general) plan(workers int) {
	t := &g.set.GEMM
	tiles, units := pieces(g.c.Rows, t.MR), pieces(g.c.Cols, t.NR)
	g.bands, g.groups = 1, 1
	flop := 2 * float64(g.c.Rows) * float64(g.c.Cols) * float64(g.k)
	if want := min(shares*workers, 1+int(flop/minTask)); workers > 1 && want > 1 {
		g.cut(workers, want, tiles, units)
	}
	band := pieces(tiles, g.bands) * t.MR
	g.rows = min(g.c.Rows, band, t.MC)
	g.strip, g.chunk = 2*t.MC, t.KC
	if g.a.Transposed { // every strip transposes a anew
		g.strip, g.chunk = 2*g.strip, g.chunk/2
	}
	if g.inPlace = band <= placeRows && g.alpha == 1 && !g.b.Transposed; g.inPlace {
		g.strip, g.chunk = units*t.NR, min(g.chunk, placeChunk)
		if band <= thinTiles*t.MR {
			g.chunk = min(g.chunk, thinChunk)
		}
	}
	g.strip = min(max(1, g.strip/t.NR), pieces(units, g.groups)) * t.NR
	g.chunks = max(1, pieces(g.k, g.chunk))
	g.chunk = pieces(g.k, g.chunks)
}

// cut chooses bands and groups that make as many tasks as are wanted, so that the workers' shares cost
// least.
func (g *general) cut(workers, want, tiles, units int) {
	columnOfA := columnOfA
	if g.a.Transposed {
		columnOfA = columnOfAT
	}
	best := math.MaxInt
	for groups := 1; groups <= min(units, want); groups++ {
		bands := min(tiles, pieces(want, groups))
		rows, cols := pieces(tiles, bands)*g.set.GEMM.MR, pieces(units, groups)*g.set.GEMM.NR
		share := max(pieces(bands*groups, workers), want/workers) // tasks of a worker
		if cost := share * (rows*cols + rowOfB*cols + columnOfA*rows); cost < best {
			best, g.bands, g.groups = cost, bands, groups
		}
	}
}

// piece is what is multiplied at a time: rows r0 up to r1 of a, columns c0 up to c1 of b, and k0 up to k1
// of the chain.
type piece struct{ r0, r1, c0, c1, k0, k1 int }

// Tile does one task.
func (g *general) Tile(w *engine.Worker, task int) {
	s := g.split(w.Floats())
	var p piece
	r0, r1 := share(g.c.Rows, g.set.GEMM.MR, task%g.bands, g.bands)
	c0, c1 := share(g.c.Cols, g.set.GEMM.NR, task/g.bands, g.groups)
	strips, blocks := pieces(c1-c0, g.strip), pieces(r1-r0, g.rows)
	for strip := range strips {
		p.c0, p.c1 = share(c1-c0, g.set.GEMM.NR, strip, strips)
		p.c0, p.c1 = c0+p.c0, c0+p.c1
		for chunk := range g.chunks {
			p.k0, p.k1 = chunk*g.k/g.chunks, (chunk+1)*g.k/g.chunks
			if p.k0 < p.k1 {
				g.layB(w, &p, &s)
			}
			for block := range blocks {
				p.r0, p.r1 = share(r1-r0, g.set.GEMM.MR, block, blocks)
				p.r0, p.r1 = r0+p.r0, r0+p.r1
				if chunk == 0 {
					g.scale(w, &p, &s)
				}
				if p.k0 < p.k1 {
					g.layA(w, &p, &s)
					g.multiply(w, &p, &s)
				}
			}
		}
	}
}

// pieces is how many pieces of at most size n is cut into.
func pieces(n, size int) int { return (n + size - 1) / size }

// share returns piece i of n values cut into parts at multiples of unit.
func share(n, unit, i, parts int) (from, to int) {
	if parts == 1 {
		return 0, n
	}
	units := pieces(n, unit)
	return i * units / parts * unit, min(n, (i+1)*units/parts*unit)
}

// scratch is how many values of a worker's memory a task uses, and split divides them.
func (g *general) scratch() int {
	panels := g.chunk * g.strip
	if g.inPlace {
		panels = g.chunk * g.set.GEMM.Lanes
	}
	return g.set.GEMM.NR + g.rowsLen() + panels
}

// parts are the parts of a worker's scratch.
type parts struct {
	factors []float32 // a row of equal factors
	rows    []float32 // a block of a, where a is transposed
	panels  []float32 // a chunk of a strip of b
}

func (g *general) split(f []float32) (s parts) {
	nr, rows := g.set.GEMM.NR, g.rowsLen()
	return parts{f[:nr], f[nr : nr+rows], f[nr+rows:]}
}

// rowsLen is how many values the rows of a block take.
func (g *general) rowsLen() int {
	if g.a.Transposed {
		return g.rows * g.rowStride()
	}
	return 0
}

// rowStride is the stride of rows of a that were transposed.
func (g *general) rowStride() int { return RowStride(g.chunk) }

// layB fills the panels of a piece with alpha·b: of every panel, row k begins at (k-k0)·width. Where b
// is read in place, that are only the columns beyond its last full vector.
func (g *general) layB(w *engine.Worker, p *piece, s *parts) {
	nr, n, panels := g.set.GEMM.NR, p.k1-p.k0, s.panels
	for c := g.laid(p); c < p.c1; c += nr {
		cols := min(nr, p.c1-c)
		width := g.set.GEMM.Width(cols)
		src := g.b.from(p.k0, c)
		if g.b.Transposed {
			g.transpose(w, g.alpha, panels, width, src, g.b.Stride, cols, n)
		} else {
			g.times(w, s, g.alpha, panels, width, src, g.b.Stride, n, cols)
		}
		panels = panels[n*width:]
	}
}

// laid is the first column of a piece that is laid into panels.
func (g *general) laid(p *piece) int {
	if g.inPlace {
		return p.c1 - (p.c1-p.c0)%g.set.GEMM.Lanes
	}
	return p.c0
}

// layA says where the rows of a piece of a are, and transposes them where they are columns.
func (g *general) layA(w *engine.Worker, p *piece, s *parts) {
	from, stride := g.a.from(p.r0, p.k0), g.a.Stride
	if g.a.Transposed {
		g.transpose(w, 1, s.rows, g.rowStride(), from, stride, p.k1-p.k0, p.r1-p.r0)
		from, stride = s.rows, g.rowStride()
	}
	base, step := unsafe.Pointer(unsafe.SliceData(from)), uintptr(stride)*unsafe.Sizeof(from[0])
	for r := range w.Pointers()[:p.r1-p.r0] {
		w.Pointers()[r] = (*float32)(unsafe.Add(base, uintptr(r)*step))
	}
}

// multiply adds the product of a piece to what the rows of c start from or have come to.
func (g *general) multiply(w *engine.Worker, p *piece, s *parts) {
	t, nr, laid, panels := &w.Args.Tile, g.set.GEMM.NR, g.laid(p), s.panels
	*t = kernels.TileArgs{Rows: p.r1 - p.r0, Segments: 1, K: p.k1 - p.k0, A: w.Pointers(), AStride: g.set.GEMM.MR, DstStride: g.c.Stride}
	for c := p.c0; c < p.c1; c += t.Cols {
		if c < laid {
			t.Cols = min(nr, laid-c)
			t.B, t.BStride = g.b.from(p.k0, c), g.b.Stride
		} else {
			t.Cols = min(nr, p.c1-c)
			t.B, t.BStride = panels, g.set.GEMM.Width(t.Cols)
			panels = panels[t.K*t.BStride:]
		}
		t.Dst = g.c.Data[p.r0*g.c.Stride+c:]
		if g.beta != 0 || p.k0 > 0 {
			t.Init, t.InitStride = t.Dst, t.DstStride
		}
		g.set.GEMM.Tile(t)
	}
	*t = kernels.TileArgs{} // keep no memory alive
}

// scale multiplies a piece of c by beta, where that is not for multiply to do.
func (g *general) scale(w *engine.Worker, p *piece, s *parts) {
	switch {
	case g.beta == 0 && g.k == 0:
		for r := p.r0; r < p.r1; r++ {
			clear(g.c.Row(r)[p.c0:p.c1])
		}
	case g.beta != 0 && g.beta != 1:
		for c := p.c0; c < p.c1; c += g.set.GEMM.NR {
			part := g.c.Data[p.r0*g.c.Stride+c:]
			g.times(w, s, g.beta, part, g.c.Stride, part, g.c.Stride, p.r1-p.r0, min(g.set.GEMM.NR, p.c1-c))
		}
	}
}

// times writes dst[r][c] = factor·src[r][c] for up to NR columns. dst may be src.
func (g *general) times(w *engine.Worker, s *parts, factor float32, dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	a := &w.Args.Activate
	*a = kernels.ActivateArgs{Rows: rows, Cols: cols, Src: src, SrcStride: srcStride, Dst: dst, DstStride: dstStride}
	if factor != 1 {
		for c := range cols {
			s.factors[c] = factor
		}
		a.Value = s.factors
	}
	g.set.Activate(a)
	*a = kernels.ActivateArgs{}
}

// transpose writes dst[c][r] = factor·src[r][c], and zeros until the rows of dst are whole vectors.
func (g *general) transpose(w *engine.Worker, factor float32, dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	a := &w.Args.ToLanes
	for r := 0; r < rows; r += g.set.Queries {
		n := min(rows-r, g.set.Queries)
		*a = kernels.ToLanesArgs{Rows: n, Cols: cols, Lanes: g.set.GEMM.Width(n), Scale: factor,
			Src: src[r*srcStride:], SrcStride: srcStride, Dst: dst[r:], DstStride: dstStride}
		g.set.ToLanes(a)
	}
	*a = kernels.ToLanesArgs{}
}
