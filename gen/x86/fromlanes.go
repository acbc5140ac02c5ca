package x86

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/lanewise/lanewise/gen/layout"
)

// An unpacker emits FromLanes: four queries at a time, whose rows it fills from left to right by blocks
// of 16 columns (AVX-512), of 8, and then column by column. Where there are fewer than four queries the
// others' row is the last one's, which is written last.
type unpacker struct {
	*emitter
	v, t, scale []reg.VecPhysical // the block; spare; a factor for each row
	factors     reg.VecPhysical   // the four factors
}

// General registers.
var (
	unpackLeft   = reg.RCX // queries from the group on
	unpackCols   = reg.RDX // columns still to do
	unpackSrc    = reg.RSI // the group in the first column
	unpackRows   = []reg.GPPhysical{reg.RDI, reg.R8, reg.R9, reg.RBX}
	unpackBases  = []reg.GPPhysical{reg.R10, reg.R11, reg.R12, reg.R13} // at every fourth column
	unpackStride = reg.R14                                              // from column to column
	unpackThree  = reg.R15                                              // and three times that
)

// fromLanes emits FromLanes.
func fromLanes(e *emitter) {
	e.function("FromLanes", layout.FromLanes, "FromLanes is kernels.Set.FromLanes; args points to a kernels.FromLanesArgs.")
	u := unpacker{emitter: e, v: e.Regs[:4], t: e.Regs[4:8], scale: e.Regs[8:12], factors: e.Regs[12]}
	dst, factor := e.AllocLocal(8), e.AllocLocal(8) // of the next group
	e.get("Dst", unpackRows[0])
	e.MOVQ(unpackRows[0], dst)
	e.get("Scale", unpackRows[0])
	e.MOVQ(unpackRows[0], factor)
	e.get("Rows", unpackLeft)
	e.get("Src", unpackSrc)
	e.stride("Lanes", unpackStride)
	e.LEAQ(Mem{Base: unpackStride, Index: unpackStride, Scale: 2}, unpackThree)

	e.Label("group")
	tmp, stride := unpackCols, unpackBases[0]
	e.MOVQ(factor, tmp)
	e.VMOVUPS(Mem{Base: tmp}, u.factors.AsX())
	for i, s := range u.scale {
		e.VBROADCASTSS(Mem{Base: tmp, Disp: 4 * i}, s)
	}
	e.ADDQ(U8(16), factor)
	e.stride("DstStride", stride)
	e.MOVQ(dst, unpackRows[0])
	for i := 1; i < 4; i++ {
		e.LEAQ(Mem{Base: unpackRows[i-1], Index: stride, Scale: 1}, tmp)
		e.MOVQ(unpackRows[i-1], unpackRows[i])
		e.CMPQ(unpackLeft, U8(i))
		e.CMOVQGT(tmp, unpackRows[i])
	}
	e.LEAQ(Mem{Base: unpackRows[3], Index: stride, Scale: 1}, tmp)
	e.MOVQ(tmp, dst)
	e.MOVQ(unpackSrc, unpackBases[0])
	e.get("Cols", unpackCols)
	if e.wide() {
		u.blocks(16)
	}
	u.blocks(8)
	u.columns()
	e.ADDQ(U8(16), unpackSrc)
	e.SUBQ(U8(4), unpackLeft)
	e.JG(LabelRef("group"))
	e.ret()
}

// blocks emits the walk over blocks of n columns while there are as many.
func (u *unpacker) blocks(n int) {
	name := func(s string) string { return fmt.Sprintf("%s%d", s, n) }
	cut := func(v []reg.VecPhysical) (c []reg.VecPhysical) {
		for _, r := range v {
			if n == 8 {
				r = r.AsY().(reg.VecPhysical)
			}
			c = append(c, r)
		}
		return c
	}
	v, t, scale := cut(u.v), cut(u.t), cut(u.scale)
	bases := unpackBases[:n/4]
	u.SUBQ(U8(n), unpackCols)
	u.JL(LabelRef(name("rest")))
	u.align(32)
	u.Label(name("block"))
	for i := 1; i < len(bases); i++ {
		u.LEAQ(Mem{Base: bases[i-1], Index: unpackStride, Scale: 4}, bases[i])
	}
	u.quarters(v, all, nil, func(column int) Mem { return stepped(bases, unpackStride, unpackThree, column) })
	u.LEAQ(Mem{Base: bases[len(bases)-1], Index: unpackStride, Scale: 4}, bases[0])
	u.transpose(v, t)
	for i := range v {
		u.VMULPS(scale[i], v[i], v[i])
	}
	for i := len(v) - 1; i >= 0; i-- {
		u.VMOVUPS(v[i], Mem{Base: unpackRows[i]})
	}
	for _, row := range unpackRows {
		u.ADDQ(U8(4*n), row)
	}
	u.SUBQ(U8(n), unpackCols)
	u.JGE(LabelRef(name("block")))
	u.Label(name("rest"))
	u.ADDQ(U8(n), unpackCols)
}

// columns emits the walk over the columns that are left.
func (u *unpacker) columns() {
	v, scale := u.v[0].AsX(), u.factors.AsX()
	u.TESTQ(unpackCols, unpackCols)
	u.JZ(LabelRef("done"))
	u.Label("column")
	u.VMOVUPS(Mem{Base: unpackBases[0]}, v)
	u.VMULPS(scale, v, v)
	for i := 3; i > 0; i-- {
		u.VEXTRACTPS(U8(i), v, Mem{Base: unpackRows[i]})
	}
	u.VMOVSS(v, Mem{Base: unpackRows[0]})
	for _, row := range unpackRows {
		u.ADDQ(U8(4), row)
	}
	u.ADDQ(unpackStride, unpackBases[0])
	u.DECQ(unpackCols)
	u.JNZ(LabelRef("column"))
	u.Label("done")
}
