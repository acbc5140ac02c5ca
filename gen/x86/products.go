package x86

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The two products of attention, Score and Weigh, share a plan: a group of rows of the result in
// registers, and for each group a pass over the values that are summed over, one broadcast for each
// row and step. What is broadcast is read where the projections left it. There is a body for every
// number of vectors in a row of the panel, and for every number of rows in a group.
//
// Register plan: a vector row of the panel, two to four for broadcasts, all others accumulate. Where
// a row is one vector, AVX-512 broadcasts within the multiply-add.
//
//	AVX-512: 6×64, 9×48, 14×32, 14×16: 24 FMA for 10 loads, 27 for 12, 28 for 16, 14 for 15
//	AVX2:    6×16, 13×8: 12 FMA for 8 loads, 13 for 14
type products struct {
	*emitter
	vectors       int // in a row of the panel
	most          int // rows in a group
	b, spare, acc []reg.VecPhysical
	fetch         fetches
}

// maxRows is how many rows of a group the addressing of products reaches.
const maxRows = 14

// products emits a body for every number of vectors, and the choice between them; the arguments are
// still at hand there.
func (e *emitter) products(total string, body func(p products)) {
	most := e.Queries / e.Lanes
	panel := func(v int) string { return fmt.Sprintf("panel%d", v) }
	for v := most; v > 1; v-- {
		e.CMPQ(e.field("Lanes"), I8(v*e.Lanes))
		e.JE(LabelRef(panel(v)))
	}
	f := fetches{e, total, e.AllocLocal(8), e.AllocLocal(8)}
	for v := 1; v <= most; v++ {
		rows := min(maxRows, (len(e.Regs)-v-2)/v)
		left := len(e.Regs) - v - rows*v
		p := products{e, v, rows, e.Regs[:v], e.Regs[v : v+min(left, 4)], e.Regs[len(e.Regs)-rows*v:], f}
		e.Label(panel(v))
		f.start()
		body(p)
	}
}

// row is the size of a row of the panel, and of the result, in bytes.
func (p products) row() int { return p.vectors * p.Bytes() }

// accumulator is vector j of row r of the group.
func (p products) accumulator(r, j int) reg.VecPhysical { return p.acc[r*p.vectors+j] }

// each calls f for every accumulator of a group.
func (p products) each(rows int, f func(r, j int)) {
	for r := range rows {
		for j := range p.vectors {
			f(r, j)
		}
	}
}

// step adds one step to the accumulators: row u of the panel, times a broadcast for each row.
func (p products) step(rows int, panel reg.GPPhysical, u int, value func(r int) Mem) {
	for j := range p.vectors {
		p.VMOVUPS(p.vector(panel, u*p.vectors+j), p.b[j])
	}
	for r := range rows {
		if p.wide() && p.vectors == 1 {
			p.VFMADD231PS_BCST(value(r), p.b[0], p.accumulator(r, 0))
			continue
		}
		a := p.spare[r%len(p.spare)]
		p.VBROADCASTSS(value(r), a)
		for j := range p.vectors {
			p.VFMADD231PS(p.b[j], a, p.accumulator(r, j))
		}
	}
}

// groups emits the loop over groups of rows, and body for each size that one can have. A group is as
// large as fits while more than twice as many rows are left, then the rest goes in two halves, so
// that none is too small to keep the multipliers busy. n and tmp are clobbered; body ends where its
// code does, and labels by label.
func (p products) groups(rows, n reg.GPPhysical, tmp [4]reg.GPPhysical, body func(rows int, label func(string) string)) {
	label := func(rows int) func(name string) string {
		return func(name string) string { return fmt.Sprintf("%s%dx%d", name, rows, p.vectors) }
	}
	group := label(0)
	p.Label(group("group"))
	p.MOVQ(rows, n)
	p.CMPQ(rows, U8(p.most))
	p.JLE(LabelRef(group("chosen")))
	p.MOVQ(U32(p.most), n)
	p.CMPQ(rows, U8(2*p.most))
	p.JG(LabelRef(group("chosen")))
	p.LEAQ(Mem{Base: rows, Disp: 1}, n)
	p.SHRQ(U8(1), n)
	p.Label(group("chosen"))
	p.SUBQ(n, rows)
	p.fetch.emit(n, tmp, group)
	for r := p.most; r > 1; r-- {
		p.CMPQ(n, U8(r))
		p.JEQ(LabelRef(label(r)("rows")))
	}
	for r := 1; r <= p.most; r++ {
		p.Label(label(r)("rows"))
		body(r, label(r))
		p.TESTQ(rows, rows)
		p.JNZ(LabelRef(group("group")))
		p.ret()
	}
}

// fetches asks for the rows of a product's Fetch as its groups pass by: for each group as large a
// part of them as the group is of all rows.
type fetches struct {
	*emitter
	total string // the field that counts the product's rows
	next  Mem    // the row to fetch next
	due   Mem    // rows to fetch by now and not fetched, times all rows; at most 0 between groups
}

// start fills the locals.
func (f fetches) start() {
	f.get("Fetch", reg.RCX)
	f.MOVQ(reg.RCX, f.next)
	f.MOVQ(U32(0), f.due)
}

// emit fetches what is due for a group of n rows.
func (f fetches) emit(n reg.GPPhysical, tmp [4]reg.GPPhysical, label func(string) string) {
	args, due, line, last := tmp[0], tmp[1], tmp[2], tmp[3]
	before := f.argptr
	f.reload(args)
	f.get("FetchRows", due)
	f.IMULQ(n, due)
	f.ADDQ(f.due, due)
	f.JLE(LabelRef(label("fetched")))
	f.Label(label("fetch"))
	f.MOVQ(f.next, line)
	f.get("FetchCols", last)
	f.LEAQ(Mem{Base: line, Index: last, Scale: 4, Disp: -4}, last)
	f.Label(label("line"))
	f.PREFETCHT1(Mem{Base: line})
	f.ADDQ(U8(cacheLine), line)
	f.CMPQ(line, last)
	f.JCS(LabelRef(label("line")))
	f.PREFETCHT1(Mem{Base: last})
	f.stride("FetchStride", line)
	f.ADDQ(line, f.next)
	f.SUBQ(f.field(f.total), due)
	f.JG(LabelRef(label("fetch")))
	f.Label(label("fetched"))
	f.MOVQ(due, f.due)
	f.argptr = before
}
