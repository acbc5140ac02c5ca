package x86

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/lanewise/lanewise/gen/layout"
)

// gemm emits the kernels of package kernels' GEMM.
func gemm(e *emitter) {
	tiles(e)
	widen(e)
}

// tiles emits Tile: a sweep down the rows of a panel in register tiles of MR rows, with a body for
// each number of rows and of vectors in a row, all by one plan.
//
// Register plan: MR·NR/Lanes accumulators, NR/Lanes vectors of B, the rest hold broadcasts of A. A's
// rows are read in place, each by a pointer of its own that is indexed by k.
//
//	AVX-512: 6×64: 24 + 4 + 4 registers; 24 FMA for 10 loads
//	AVX2:    6×16: 12 + 2 + 2 registers; 12 FMA for 8 loads
//
// Six rows are as many as keep the multipliers busy on both, and few enough that rows at any
// stride find room in one set of an 8-way cache. Wide tiles load less for each FMA: on an Intel
// server core a loop of 24 FMA runs at 95 % of its speed with 10 loads from the first-level cache
// beside them, and at 87 % with the 14 of a tile of 12×32.
func tiles(e *emitter) {
	e.function("Tile", layout.Tile, "Tile is kernels.GEMM.Tile; args points to a kernels.TileArgs.")
	most := e.NR / e.Lanes
	for v := most; v > 1; v-- {
		e.CMPQ(e.field("Cols"), I8((v-1)*e.Lanes))
		e.JG(LabelRef(fmt.Sprintf("panel%d", v)))
	}
	l := newLocals(e)
	for v := 1; v <= most; v++ {
		p := panel{emitter: e, locals: l, vectors: v}
		p.emit()
	}
}

// locals are what the general registers have no room for.
type locals struct {
	rows           Mem // still to do
	init, add, dst Mem // at the first of them; init and add may be nil
	fetch, apart   Mem // what to fetch for the first of them, and bytes from row to row
	first, table   Mem // the tile's row pointers, and those of the next segment
	segments       Mem // still to do in this tile
	count, whole   Mem // where K ends, and the part of it that the unrolled loop does
	ahead, end     Mem // what to ask for next, and where that ends
	window         Mem // AVX2: where the mask of the last vector lies
}

func newLocals(e *emitter) (l locals) {
	for _, m := range []*Mem{&l.rows, &l.init, &l.add, &l.dst, &l.fetch, &l.apart, &l.first, &l.table, &l.segments, &l.count, &l.whole, &l.ahead, &l.end, &l.window} {
		*m = e.AllocLocal(8)
	}
	return l
}

// unroll is how many k go into one round of the loop: enough to make its own cost vanish, and few
// enough that the code of all row counts stays in the first-level cache.
const unroll = 4

const cacheLine = 64 // bytes

// panel is the sweep down a panel of some vectors.
type panel struct {
	*emitter
	locals
	vectors int
}

func (p *panel) emit() {
	p.Label(fmt.Sprintf("panel%d", p.vectors))
	p.start()
	next := fmt.Sprintf("rows%d", p.vectors)
	p.Label(next)
	p.MOVQ(p.rows, reg.RCX)
	for r := p.MR; r > 1; r-- {
		p.CMPQ(reg.RCX, U8(r))
		if r == p.MR {
			p.JGE(LabelRef(fmt.Sprintf("init%dx%d", r, p.vectors)))
		} else {
			p.JEQ(LabelRef(fmt.Sprintf("init%dx%d", r, p.vectors)))
		}
	}
	for r := 1; r <= p.MR; r++ {
		t := tile{p, r}
		t.init()
		t.sum()
		t.finish()
		if r == p.MR {
			p.SUBQ(U8(r), p.rows)
			p.JG(LabelRef(next))
		}
		p.ret()
	}
}

// start fills the locals.
func (p *panel) start() {
	for _, f := range []struct {
		name string
		to   Mem
	}{{"Rows", p.rows}, {"Init", p.init}, {"Add", p.add}, {"Dst", p.dst}, {"A", p.first}, {"Ahead", p.ahead}} {
		p.get(f.name, reg.RCX)
		p.MOVQ(reg.RCX, f.to)
	}
	fetch := p.unique("fetch")
	p.stride("FetchStride", reg.RSI)
	p.get("Fetch", reg.RDX)
	p.TESTQ(reg.RDX, reg.RDX)
	p.JNZ(LabelRef(fetch))
	p.stride("DstStride", reg.RSI)
	p.get("Dst", reg.RDX)
	p.Label(fetch)
	p.MOVQ(reg.RDX, p.fetch)
	p.MOVQ(reg.RSI, p.apart)
	p.MOVQ(p.length("Ahead"), reg.RDX)
	p.LEAQ(Mem{Base: reg.RCX, Index: reg.RDX, Scale: 4}, reg.RCX)
	p.MOVQ(reg.RCX, p.end)
	p.get("K", reg.RCX)
	p.get("From", reg.RDX)
	p.LEAQ(Mem{Base: reg.RCX, Index: reg.RDX, Scale: 1}, reg.RSI)
	p.MOVQ(reg.RSI, p.count)
	p.ANDQ(I8(-unroll), reg.RCX)
	p.ADDQ(reg.RDX, reg.RCX)
	p.MOVQ(reg.RCX, p.whole)

	// The mask of the last vector: K1 stays what it is; AVX2 loads it from a window whenever
	// there is a register for it.
	last := reg.RCX
	p.get("Cols", last)
	p.SUBQ(U8((p.vectors-1)*p.Lanes), last)
	if p.wide() {
		p.masks(last, reg.RDX, reg.RSI, reg.K1)
		return
	}
	p.LEAQ(p.emitter.window(), reg.RDX)
	p.NEGQ(last)
	p.LEAQ(Mem{Base: reg.RDX, Index: last, Scale: 4, Disp: p.Bytes()}, reg.RDX)
	p.MOVQ(reg.RDX, p.locals.window)
}

