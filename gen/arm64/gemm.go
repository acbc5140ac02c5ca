package arm64

import (
	"fmt"

	"github.com/lanewise/lanewise/gen/layout"
)

// gemm emits the kernels of package kernels' GEMM.
func gemm(e *emitter) {
	tiles(e)
	widen(e)
}

// Registers of Tile. Those of the sum are free outside it.
var (
	tileB, tileBStride = R(8), R(9)   // sum: B at this k; bytes to the next
	tileK, tileK2      = R(10), R(11) // sum: k and k + 2, in bytes
	tileWhole          = R(12)        // sum: how many bytes of K the unrolled loop does
	tileCount          = R(13)        // sum: K in bytes
	tileTable          = R(14)        // the next row pointers
	tileSegments       = R(15)        // sum: still to do in this tile
	tileAhead, tileEnd = R(16), R(17) // what to ask for next, and where that ends
	tileArgs           = R(19)
	tileRows           = R(20)        // still to do
	tileInit, tileAdd  = R(21), R(23) // at the first of them; Add may be nil
	tileDst            = R(25)
)

// strides are those of Init, Add and Dst, each beside its pointer.
func stride(of R) R { return of + 1 }

// Rows whose last vector is not whole pass through the frame, where it is: one vector a row, of
// Init, of Add and of Dst.
const (
	frameTail = mr * bytesV
	frameSize = 3 * frameTail
)

// frame is where such vectors of Init, Add or Dst lie.
func (e *emitter) frame(of, into R) {
	offset := map[R]int{tileInit: 0, tileAdd: frameTail, tileDst: 2 * frameTail}[of]
	e.MOVD(fmt.Sprintf("$tails%+d(SP)", offset-frameSize), into)
}

// unroll is how many k go into one round of the loop, two at a time.
const unroll = 4

// tiles emits Tile: a sweep down the rows of a panel in tiles of MR rows, with a body for each
// number of rows and of vectors in a row, all by one plan.
//
// Register plan: V0 to V23 accumulate, V24 to V29 hold B at two k, V30 and V31 two values each of a
// row of A by turns. A's rows are read in place, each by a pointer of its own, R0 to R7, that is
// indexed by k.
//
//	8×12: 24 + 6 + 2 registers; 48 FMA for 12 loads
func tiles(e *emitter) {
	e.function("Tile", frameSize, layout.Tile, tileArgs, "Tile is kernels.GEMM.Tile; args points to a kernels.TileArgs.")
	p := panel{e}
	p.start()
	e.label("next")
	p.sizes()
	e.CBZ(panelTail, "choose")
	p.fill()
	e.label("choose")
	p.choose()
	e.label("stored")
	p.sizes()
	e.CBZ(panelTail, "advance")
	p.empty()
	e.label("advance")
	p.advance()
	e.BGT("next")
	e.RET()
}

// panel is the sweep down a panel, from one tile to the next.
type panel struct{ *emitter }

// Registers between tiles: columns in all, in whole vectors (in bytes), and besides; rows of this tile.
var (
	panelCols, panelWhole, panelTail = R(0), R(2), R(3)
	panelRows                        = R(1)
)

// start loads what is kept from tile to tile.
func (p panel) start() {
	p.get("Rows", tileRows)
	p.get("A", tileTable)
	p.stride("InitStride", stride(tileInit))
	p.stride("AddStride", stride(tileAdd))
	p.stride("DstStride", stride(tileDst))
	p.get("Dst", tileDst)

	// Without Init, the rows start from zeros at a stride of 0.
	p.get("Init", tileInit)
	p.CBNZ(tileInit, "started")
	p.MOVD(p.zeros(4*nr), tileInit)
	p.MOVD(0, stride(tileInit))
	p.label("started")
	p.get("Add", tileAdd)
	p.CBNZ(tileAdd, "added")
	p.MOVD(0, stride(tileAdd))
	p.label("added")

	// Without Ahead, B is asked for, which is at hand.
	p.get("B", tileEnd)
	p.get("Ahead", tileAhead)
	p.CBZ(tileAhead, "behind")
	p.MOVD(p.length("Ahead"), tileEnd)
	p.ADD(shifted{tileEnd, 2}, tileAhead, tileEnd)
	p.B("next")
	p.label("behind")
	p.MOVD(tileEnd, tileAhead)
}

// sizes sets the registers between tiles.
func (p panel) sizes() {
	p.get("Cols", panelCols)
	p.AND(vector-1, panelCols, panelTail)
	p.SUB(panelTail, panelCols, panelWhole)
	p.LSL(2, panelWhole, panelWhole)
	p.MOVD(mr, panelRows)
	p.CMP(panelRows, tileRows)
	p.CSEL("LT", tileRows, panelRows, panelRows)
}

