package arm64

import (
	"github.com/lanewise/lanewise/gen/layout"
)

// layerNorm emits LayerNorm: three passes over each row, which stays in the first-level cache.
//
// Register plan: sixteen lanes of a sum, V0 to V3, and as many of values, scales and shifts; V16 and
// V17 hold the mean and the reciprocal of the spread in all lanes, V18 the number of columns, V19
// Eps, V20 the mask of a row's last vector where that is not whole, V21 Plus.
func layerNorm(e *emitter) {
	const lanes = 16
	rows, cols, here, left := sweepRows, sweepCols, sweepAt, sweepLeft
	src, dst, scale, shift, srcStride, dstStride := R(6), R(7), R(8), R(9), R(10), R(11)
	sum, x, scales, shifts := registers(0, 4), registers(4, 4), registers(8, 4), registers(12, 4)
	mean, rstd, n, eps, mask, plus := V(16), V(17), V(18), V(19), V(20), V(21)

	e.function("LayerNorm", 0, layout.LayerNorm, R(19), "LayerNorm is kernels.Set.LayerNorm; args points to a kernels.LayerNormArgs.")
	e.constants(tables)
	e.get("Src", src)
	e.get("Dst", dst)
	e.get("Scale", scale)
	e.get("Shift", shift)
	e.stride("SrcStride", srcStride)
	e.stride("DstStride", dstStride)
	e.FMOVS(e.field("Eps"), eps)
	e.VDUP(eps, 0, eps)
	e.FMOVS(e.field("Plus"), plus)
	e.VDUP(plus, 0, plus)
	s := e.newSweep()
	e.SCVTFS(cols, n)
	e.VDUP(n, 0, n)
	e.AND(vector-1, cols, left)
	e.mask(left, tables, mask)

	// row emits body for sixteen values of the current row at a time, and then for four of them,
	// the last of which may not be whole: then masked is the mask of those that are there.
	row := func(name string, body func(v []int, masked bool)) {
		rest, done := name+"Rest", name+"Done"
		e.MOVD(0, here)
		e.SUBS(lanes, cols, left)
		e.BLT(rest)
		e.align(32)
		e.label(name)
		s.n = lanes / vector
		body([]int{0, 1, 2, 3}, false)
		e.ADD(4*lanes, here)
		e.SUBS(lanes, left)
		e.BGE(name)
		e.label(rest)
		e.ADD(lanes, left)
		s.n = 1
		for j := range lanes / vector {
			e.CBZ(left, done)
			body([]int{j}, true)
			e.ADD(bytesV, here)
			e.SUBS(vector, left)
			e.BLE(done)
		}
		e.label(done)
	}
	// of picks those registers that a body works on.
	of := func(v vectors, which []int) vectors { return v[which[0]:][:len(which)] }
	// total adds the lanes of sum by halves, and sets all lanes of the first to their sum by n.
	total := func() {
		e.FADD(sum[2], sum[0], sum[0])
		e.FADD(sum[3], sum[1], sum[1])
		e.FADD(sum[1], sum[0], sum[0])
		e.VEXT(8, sum[0], sum[0], x[0])
		e.FADD(x[0], sum[0], sum[0])
		e.VDUP(sum[0], 1, x[0])
		e.FADD(x[0], sum[0], sum[0])
		e.VDUP(sum[0], 0, sum[0])
		e.FDIV(n, sum[0], sum[0])
	}

	e.CBZ(rows, "end")
	e.label("row")
	// mean = Σ x / n, or 0
	e.zero(mean)
	e.MOVBU(e.field("RMS"), left)
	e.CBNZ(left, "centred")
	each(e.VEOR, sum, sum, sum)
	row("sum", func(which []int, _ bool) {
		x, sum := of(x, which), of(sum, which)
		s.load(src, x)
		each(e.FADD, x, sum, sum)
	})
	total()
	e.VMOV(sum[0], mean)
	e.label("centred")
	// rstd = 1 / √(Σ (x − mean)² / n + Eps)
	each(e.VEOR, sum, sum, sum)
	row("square", func(which []int, masked bool) {
		x, sum := of(x, which), of(sum, which)
		s.load(src, x)
		each(e.FSUB, all(mean, len(x)), x, x)
		if masked {
			whole := e.unique("unmasked")
			e.CMP(vector, left)
			e.BGE(whole)
			e.VAND(mask, x[0], x[0])
			e.label(whole)
		}
		each(e.FMLA, x, x, sum)
	})
	total()
	e.FADD(eps, sum[0], sum[0])
	e.FSQRT(sum[0], sum[0])
	e.FMOVQ(e.constant(tables, 1), rstd)
	e.FDIV(sum[0], rstd, rstd)
	// Dst = (x − mean)·rstd·(Plus + Scale) + Shift
	row("apply", func(which []int, _ bool) {
		x, scales, shifts := of(x, which), of(scales, which), of(shifts, which)
		s.load(src, x)
		s.load(scale, scales)
		s.load(shift, shifts)
		each(e.FADD, all(plus, len(x)), scales, scales)
		each(e.FSUB, all(mean, len(x)), x, x)
		each(e.FMUL, all(rstd, len(x)), x, x)
		each(e.FMLA, x, scales, shifts)
		s.store(shifts, dst)
	})
	e.ADD(srcStride, src)
	e.ADD(dstStride, dst)
	e.SUBS(1, rows)
	e.BNE("row")
	e.label("end")
	e.RET()
}
