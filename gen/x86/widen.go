package x86

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/lanewise/lanewise/gen/layout"
)

// widen emits Widen: a loop for each type, four vectors at a time, and then one value at a time.
func widen(e *emitter) {
	e.function("Widen", layout.Widen, "Widen is kernels.GEMM.Widen; args points to a kernels.WidenArgs.")
	src, dst, n := reg.RSI, reg.RDI, reg.RCX
	const together = 4
	e.get("Src", src)
	e.MOVQ(e.length("Src"), n)
	e.get("Dst", dst)
	loop := func(name string, vector func(src Mem, v reg.VecPhysical), one func()) {
		e.SUBQ(U8(together*e.Lanes), n)
		e.JL(LabelRef(name + "Rest"))
		e.align(32)
		e.Label(name)
		for i := range together {
			vector(Mem{Base: src, Disp: i * e.Bytes() / 2}, e.Regs[i])
		}
		for i := range together {
			e.VMOVUPS(e.Regs[i], e.vector(dst, i))
		}
		e.ADDQ(U8(together*e.Bytes()/2), src)
		e.ADDQ(I32(together*e.Bytes()), dst)
		e.SUBQ(U8(together*e.Lanes), n)
		e.JGE(LabelRef(name))
		e.Label(name + "Rest")
		e.ADDQ(U8(together*e.Lanes), n)
		e.JZ(LabelRef("end"))
		e.Label(name + "One")
		e.MOVWLZX(Mem{Base: src}, reg.EDX)
		one()
		e.ADDQ(U8(2), src)
		e.ADDQ(U8(4), dst)
		e.DECQ(n)
		e.JNZ(LabelRef(name + "One"))
		e.JMP(LabelRef("end"))
	}
	e.CMPB(e.field("Type"), U8(0))
	e.JNE(LabelRef("halves"))
	// A bfloat16 is the upper half of a float32.
	loop("brains", func(src Mem, v reg.VecPhysical) {
		e.VPMOVZXWD(src, v)
		e.VPSLLD(U8(16), v, v)
	}, func() {
		e.SHLL(U8(16), reg.EDX)
		e.MOVL(reg.EDX, Mem{Base: dst})
	})
	e.Label("halves")
	loop("float16", func(src Mem, v reg.VecPhysical) {
		e.VCVTPH2PS(src, v)
	}, func() {
		e.VMOVD(reg.EDX, reg.X0)
		e.VCVTPH2PS(reg.X0, reg.X0)
		e.VMOVSS(reg.X0, Mem{Base: dst})
	})
	e.Label("end")
	e.ret()
}