// fill copies the values besides whole vectors of Init and Add to the frame, and empty those of Dst
// from there.
func (p panel) fill() {
	load := func(at, buffer, tmp R) {
		p.loadSome(panelTail, at, tmp, 0)
		p.FMOVQ(V(0), Mem{Base: buffer})
	}
	p.ragged(tileInit, load)
	p.CBZ(tileAdd, "choose")
	p.ragged(tileAdd, load)
}

func (p panel) empty() {
	p.ragged(tileDst, func(at, buffer, tmp R) {
		p.FMOVQ(Mem{Base: buffer}, V(0))
		p.storeSome(0, panelTail, at, tmp)
	})
}

// ragged emits body for the last vector of each row: at is where it belongs, buffer where it lies in
// the frame.
func (p panel) ragged(of R, body func(at, buffer, tmp R)) {
	at, buffer, left, loop := R(4), R(5), R(6), p.unique("ragged")
	p.ADD(panelWhole, of, at)
	p.frame(of, buffer)
	p.MOVD(panelRows, left)
	p.label(loop)
	body(at, buffer, R(7))
	p.ADD(stride(of), at)
	p.ADD(bytesV, buffer)
	p.SUBS(1, left)
	p.BNE(loop)
}

// choose jumps to the body for this tile, and emits all of them.
func (p panel) choose() {
	const most = nr / vector
	for v := most; v > 1; v-- {
		p.CMP((v-1)*vector, panelCols)
		p.BGT(fmt.Sprintf("vectors%d", v))
	}
	for v := 1; v <= most; v++ {
		p.label(fmt.Sprintf("vectors%d", v))
		for r := mr; r > 1; r-- {
			p.CMP(r, panelRows)
			p.BEQ(tile{p.emitter, r, v}.label("init"))
		}
		for r := 1; r <= mr; r++ {
			t := tile{p.emitter, r, v}
			t.init()
			t.sum()
			t.finish()
			p.B("stored")
		}
	}
}

// advance goes on to the next tile; the flags say whether there is one.
func (p panel) advance() {
	tmp, segments := R(4), R(5)
	p.get("AStride", tmp)
	p.get("Segments", segments)
	p.LSL(3, segments, segments) // of MR pointers, which the tile has gone past
	p.SUB(segments, tmp, tmp)
	p.ADD(shifted{tmp, 3}, tileTable)
	for _, of := range []R{tileInit, tileAdd, tileDst} {
		p.MUL(panelRows, stride(of), tmp)
		p.ADD(tmp, of)
	}
	p.SUBS(mr, tileRows)
}

// tile is the body for one number of rows, and of vectors in a row.
type tile struct {
	*emitter
	rows, vectors int
}

func (t tile) acc(r, j int) V           { return V(r*t.vectors + j) }
func (t tile) b(u, j int) V             { return V(mr*nr/vector + u*nr/vector + j) }
func (t tile) a(i int) V                { return V(30 + i%2) }
func (t tile) label(name string) string { return fmt.Sprintf("%s%dx%d", name, t.rows, t.vectors) }
func (t tile) mark(name string)         { t.emitter.label(t.label(name)) }

// row loads or stores a row of vectors: one at a time or two, by the functions for each.
func (t tile) row(v func(j int) V, base R, last Mem, one func(m Mem, v V), two func(m Mem, a, b V)) {
	switch t.vectors {
	case 3:
		two(at(base, 0), v(0), v(1))
	case 2:
		one(at(base, 0), v(0))
	}
	one(last, v(t.vectors-1))
}

// each calls f for every row of Init, Add or Dst: base is at its whole vectors, last at the last
// one, in the frame where that is not whole.
func (t tile) each(of R, f func(r int, base R, last Mem)) {
	base, last, step, tail := R(0), R(1), R(2), R(3)
	whole := t.unique("whole")
	t.MOVD(of, base)
	t.ADD((t.vectors-1)*bytesV, base, last)
	t.MOVD(stride(of), step)
	t.get("Cols", tail)
	t.AND(vector-1, tail)
	t.CBZ(tail, whole)
	t.frame(of, last)
	t.MOVD(bytesV, step)
	t.emitter.label(whole)
	for r := range t.rows {
		f(r, base, at(last, 0))
		if r+1 < t.rows {
			t.ADD(stride(of), base)
			t.ADD(step, last)
		}
	}
}

// init asks for the lines of Dst, which are written when the sum is done, and sets the accumulators.
func (t tile) init() {
	t.mark("init")
	t.each(tileInit, func(r int, base R, last Mem) {
		t.row(func(j int) V { return t.acc(r, j) }, base, last,
			func(m Mem, v V) { t.FMOVQ(m, v) }, t.FLDPQ)
	})
	t.each(tileDst, func(_ int, base R, last Mem) {
		if t.vectors > 1 {
			t.PRFM(at(base, 0), "PSTL1KEEP")
		}
		t.PRFM(last, "PSTL1KEEP")
	})
}

