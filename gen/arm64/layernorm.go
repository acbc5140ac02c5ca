package arm64

import (
	"github.com/lanewise/lanewise/gen/layout"
)

// layerNorm emits LayerNorm: three passes over each row, which stays in the first-level cache, two of them where
// the mean is 0.
//
// Register plan: sixteen lanes of a sum, V0 to V3, and as many of values, scales and shifts; V16 and
// V17 hold the mean and the reciprocal of the spread in all lanes, V18 the number of columns, V19
// Eps, V20 the mask of a row's last vector where that is not whole, V21 Plus; V22 to V25 sixteen lanes of
// a second sum, then values before their scale and shift; V26 the offset, −δ·rstd, V27 zeros, V28 1/Cols.
func layerNorm(e *emitter) {
	const lanes = 16
	rowsLeft, cols, here, left := sweepRows, sweepCols, sweepAt, sweepLeft
	src, dst, scale, shift, srcStride, dstStride := R(6), R(7), R(8), R(9), R(10), R(11)
	sum, x, scales, shifts := registers(0, 4), registers(4, 4), registers(8, 4), registers(12, 4)
	mean, rstd, n, eps, mask, plus := V(16), V(17), V(18), V(19), V(20), V(21)
	rest, offset, zero, inverse := registers(22, 4), V(26), V(27), V(28)

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
	e.FMOVQ(e.constant(tables, 1), inverse)
	e.FDIV(n, inverse, inverse)
	e.AND(vector-1, cols, left)
	e.mask(left, tables, mask)
	e.zero(zero)

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
	// total adds the lanes of sum by halves, and sets all lanes of the first to their sum.
	total := func(sum vectors) {
		e.FADD(sum[2], sum[0], sum[0])
		e.FADD(sum[3], sum[1], sum[1])
		e.FADD(sum[1], sum[0], sum[0])
		e.VEXT(8, sum[0], sum[0], sum[1])
		e.FADD(sum[1], sum[0], sum[0])
		e.VDUP(sum[0], 1, sum[1])
		e.FADD(sum[1], sum[0], sum[0])
		e.VDUP(sum[0], 0, sum[0])
	}
	// rows emits the walk over the rows and a return, with a mean or about 0.
	rows := func(kind string, centred bool) {
		e.label(kind)
		if centred {
			// mean = Σ x / Cols
			each(e.VEOR, sum, sum, sum)
			row(kind+"Sum", func(which []int, _ bool) {
				x, sum := of(x, which), of(sum, which)
				s.load(src, x)
				each(e.FADD, x, sum, sum)
			})
			total(sum)
			e.FMUL(inverse, sum[0], mean)
			each(e.VEOR, rest, rest, rest)
		}
		// δ = Σ (x − mean) / Cols, variance = Σ (x − mean)² / Cols − δ²
		each(e.VEOR, sum, sum, sum)
		row(kind+"Square", func(which []int, masked bool) {
			x, sum, rest := of(x, which), of(sum, which), of(rest, which)
			s.load(src, x)
			if centred {
				each(e.FSUB, all(mean, len(x)), x, x)
			}
			if centred && masked {
				whole := e.unique("unmasked")
				e.CMP(vector, left)
				e.BGE(whole)
				e.VAND(mask, x[0], x[0])
				e.label(whole)
			}
			each(e.FMLA, x, x, sum)
			if centred {
				each(e.FADD, x, rest, rest)
			}
		})
		variance, delta := sum[0], rest[0]
		total(sum)
		if centred {
			total(rest)
			e.FMUL(inverse, delta, delta)
			e.FMUL(inverse, variance, variance)
			e.FMLS(delta, delta, variance)
			e.FMAX(zero, variance, variance)
		} else {
			e.FDIV(n, variance, variance)
		}
		// rstd = 1 / √(variance + Eps), offset = −δ·rstd
		e.FADD(eps, variance, variance)
		e.FSQRT(variance, variance)
		e.FMOVQ(e.constant(tables, 1), rstd)
		e.FDIV(variance, rstd, rstd)
		if centred {
			e.FMUL(rstd, delta, offset)
			e.FNEG(offset, offset)
		}
		// Dst = ((x − mean)·rstd + offset)·(Plus + Scale) + Shift
		row(kind+"Apply", func(which []int, _ bool) {
			x, scales, shifts, normed := of(x, which), of(scales, which), of(shifts, which), of(rest, which)
			s.load(src, x)
			s.load(scale, scales)
			s.load(shift, shifts)
			each(e.FADD, all(plus, len(x)), scales, scales)
			if centred {
				each(e.FSUB, all(mean, len(x)), x, x)
				each2(e.VMOV, all(offset, len(x)), normed)
				each(e.FMLA, all(rstd, len(x)), x, normed)
			} else {
				each(e.FMUL, all(rstd, len(x)), x, normed)
			}
			each(e.FMLA, normed, scales, shifts)
			s.store(shifts, dst)
		})
		e.ADD(srcStride, src)
		e.ADD(dstStride, dst)
		e.SUBS(1, rowsLeft)
		e.BNE(kind)
		e.RET()
	}

	e.CBZ(rowsLeft, "end")
	e.MOVBU(e.field("RMS"), left)
	e.CBNZ(left, "rms")
	rows("mean", true)
	rows("rms", false)
	e.label("end")
	e.RET()
}
