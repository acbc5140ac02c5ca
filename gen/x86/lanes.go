package x86

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/lanewise/lanewise/gen/layout"
)

// A transposer emits ToLanes or FromLanes, which carry values between rows of memory and lanes of
// vectors: a vector's worth of rows at a time, four columns at once. Four vectors hold such a block
// by rows when row 4i+j lies in the i-th quarter (128 bits) of the j-th vector; a transpose within
// quarters then makes the j-th vector column j, its lanes in order.
//
// Rows are reached by a table of pointers, in which those beyond the last are the last one again:
// reading them is harmless, their lanes being masked, and so is writing them first.
type transposer struct {
	*emitter
	table    Mem // the row pointers of this vector
	colMask  reg.Register
	v, t, sc []reg.VecPhysical // the block; spare; factors
	part     reg.VecPhysical   // a quarter
}

// General registers.
var (
	laneLeft   = reg.RCX // rows after cur
	laneCols   = reg.RDX // columns still to do
	laneCur    = reg.RSI // the next row
	laneStride = reg.RDI // of rows
	laneTmp    = reg.R8
	laneTmp2   = reg.R9
	laneAt     = reg.R10 // offset of this column in its row
	laneVec    = reg.R11 // this vector at this column
	laneFirst  = reg.R12 // and at the first
	laneFactor = reg.R13 // FromLanes: this vector's Scale
	laneDst    = reg.R14 // from column to column
	laneThree  = reg.R15 // and three times that
)

func newTransposer(e *emitter) *transposer {
	t := &transposer{emitter: e, table: e.AllocLocal(8 * e.Lanes), v: e.Regs[:4], t: e.Regs[4:8], sc: e.Regs[8:12], part: e.Regs[12]}
	t.colMask = e.Regs[13].AsX()
	if e.wide() {
		t.colMask = reg.K3
	}
	return t
}

// lanes emits both kernels.
func lanes(e *emitter) {
	toLanes(e)
	fromLanes(e)
}

// toLanes emits ToLanes.
func toLanes(e *emitter) {
	e.function("ToLanes", layout.ToLanes, "ToLanes is kernels.Set.ToLanes; args points to a kernels.ToLanesArgs.")
	t := newTransposer(e)
	scale, lanes := e.Regs[8], []reg.Register{e.Regs[9], e.Regs[10]}
	if e.wide() {
		lanes = []reg.Register{reg.K1, reg.K2, reg.K4, reg.K5}
	}
	e.VBROADCASTSS(e.field("Scale"), scale)
	e.get("Rows", laneLeft)
	rowMasks := e.masks(laneLeft, laneTmp, laneTmp2, lanes...)
	e.get("Src", laneCur)
	e.stride("SrcStride", laneStride)
	e.get("Dst", laneFirst)
	e.stride("DstStride", laneDst)
	e.LEAQ(Mem{Base: laneDst, Index: laneDst, Scale: 2}, laneThree)
	for j, m := range rowMasks {
		if j > 0 {
			e.CMPQ(e.field("Lanes"), I8(j*e.Lanes))
			e.JLE(LabelRef("end"))
		}
		t.rowTable()
		t.columns(j, func(cols mask, store func(i int, f func())) {
			t.gather(t.v, cols)
			t.transpose(t.v, t.t)
			for i, v := range t.v {
				store(i, func() {
					if e.wide() {
						e.VMULPS_Z(scale, v, m.r, v)
					} else {
						e.VMULPS(scale, v, v)
						e.VANDPS(m.r, v, v)
					}
					e.VMOVUPS(v, t.column(i))
				})
			}
		})
	}
	e.Label("end")
	e.ret()
}

// fromLanes emits FromLanes.
func fromLanes(e *emitter) {
	e.function("FromLanes", layout.FromLanes, "FromLanes is kernels.Set.FromLanes; args points to a kernels.FromLanesArgs.")
	t := newTransposer(e)
	e.get("Rows", laneLeft)
	e.get("Dst", laneCur)
	e.stride("DstStride", laneStride)
	e.get("Src", laneFirst)
	e.get("Scale", laneFactor)
	e.stride("Lanes", laneDst)
	e.LEAQ(Mem{Base: laneDst, Index: laneDst, Scale: 2}, laneThree)
	for j := range e.Queries / e.Lanes {
		if j > 0 { // no row is left for this vector
			e.TESTQ(laneLeft, laneLeft)
			e.JLE(LabelRef("end"))
		}
		t.rowTable()
		// The block's rows have their factors side by side: those of rows 4i+j in the j-th vector.
		e.VMOVUPS(e.vector(laneFactor, j), t.part)
		for i, sc := range t.sc {
			e.VPERMILPS(U8(0x55*i), t.part, sc)
		}
		t.columns(j, func(cols mask, load func(i int, f func())) {
			for i, v := range t.v {
				if cols.r != nil {
					e.zero(v)
				}
				load(i, func() { e.VMOVUPS(t.column(i), v) })
			}
			t.transpose(t.v, t.t)
			add, store := e.unique("add"), e.unique("store")
			e.CMPB(e.field("Add"), U8(0))
			e.JNE(LabelRef(add))
			for i, v := range t.v {
				e.VMULPS(t.sc[i], v, v)
			}
			e.JMP(LabelRef(store))
			e.Label(add)
			t.gather(t.t, cols)
			for i, v := range t.v {
				e.VFMADD213PS(t.t[i], t.sc[i], v)
			}
			e.Label(store)
			t.scatter(t.v, cols)
		})
	}
	e.Label("end")
	e.ret()
}

