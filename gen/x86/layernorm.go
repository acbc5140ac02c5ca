package x86

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/lanewise/lanewise/gen/layout"
)

// layerNorm emits LayerNorm: three passes over each row, which stays in the first-level cache.
//
// Register plan: sixteen lanes of a sum (one vector or two), as many of values, the masks of a
// row's last sixteen values, and the mean and the reciprocal of the spread in all lanes.
func layerNorm(e *emitter) {
	e.function("LayerNorm", layout.LayerNorm, "LayerNorm is kernels.Set.LayerNorm; args points to a kernels.LayerNormArgs.")
	const lanes = 16
	vectors := lanes / e.Lanes
	set := func(i int) []reg.VecPhysical { return e.Regs[i*vectors:][:vectors] }
	sum, v, scales, shifts := set(0), set(1), set(2), set(3)
	mean, rstd, n := e.Regs[8], e.Regs[9], e.Regs[10].AsX()
	maskRegs := []reg.Register{e.Regs[12], e.Regs[13]}
	if e.wide() {
		maskRegs = []reg.Register{reg.K1}
	}
	rows, cols, at, left := sweepRows, sweepCols, sweepAt, sweepLeft
	src, dst, scale, shift, srcStride, dstStride := reg.RSI, reg.RDI, reg.R8, reg.R9, reg.R12, reg.R13

	e.get("Rows", rows)
	e.get("Cols", cols)
	e.MOVQ(cols, left)
	e.ANDQ(U8(lanes-1), left)
	tails := e.masks(left, at, reg.RBX, maskRegs...)
	e.get("Src", src)
	e.get("Dst", dst)
	e.get("Scale", scale)
	e.get("Shift", shift)
	e.stride("SrcStride", srcStride)
	e.stride("DstStride", dstStride)
	e.VXORPS(n, n, n)
	e.VCVTSI2SSQ(cols, n, n)

	operand := func(base reg.Register, j int) Mem {
		return Mem{Base: base, Index: at, Scale: 1, Disp: j * e.Bytes()}
	}
	// row emits body for sixteen values at a time, the last of them masked.
	row := func(name string, body func(m []mask)) {
		rest, done := name+"Rest", name+"Done"
		e.XORQ(at, at)
		e.MOVQ(cols, left)
		e.SUBQ(U8(lanes), left)
		e.JL(LabelRef(rest))
		e.align(32)
		e.Label(name)
		body([]mask{all, all}[:vectors])
		e.ADDQ(U8(4*lanes), at)
		e.SUBQ(U8(lanes), left)
		e.JGE(LabelRef(name))
		e.Label(rest)
		e.ADDQ(U8(lanes), left)
		e.JZ(LabelRef(done))
		body(tails)
		e.Label(done)
	}
	// total adds the lanes of sum by halves, into the first, and divides by n.
	total := func() {
		x, y := sum[0].AsX(), v[0].AsX()
		if e.wide() {
			e.VEXTRACTF64X4(U8(1), sum[0], v[0].AsY())
			e.VADDPS(v[0].AsY(), sum[0].AsY(), sum[0].AsY())
		} else {
			e.VADDPS(sum[1], sum[0], sum[0])
		}
		e.VEXTRACTF128(U8(1), sum[0].AsY(), y)
		e.VADDPS(y, x, x)
		e.VPERMILPD(U8(1), x, y)
		e.VADDPS(y, x, x)
		e.VMOVSHDUP(x, y)
		e.VADDSS(y, x, x)
		e.VDIVSS(n, x, x)
	}
	clearSum := func() {
		for _, s := range sum {
			e.zero(s)
		}
	}

	e.TESTQ(rows, rows)
	e.JZ(LabelRef("end"))
	e.Label("row")
	// mean = Σ x / n
	clearSum()
	row("sum", func(m []mask) {
		for j := range sum {
			e.load(operand(src, j), m[j], v[j])
			e.VADDPS(v[j], sum[j], sum[j])
		}
	})
	total()
	e.VBROADCASTSS(sum[0].AsX(), mean)
	// rstd = 1 / √(Σ (x − mean)² / n + Eps)
	clearSum()
	row("square", func(m []mask) {
		for j := range sum {
			e.load(operand(src, j), m[j], v[j])
			switch {
			case m[j] == all:
				e.VSUBPS(mean, v[j], v[j])
			case e.wide():
				e.VSUBPS_Z(mean, v[j], m[j].r, v[j])
			default:
				e.VSUBPS(mean, v[j], v[j])
				e.VANDPS(m[j].r, v[j], v[j])
			}
			e.VFMADD231PS(v[j], v[j], sum[j])
		}
	})
	total()
	x, y := sum[0].AsX(), v[0].AsX()
	e.VADDSS(e.field("Eps"), x, x)
	e.VSQRTSS(x, x, x)
	e.VMOVSS(e.constant(1), y)
	e.VDIVSS(x, y, x)
	e.VBROADCASTSS(x, rstd)
	// Dst = (x − mean)·rstd·Scale + Shift
	row("apply", func(m []mask) {
		for j := range v {
			e.load(operand(src, j), m[j], v[j])
			e.load(operand(scale, j), m[j], scales[j])
			e.load(operand(shift, j), m[j], shifts[j])
			e.VSUBPS(mean, v[j], v[j])
			e.VMULPS(rstd, v[j], v[j])
			e.VFMADD213PS(shifts[j], scales[j], v[j])
			e.store(v[j], m[j], operand(dst, j))
		}
	})
	e.ADDQ(srcStride, src)
	e.ADDQ(dstStride, dst)
	e.DECQ(rows)
	e.JNZ(LabelRef("row"))
	e.Label("end")
	e.ret()
}
