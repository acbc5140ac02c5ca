package x86

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/lanewise/lanewise/gen/layout"
)

// A packer emits ToLanes: a vector's worth of rows at a time, four columns at once, and in the end one
// to three. Where there are rows for all lanes they are a stride apart. Otherwise each is reached by a
// table of pointers, in which those beyond the last are the last one again: reading them is harmless,
// their lanes being masked.
type packer struct {
	*emitter
	v, t        []reg.VecPhysical // the block; spare
	part, scale reg.VecPhysical
	some        mask // selects the columns beyond the last four
	filled      mask // selects the lanes that have rows
	table       Mem
	lanes       Mem // still to do
}

// General registers.
var (
	packLeft   = reg.RCX // rows from cur on
	packCols   = reg.RDX // columns still to do
	packCur    = reg.RSI // the next row
	packStride = reg.RDI // of rows
	packThree  = reg.RBX // and three times that
	packBases  = []reg.GPPhysical{reg.R8, reg.R9, reg.R10, reg.R13}
	packTmp    = reg.R8 // with the table
	packTmp2   = reg.R9
	packAt     = reg.R10
	packVec    = reg.R11 // this vector at this column
	packFirst  = reg.R12 // and at the first
	packDst    = reg.R14 // from column to column
	packDst3   = reg.R15 // and three times that
)

// toLanes emits ToLanes.
func toLanes(e *emitter) {
	e.function("ToLanes", layout.ToLanes, "ToLanes is kernels.Set.ToLanes; args points to a kernels.ToLanesArgs.")
	p := packer{
		emitter: e, v: e.Regs[:4], t: e.Regs[4:8], part: e.Regs[8], scale: e.Regs[9],
		table: e.AllocLocal(8 * e.Lanes), lanes: e.AllocLocal(8),
	}
	some, filled := reg.Register(e.Regs[10].AsX()), reg.Register(e.Regs[11])
	if e.wide() {
		some, filled = reg.K1, reg.K2
	}
	e.VBROADCASTSS(e.field("Scale"), p.scale)
	e.get("Cols", packCols)
	e.ANDQ(U8(3), packCols)
	p.some = e.masks(packCols, packTmp, packTmp2, some)[0]
	e.get("Lanes", packTmp)
	e.MOVQ(packTmp, p.lanes)
	e.get("Rows", packLeft)
	e.get("Src", packCur)
	e.stride("SrcStride", packStride)
	e.get("Dst", packFirst)
	e.stride("DstStride", packDst)
	e.LEAQ(Mem{Base: packDst, Index: packDst, Scale: 2}, packDst3)

	e.Label("vector")
	e.CMPQ(packLeft, U8(e.Lanes))
	e.JL(LabelRef("few"))
	e.LEAQ(Mem{Base: packStride, Index: packStride, Scale: 2}, packThree)
	e.MOVQ(packCur, packBases[0])
	for i := 1; i < e.Lanes/4; i++ {
		e.LEAQ(Mem{Base: packBases[i-1], Index: packStride, Scale: 4}, packBases[i])
	}
	e.LEAQ(Mem{Base: packBases[e.Lanes/4-1], Index: packStride, Scale: 4}, packVec)
	e.SUBQ(U8(e.Lanes), packLeft)
	e.CMOVQGT(packVec, packCur) // stays at a row that there is
	p.columns("all", all, func(row int) Mem { return stepped(packBases, packStride, packThree, row) }, func() {
		for _, b := range packBases[:e.Lanes/4] {
			e.ADDQ(U8(16), b)
		}
	})
	e.JMP(LabelRef("next"))

	e.Label("few")
	e.XORQ(packAt, packAt)
	e.TESTQ(packLeft, packLeft)
	e.CMOVQLT(packAt, packLeft)
	p.filled = e.masks(packLeft, packTmp, packTmp2, filled)[0]
	for r := range e.Lanes {
		e.MOVQ(packCur, p.table.Offset(8*r))
		e.LEAQ(Mem{Base: packCur, Index: packStride, Scale: 1}, packTmp)
		e.DECQ(packLeft)
		e.CMOVQGT(packTmp, packCur)
	}
	p.columns("few", p.filled, func(row int) Mem {
		e.MOVQ(p.table.Offset(8*row), packTmp)
		return Mem{Base: packTmp, Index: packAt, Scale: 1}
	}, func() { e.ADDQ(U8(16), packAt) })

	e.Label("next")
	e.ADDQ(U8(e.Bytes()), packFirst)
	e.SUBQ(U8(e.Lanes), p.lanes)
	e.JG(LabelRef("vector"))
	e.ret()
}

// columns emits the walk over the columns, by fours and then the rest: filled selects the lanes that
// have rows, which at reaches at the current column, and advance takes it to the next four.
func (p *packer) columns(name string, filled mask, at func(row int) Mem, advance func()) {
	block := func(m mask, column func(i int, store func())) {
		p.quarters(p.v, m, p.part, at)
		p.transpose(p.v, p.t)
		for i, v := range p.v {
			column(i, func() {
				switch {
				case filled.r == nil:
					p.VMULPS(p.scale, v, v)
				case p.wide():
					p.VMULPS_Z(p.scale, v, filled.r, v)
				default:
					p.VMULPS(p.scale, v, v)
					p.VANDPS(filled.r, v, v)
				}
				p.VMOVUPS(v, stepped([]reg.GPPhysical{packVec}, packDst, packDst3, i))
			})
		}
	}
	p.MOVQ(packFirst, packVec)
	p.get("Cols", packCols)
	p.SUBQ(U8(4), packCols)
	p.JL(LabelRef(name + "Rest"))
	p.align(32)
	p.Label(name + "Block")
	block(all, func(_ int, store func()) { store() })
	advance()
	p.LEAQ(Mem{Base: packVec, Index: packDst, Scale: 4}, packVec)
	p.SUBQ(U8(4), packCols)
	p.JGE(LabelRef(name + "Block"))
	p.Label(name + "Rest")
	p.ADDQ(U8(4), packCols)
	p.JZ(LabelRef(name + "Done"))
	block(p.some, func(i int, store func()) {
		skip := p.unique("skip")
		p.CMPQ(packCols, U8(i))
		p.JLE(LabelRef(skip))
		store()
		p.Label(skip)
	})
	p.Label(name + "Done")
}