// rowTable fills the table for the next vector.
func (t *transposer) rowTable() {
	for r := range t.Lanes {
		t.MOVQ(laneCur, t.table.Offset(8*r))
		t.LEAQ(Mem{Base: laneCur, Index: laneStride, Scale: 1}, laneTmp)
		t.DECQ(laneLeft)
		t.CMOVQGT(laneTmp, laneCur)
	}
}

// columns emits the walk over the columns, with the j-th vector of each at laneVec: block for four
// of them at a time, and then with a mask for the last one to three. What block does for column i
// of its four alone it hands to only, which skips it where there is no such column.
func (t *transposer) columns(j int, block func(cols mask, only func(i int, f func()))) {
	name := func(s string) string { return fmt.Sprintf("%s%d", s, j) }
	t.LEAQ(Mem{Base: laneFirst, Disp: j * t.Bytes()}, laneVec)
	t.XORQ(laneAt, laneAt)
	t.get("Cols", laneCols)
	t.SUBQ(U8(4), laneCols)
	t.JL(LabelRef(name("tail")))
	t.Label(name("block"))
	block(all, func(_ int, f func()) { f() })
	t.ADDQ(U8(16), laneAt)
	t.LEAQ(Mem{Base: laneVec, Index: laneDst, Scale: 4}, laneVec)
	t.SUBQ(U8(4), laneCols)
	t.JGE(LabelRef(name("block")))
	t.Label(name("tail"))
	t.ADDQ(U8(4), laneCols)
	t.JZ(LabelRef(name("done")))
	cols := t.masks(laneCols, laneTmp, laneTmp2, t.colMask)
	block(cols[0], func(i int, f func()) {
		skip := t.unique("skip")
		t.CMPQ(laneCols, U8(i))
		t.JLE(LabelRef(skip))
		f()
		t.Label(skip)
	})
	t.Label(name("done"))
}

// column is this vector at the i-th of four columns.
func (t *transposer) column(i int) Mem {
	m := Mem{Base: laneVec}
	switch {
	case i == 3:
		m.Index, m.Scale = laneThree, 1
	case i > 0:
		m.Index, m.Scale = laneDst, uint8(i)
	}
	return m
}

// row loads the pointer of row r and returns where its columns are.
func (t *transposer) row(r int) Mem {
	t.MOVQ(t.table.Offset(8*r), laneTmp)
	return Mem{Base: laneTmp, Index: laneAt, Scale: 1}
}

// gather fills four vectors by rows, columns that m does not select with zeros.
func (t *transposer) gather(v []reg.VecPhysical, m mask) {
	for r := range t.Lanes {
		i, v := r/4, v[r%4]
		row := t.row(r)
		var quarter Op = row
		switch {
		case i == 0:
			t.load(row, m, v.AsX())
			continue
		case m.r != nil:
			t.load(row, m, t.part.AsX())
			quarter = t.part.AsX()
		}
		if t.wide() {
			t.VINSERTF32X4(U8(i), quarter, v, v)
		} else {
			t.VINSERTF128(U8(i), quarter, v, v)
		}
	}
}

// scatter stores four vectors by rows, the last row first: the columns that m selects.
func (t *transposer) scatter(v []reg.VecPhysical, m mask) {
	for r := t.Lanes - 1; r >= 0; r-- {
		i, v := r/4, v[r%4]
		row := t.row(r)
		var quarter Op = row
		switch {
		case i == 0:
			t.store(v.AsX(), m, row)
			continue
		case m.r != nil:
			quarter = t.part.AsX()
		}
		if t.wide() {
			t.VEXTRACTF32X4(U8(i), v, quarter)
		} else {
			t.VEXTRACTF128(U8(i), v, quarter)
		}
		if m.r != nil {
			t.store(t.part.AsX(), m, row)
		}
	}
}

// transpose turns four vectors by rows into four by columns or back: within every quarter, where
// row a is a0 a1 a2 a3 and so on. s is clobbered.
func (t *transposer) transpose(v, s []reg.VecPhysical) {
	t.VUNPCKLPS(v[1], v[0], s[0]) // a0 b0 a1 b1
	t.VUNPCKHPS(v[1], v[0], s[1]) // a2 b2 a3 b3
	t.VUNPCKLPS(v[3], v[2], s[2]) // c0 d0 c1 d1
	t.VUNPCKHPS(v[3], v[2], s[3]) // c2 d2 c3 d3
	t.VUNPCKLPD(s[2], s[0], v[0]) // a0 b0 c0 d0
	t.VUNPCKHPD(s[2], s[0], v[1]) // a1 b1 c1 d1
	t.VUNPCKLPD(s[3], s[1], v[2]) // a2 b2 c2 d2
	t.VUNPCKHPD(s[3], s[1], v[3]) // a3 b3 c3 d3
}