// sum runs the chains: for each segment, for each k: c += A[r][k]·B[k].
func (t tile) sum() {
	t.get("B", tileB)
	t.stride("BStride", tileBStride)
	t.get("Segments", tileSegments)
	t.stride("K", tileCount)
	t.AND(-4*unroll, tileCount, tileWhole)
	t.stride("From", tileK)
	t.ADD(tileK, tileCount)
	t.ADD(tileK, tileWhole)

	// loadB reads B at one k, the u-th of two, and goes on to the next.
	loadB := func(u int) {
		t.row(func(j int) V { return t.b(u, j) }, tileB, at(tileB, (t.vectors-1)*bytesV),
			func(m Mem, v V) { t.FMOVQ(m, v) }, t.FLDPQ)
		t.ADD(tileBStride, tileB)
	}
	// fma adds the products of one k, the u-th of two, to row r, whose values are in a.
	fma := func(u, r int, a V) {
		for j := range t.vectors {
			t.FMLALane(a, Lane(u), t.b(u, j), t.acc(r, j))
		}
	}
	// round adds four k, two at a time, rows two by two. A register is loaded anew as soon as it
	// was used for the last time, well before it is needed: cores that run in order do not wait.
	loadA := func(i int) { // i counts rows, through both pairs of k
		if i < 2*t.rows {
			k := [2]R{tileK, tileK2}[i/t.rows]
			t.FMOVD(indexed(R(i%t.rows), k), t.a(i))
		}
	}
	round := func() {
		loadA(0)
		loadB(0)
		loadA(1)
		loadB(1)
		for pair := range unroll / 2 {
			last := pair == unroll/2-1
			for r := 0; r < t.rows; r += 2 {
				rows := min(2, t.rows-r)
				for i := range rows {
					fma(0, r+i, t.a(pair*t.rows+r+i))
				}
				if r+2 >= t.rows && !last {
					loadB(0)
				}
				for i := range rows {
					at := pair*t.rows + r + i
					fma(1, r+i, t.a(at))
					loadA(at + 2)
				}
			}
			if !last {
				loadB(1)
			}
		}
	}

	t.mark("segment")
	for r := 0; r < t.rows; r += 2 {
		t.LDP(at(tileTable, 8*r), R(r), R(r+1))
	}
	t.ADD(8*mr, tileTable)
	t.stride("From", tileK)
	t.CMP(tileWhole, tileK)
	t.BGE(t.label("rest"))
	t.ADD(8, tileK, tileK2)
	t.align(32)
	t.mark("loop")
	round()
	t.PRFM(at(tileAhead, 0), "PLDL2KEEP")
	t.ADD(unroll*nr, tileAhead) // NR/4 values for each k
	t.CMP(tileEnd, tileAhead)
	t.CSEL("LO", tileAhead, tileEnd, tileAhead)
	t.ADD(4*unroll, tileK)
	t.ADD(4*unroll, tileK2)
	t.CMP(tileWhole, tileK)
	t.BLT(t.label("loop"))
	t.mark("rest")
	t.CMP(tileCount, tileK)
	t.BGE(t.label("done"))
	loadB(0)
	for r := range t.rows {
		t.FMOVS(indexed(R(r), tileK), t.a(r))
		fma(0, r, t.a(r))
	}
	t.ADD(4, tileK)
	t.B(t.label("rest"))
	t.mark("done")
	t.SUBS(1, tileSegments)
	t.BNE(t.label("segment"))
}

// finish multiplies by Scale, adds Add, where there are any, and stores.
func (t tile) finish() {
	scale, tail, last := R(0), R(1), t.vectors-1
	whole, scaled := t.unique("whole"), t.unique("scaled")
	t.get("Scale", scale)
	t.CBZ(scale, scaled)
	for j := range last {
		t.FMOVQ(at(scale, j*bytesV), t.b(0, j))
	}
	t.ADD(last*bytesV, scale)
	t.get("Cols", tail)
	t.AND(vector-1, tail)
	t.CBZ(tail, whole)
	t.loadSome(tail, scale, R(2), t.b(0, last))
	t.B(scaled + "All")
	t.emitter.label(whole)
	t.FMOVQ(at(scale, 0), t.b(0, last))
	t.emitter.label(scaled + "All")
	for r := range t.rows {
		for j := range t.vectors {
			t.FMUL(t.b(0, j), t.acc(r, j), t.acc(r, j))
		}
	}
	t.emitter.label(scaled)
	t.CBZ(tileAdd, t.label("store"))
	spare := func(j int) V { return t.b(0, j) }
	t.each(tileAdd, func(r int, base R, last Mem) {
		t.row(spare, base, last, func(m Mem, v V) { t.FMOVQ(m, v) }, t.FLDPQ)
		for j := range t.vectors {
			t.FADD(spare(j), t.acc(r, j), t.acc(r, j))
		}
	})
	t.mark("store")
	t.each(tileDst, func(r int, base R, last Mem) {
		t.row(func(j int) V { return t.acc(r, j) }, base, last,
			func(m Mem, v V) { t.FMOVQ(v, m) }, func(m Mem, a, b V) { t.FSTPQ(a, b, m) })
	})
}