// tile is the body for one number of rows.
type tile struct {
	*panel
	rows int
}

var rowPointers = []reg.GPPhysical{reg.RDX, reg.RSI, reg.RDI, reg.R8, reg.R9, reg.R10}

func (t *tile) acc(r, j int) reg.VecPhysical { return t.Regs[r*t.vectors+j] }
func (t *tile) b(j int) reg.VecPhysical      { return t.Regs[t.MR*t.NR/t.Lanes+j] }
func (t *tile) spare(i int) reg.VecPhysical  { return t.Regs[(t.MR+1)*t.NR/t.Lanes+i%t.spares()] }
func (t *tile) spares() int                  { return len(t.Regs) - (t.MR+1)*t.NR/t.Lanes }
func (t *tile) label(name string) string     { return fmt.Sprintf("%s%dx%d", name, t.rows, t.vectors) }
func (t *tile) jump(name string) LabelRef    { return LabelRef(t.label(name)) }

// each calls f for every vector of the tile, a row at a time, and step after every row but the last.
func (t *tile) each(f func(r, j int), step func()) {
	for r := range t.rows {
		for j := range t.vectors {
			f(r, j)
		}
		if r+1 < t.rows && step != nil {
			step()
		}
	}
}

// ragged emits body twice: for whole rows, and for rows whose last vector is masked; then after,
// where both end.
func (t *tile) ragged(name string, body func(name string, masks []mask)) {
	masks := make([]mask, t.vectors)
	t.CMPQ(t.field("Cols"), U8(t.vectors*t.Lanes))
	t.JNE(t.jump(name + "Tail"))
	body(name+"Whole", masks)
	t.JMP(t.jump(name + "End"))
	t.Label(t.label(name + "Tail"))
	last := &masks[t.vectors-1]
	if t.wide() {
		last.r = reg.K1
	} else {
		last.r = t.b(0)
		t.MOVQ(t.locals.window, reg.RCX)
		t.VMOVUPS(Mem{Base: reg.RCX}, last.r)
	}
	body(name+"Tail", masks)
	t.Label(t.label(name + "End"))
}

// init has the lines fetched that are read and written when the sum is done, and sets the
// accumulators: c := Init, or 0.
func (t *tile) init() {
	fetch, src, stride := reg.RBX, reg.RDX, reg.RSI
	t.Label(t.label("init"))
	t.reload(reg.RAX)
	t.MOVQ(t.fetch, fetch)
	t.MOVQ(t.apart, stride)
	lines := func() {
		for range t.rows {
			for line := 0; line < t.vectors*t.Bytes(); line += cacheLine {
				t.PREFETCHT0(Mem{Base: fetch, Disp: line})
			}
			t.ADDQ(stride, fetch)
		}
	}
	lines()
	t.MOVQ(fetch, t.fetch)
	t.MOVQ(t.add, fetch)
	t.CMPQ(fetch, t.dst)
	t.JEQ(t.jump("fetched"))
	t.TESTQ(fetch, fetch)
	t.JZ(t.jump("fetched"))
	t.stride("AddStride", stride)
	lines()
	t.Label(t.label("fetched"))
	t.MOVQ(t.locals.init, src)
	t.TESTQ(src, src)
	t.JZ(t.jump("zero"))
	t.stride("InitStride", stride)
	t.ragged("load", func(_ string, masks []mask) {
		t.each(func(r, j int) {
			t.load(t.vector(src, j), masks[j], t.acc(r, j))
		}, func() { t.ADDQ(stride, src) })
	})
	t.ADDQ(stride, src)
	t.MOVQ(src, t.locals.init)
	t.JMP(t.jump("sum"))
	t.Label(t.label("zero"))
	t.each(func(r, j int) { t.zero(t.acc(r, j)) }, nil)
}

