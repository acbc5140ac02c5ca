package x86

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A sweep walks over Rows × Cols values of several operands at once, a few vectors at a time, then
// one by one, then the masked rest of the row. All operands of a row are indexed by the same offset.
type sweep struct {
	*emitter
	tail mask // selects the Cols mod Lanes values at the end of a row
}

// General registers of a sweep. Kernels own RSI, RDI, R8, R9, R12 to R15 and RBX.
var (
	sweepRows = reg.RCX
	sweepCols = reg.RDX
	sweepAt   = reg.R10 // offset in the row, in bytes
	sweepLeft = reg.R11 // values from there on
)

// newSweep reads the sizes and makes the mask, in tail: a K register of AVX-512, a vector of AVX2.
func (e *emitter) newSweep(tail reg.Register) *sweep {
	e.get("Rows", sweepRows)
	e.get("Cols", sweepCols)
	e.MOVQ(sweepCols, sweepLeft)
	e.ANDQ(U8(e.Lanes-1), sweepLeft)
	return &sweep{e, e.masks(sweepLeft, sweepAt, reg.RBX, tail)[0]}
}

// tailMask is the register that kernels give to newSweep.
func (e *emitter) tailMask() reg.Register {
	if e.wide() {
		return reg.K1
	}
	return e.Regs[len(e.Regs)-1]
}

// rows emits the walk: body for n vectors at sweepAt of each row, together of them or
// one, and next to step the operands to the next row.
func (s *sweep) rows(together int, body func(n int, m mask), next func()) {
	row, some, ones, one := s.unique("row"), s.unique("some"), s.unique("ones"), s.unique("one")
	rest, end, done := s.unique("rest"), s.unique("end"), s.unique("done")
	s.TESTQ(sweepRows, sweepRows)
	s.JZ(LabelRef(done))
	s.Label(row)
	s.XORQ(sweepAt, sweepAt)
	s.MOVQ(sweepCols, sweepLeft)
	s.SUBQ(U8(together*s.Lanes), sweepLeft)
	s.JL(LabelRef(ones))
	s.align(32)
	s.Label(some)
	body(together, all)
	s.ADDQ(I32(together*s.Bytes()), sweepAt)
	s.SUBQ(U8(together*s.Lanes), sweepLeft)
	s.JGE(LabelRef(some))
	s.Label(ones)
	s.ADDQ(U8((together-1)*s.Lanes), sweepLeft)
	s.JL(LabelRef(rest))
	s.Label(one)
	body(1, all)
	s.ADDQ(U8(s.Bytes()), sweepAt)
	s.SUBQ(U8(s.Lanes), sweepLeft)
	s.JGE(LabelRef(one))
	s.Label(rest)
	s.ADDQ(U8(s.Lanes), sweepLeft)
	s.JZ(LabelRef(end))
	body(1, s.tail)
	s.Label(end)
	next()
	s.DECQ(sweepRows)
	s.JNZ(LabelRef(row))
	s.Label(done)
}

// at is the i-th vector of an operand at sweepAt.
func (s *sweep) at(operand reg.Register, i int) Mem {
	return Mem{Base: operand, Index: sweepAt, Scale: 1, Disp: i * s.Bytes()}
}
