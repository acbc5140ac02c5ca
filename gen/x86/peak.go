package x86

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/lanewise/lanewise/gen/layout"
)

// peaks emits what this core can do: Peak and Triad.
func peaks(e *emitter) {
	peak(e)
	triad(e)
}

// peak emits Peak: chains of multiply-adds in registers, as many as there are accumulators in a
// GEMM tile. All values are zero, so nothing ever overflows or turns denormal.
func peak(e *emitter) {
	e.function("Peak", layout.Peak, "Peak is kernels.Set.Peak; args points to a kernels.PeakArgs.")
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
	e.JZ(LabelRef("peaked"))
	e.align(32)
	e.Label("fma")
	for i := range chains {
		e.VFMADD231PS(a, b, e.Regs[i])
	}
	e.DECQ(count)
	e.JNZ(LabelRef("fma"))
	e.Label("peaked")
	e.ret()
}

// triad emits Triad: four vectors at a time, stored through the caches as every kernel's are.
func triad(e *emitter) {
	e.function("Triad", layout.Triad, "Triad is kernels.Set.Triad; args points to a kernels.TriadArgs.")
	dst, b, c, count := reg.RDI, reg.RSI, reg.RDX, reg.RCX
	const together = 4
	e.get("Dst", dst)
	e.get("B", b)
	e.get("C", c)
	e.MOVQ(e.length("Dst"), count)
	s, v := e.Regs[together], e.Regs[:together]
	e.VBROADCASTSS(e.field("S"), s)
	e.TESTQ(count, count)
	e.JZ(LabelRef("done"))
	e.align(32)
	e.Label("loop")
	for i, v := range v {
		e.VMOVUPS(e.vector(c, i), v)
	}
	for i, v := range v {
		e.VFMADD213PS(e.vector(b, i), s, v)
	}
	for i, v := range v {
		e.VMOVUPS(v, e.vector(dst, i))
	}
	for _, p := range []reg.Register{dst, b, c} {
		e.ADDQ(I32(together*e.Bytes()), p)
	}
	e.SUBQ(U8(together*e.Lanes), count)
	e.JG(LabelRef("loop"))
	e.Label("done")
	e.ret()
}
