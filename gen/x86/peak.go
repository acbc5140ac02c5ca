package x86

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

var peakArgs = mirror("PeakArgs", `Iterations FLOP int`)

// peak emits Peak: chains of multiply-adds in registers, as many as there are accumulators in a
// GEMM tile. All values are zero, so nothing ever overflows or turns denormal.
func peak(e *emitter) {
	e.function("Peak", peakArgs, "Peak is kernels.Set.Peak; args points to a kernels.PeakArgs.")
	chains := e.MR * e.NR / e.Lanes
	count := reg.RCX
	e.get("Iterations", count)
	e.IMUL3Q(I32(2*chains*e.Lanes), count, reg.RDX)
	e.MOVQ(reg.RDX, e.field("FLOP"))
	for _, v := range e.Regs {
		e.zero(v)
	}
	a, b := e.Regs[chains], e.Regs[chains+1]
	e.TESTQ(count, count)
	e.JZ(LabelRef("done"))
	e.align(32)
	e.Label("loop")
	for i := range chains {
		e.VFMADD231PS(a, b, e.Regs[i])
	}
	e.DECQ(count)
	e.JNZ(LabelRef("loop"))
	e.Label("done")
	e.ret()
}