// sum runs the chains: for each segment, for each k: c += A[r][k]·B[k].
func (t *tile) sum() {
	k, b, ahead := reg.RAX, reg.RBX, reg.RBP
	stride, three := reg.R11, reg.R12 // of B; times three
	whole, count := reg.R13, reg.R14
	from := reg.R15
	t.Label(t.label("sum"))
	t.get("B", b)
	t.get("From", from)
	t.MOVQ(t.first, reg.RCX)
	t.MOVQ(reg.RCX, t.table)
	t.get("AStride", reg.RDX)
	t.LEAQ(Mem{Base: reg.RCX, Index: reg.RDX, Scale: 8}, reg.RCX)
	t.MOVQ(reg.RCX, t.first)
	t.stride("BStride", stride)
	t.LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, three)
	t.get("Segments", reg.RCX)
	t.MOVQ(reg.RCX, t.segments)
	t.MOVQ(t.whole, whole)
	t.MOVQ(t.count, count)
	t.MOVQ(t.ahead, ahead)
	t.CMPQ(ahead, t.end)
	t.CMOVQCC(b, ahead) // B is at hand: asking for it costs nothing

	// step adds one k, at displacement u from index k.
	step := func(u int) {
		row := Mem{Base: b}
		switch u {
		case 1, 2:
			row.Index, row.Scale = stride, uint8(u)
		case 3:
			row.Index, row.Scale = three, 1
		}
		for j := range t.vectors {
			t.VMOVUPS(row.Offset(j*t.Bytes()), t.b(j))
		}
		for r := range t.rows {
			a := t.spare(r)
			t.VBROADCASTSS(Mem{Base: rowPointers[r], Index: k, Scale: 4, Disp: 4 * u}, a)
			for j := range t.vectors {
				t.VFMADD231PS(t.b(j), a, t.acc(r, j))
			}
		}
	}

	t.Label(t.label("segment"))
	t.MOVQ(t.table, k)
	for r := range t.rows {
		t.MOVQ(Mem{Base: k, Disp: 8 * r}, rowPointers[r])
	}
	t.ADDQ(I32(8*t.MR), t.table)
	t.MOVQ(from, k)
	t.CMPQ(k, whole)
	t.JEQ(t.jump("rest"))
	t.align(32)
	t.Label(t.label("loop"))
	for u := range unroll {
		step(u)
		if line := u * t.NR; line%cacheLine == 0 { // NR bytes for each k
			t.PREFETCHT1(Mem{Base: ahead, Disp: line})
		}
	}
	t.ADDQ(I8(unroll), k)
	t.LEAQ(Mem{Base: b, Index: stride, Scale: unroll}, b)
	t.ADDQ(I32(unroll*t.NR), ahead)
	t.CMPQ(k, whole)
	t.JLT(t.jump("loop"))
	t.Label(t.label("rest"))
	t.CMPQ(k, count)
	t.JGE(t.jump("next"))
	step(0)
	t.INCQ(k)
	t.ADDQ(stride, b)
	t.JMP(t.jump("rest"))
	t.Label(t.label("next"))
	t.DECQ(t.segments)
	t.JNZ(t.jump("segment"))
}

// finish multiplies by Scale, adds Add, where there are any, and stores.
func (t *tile) finish() {
	dst, dstStride, add, addStride, scale := reg.RDX, reg.RSI, reg.RBX, reg.R8, reg.R9
	t.MOVQ(t.ahead, reg.RCX)
	t.CMPQ(reg.RCX, t.end)
	t.CMOVQCS(reg.RBP, reg.RCX) // unless all was asked for before
	t.MOVQ(reg.RCX, t.ahead)
	t.reload(reg.RAX)
	t.MOVQ(t.dst, dst)
	t.stride("DstStride", dstStride)
	t.MOVQ(t.add, add)
	t.stride("AddStride", addStride)
	t.get("Scale", scale)
	t.ragged("store", func(name string, masks []mask) {
		t.TESTQ(scale, scale)
		t.JZ(t.jump(name + "Unscaled"))
		t.each(func(r, j int) {
			if masks[j].r == nil {
				t.VMULPS(t.vector(scale, j), t.acc(r, j), t.acc(r, j))
				return
			}
			if r == 0 {
				t.load(t.vector(scale, j), masks[j], t.spare(0))
			}
			t.VMULPS(t.spare(0), t.acc(r, j), t.acc(r, j))
		}, nil)
		t.Label(t.label(name + "Unscaled"))
		t.TESTQ(add, add)
		t.JZ(t.jump(name + "Only"))
		t.each(func(r, j int) {
			v := t.spare(j)
			t.load(t.vector(add, j), masks[j], v)
			t.VADDPS(v, t.acc(r, j), t.acc(r, j))
		}, func() { t.ADDQ(addStride, add) })
		t.ADDQ(addStride, add)
		t.MOVQ(add, t.add)
		t.Label(t.label(name + "Only"))
		t.each(func(r, j int) {
			t.store(t.acc(r, j), masks[j], t.vector(dst, j))
		}, func() { t.ADDQ(dstStride, dst) })
	})
	t.ADDQ(dstStride, dst)
	t.MOVQ(dst, t.dst)
}
