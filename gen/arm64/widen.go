package arm64

import "github.com/lanewise/lanewise/gen/layout"

// widen emits Widen: a loop for each type, sixteen values at a time, and then one at a time.
func widen(e *emitter) {
	src, dst, n, value := R(0), R(1), R(2), R(3)
	e.function("Widen", 0, layout.Widen, R(19), "Widen is kernels.GEMM.Widen; args points to a kernels.WidenArgs.")
	e.get("Src", src)
	e.MOVD(e.length("Src"), n)
	e.get("Dst", dst)
	const together = 16
	loop := func(name string, low, high func(n, d V)) {
		e.SUBS(together, n)
		e.BLT(name + "Rest")
		e.align(32)
		e.label(name)
		e.FLDPQ(at(src, 0), 0, 1)
		for i := range V(2) {
			low(i, 2+2*i)
			high(i, 3+2*i)
		}
		e.FSTPQ(2, 3, at(dst, 0))
		e.FSTPQ(4, 5, at(dst, 2*bytesV))
		e.ADD(2*together, src)
		e.ADD(4*together, dst)
		e.SUBS(together, n)
		e.BGE(name)
		e.label(name + "Rest")
		e.ADD(together, n)
		e.CBZ(n, "end")
		e.label(name + "One")
		e.MOVHU(at(src, 0), value)
		e.FMOVS(value, V(0))
		low(0, 0)
		e.FMOVS(V(0), at(dst, 0))
		e.ADD(2, src)
		e.ADD(4, dst)
		e.SUBS(1, n)
		e.BNE(name + "One")
		e.RET()
	}
	e.MOVBU(e.field("Type"), value)
	e.CBNZ(value, "float16")
	// A bfloat16 is the upper half of a float32.
	loop("bfloat16", e.SHLL, e.SHLL2)
	e.label("float16")
	loop("half", e.FCVTL, e.FCVTL2)
	e.label("end")
	e.RET()
}
