package x86

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/lanewise/lanewise/gen/layout"
)

// weigh emits Weigh: rows are those of O, the panel is P.
func weigh(e *emitter) {
	e.function("Weigh", layout.Weigh, "Weigh is kernels.Set.Weigh; args points to a kernels.WeighArgs.")
	var (
		rows, n         = reg.RCX, reg.RDX
		o, v            = reg.RDI, reg.RSI // at the group's first row
		stride, alpha   = reg.R8, reg.R9
		keys, probs     = reg.R10, reg.R11
		value, panel, k = reg.RAX, reg.RBX, reg.R12 // while the keys pass
		together        = 2                         // keys
	)
	first := func(r int) Mem { return Mem{Base: value, Disp: 4 * r} }
	second := func(r int) Mem { return Mem{Base: value, Index: stride, Scale: 1, Disp: 4 * r} }
	e.products("Rows", func(p products) {
		e.get("Rows", rows)
		e.get("O", o)
		e.get("V", v)
		e.stride("VStride", stride)
		e.get("Alpha", alpha)
		e.get("Keys", keys)
		e.get("P", probs)
		p.groups(rows, n, [4]reg.GPPhysical{value, panel, k, reg.R13}, func(rows int, label func(string) string) {
			// o = Alpha·O
			e.TESTQ(alpha, alpha)
			e.JZ(LabelRef(label("afresh")))
			for j := range p.vectors {
				e.VMOVUPS(e.vector(alpha, j), p.b[j])
			}
			p.each(rows, func(r, j int) { e.VMULPS(e.vector(o, r*p.vectors+j), p.b[j], p.accumulator(r, j)) })
			e.JMP(LabelRef(label("begun")))
			e.Label(label("afresh"))
			p.each(rows, func(r, j int) { e.zero(p.accumulator(r, j)) })
			e.Label(label("begun"))
			// o += V[k]·P[k]
			e.MOVQ(v, value)
			e.MOVQ(probs, panel)
			e.MOVQ(keys, k)
			e.SUBQ(U8(together), k)
			e.JL(LabelRef(label("rest")))
			e.align(32)
			e.Label(label("keys"))
			p.step(rows, panel, 0, first)
			p.step(rows, panel, 1, second)
			e.LEAQ(Mem{Base: value, Index: stride, Scale: 2}, value)
			e.ADDQ(I32(together*p.row()), panel)
			e.SUBQ(U8(together), k)
			e.JGE(LabelRef(label("keys")))
			e.Label(label("rest"))
			e.ADDQ(U8(together), k)
			e.JZ(LabelRef(label("store")))
			p.step(rows, panel, 0, first)
			e.Label(label("store"))
			p.each(rows, func(r, j int) { e.VMOVUPS(p.accumulator(r, j), e.vector(o, r*p.vectors+j)) })
			e.ADDQ(I32(4*rows), v)
			e.ADDQ(I32(rows*p.row()), o)
		})
	})
}
