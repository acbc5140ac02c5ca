package x86

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/lanewise/lanewise/gen/layout"
)

// groupNorm emits the kernels of group norms.
func groupNorm(e *emitter) {
	moments(e)
	affine(e)
}

// moments emits Moments: strips of columns, each from the first row to the last.
//
// Register plan: for each vector of a strip the reference and the two sums; the rest hold values, and
// the last one AVX2's mask.
func moments(e *emitter) {
	e.function("Moments", layout.Moments, "Moments is kernels.Set.Moments; args points to a kernels.MomentsArgs.")
	strip := len(e.Regs) / 4
	set := func(i int) []reg.VecPhysical { return e.Regs[i*strip:][:strip] }
	ref, sum, square := set(0), set(1), set(2)
	values := e.Regs[3*strip : len(e.Regs)-1]
	rows, left, src, stride, row, count := reg.RCX, reg.RDX, reg.RSI, reg.R12, reg.R10, reg.R11
	refs, sums, squares := reg.R8, reg.R9, reg.RDI
	e.get("Rows", rows)
	e.get("Cols", left)
	e.get("Src", src)
	e.stride("Stride", stride)
	e.get("Ref", refs)
	e.get("Sum", sums)
	e.get("Square", squares)

	// columns emits a strip of n vectors, the last of which is masked by m.
	columns := func(n int, m mask) {
		masked := func(j int) mask {
			if j == n-1 {
				return m
			}
			return all
		}
		for j := range n {
			e.load(e.vector(refs, j), masked(j), ref[j])
			e.zero(sum[j])
			e.zero(square[j])
		}
		loop, done := e.unique("row"), e.unique("done")
		e.MOVQ(src, row)
		e.MOVQ(rows, count)
		e.TESTQ(count, count)
		e.JZ(LabelRef(done))
		e.align(32)
		e.Label(loop)
		for j := range n {
			d := values[j%len(values)]
			e.load(e.vector(row, j), masked(j), d)
			e.VSUBPS(ref[j], d, d)         // d = x − ref
			e.VADDPS(d, sum[j], sum[j])    // sum += d
			e.VFMADD231PS(d, d, square[j]) // square += d·d
		}
		e.ADDQ(stride, row)
		e.DECQ(count)
		e.JNZ(LabelRef(loop))
		e.Label(done)
		for j := range n {
			e.store(sum[j], masked(j), e.vector(sums, j))
			e.store(square[j], masked(j), e.vector(squares, j))
		}
	}

	e.SUBQ(I32(strip*e.Lanes), left)
	e.JL(LabelRef("rest"))
	e.Label("strip")
	columns(strip, all)
	for _, p := range []reg.Register{src, refs, sums, squares} {
		e.ADDQ(I32(strip*e.Bytes()), p)
	}
	e.SUBQ(I32(strip*e.Lanes), left)
	e.JGE(LabelRef("strip"))

	// Fewer than strip vectors are left; the last of them, whole or not, is masked.
	e.Label("rest")
	e.ADDQ(I32(strip*e.Lanes), left)
	e.JZ(LabelRef("end"))
	for n := 1; n <= strip; n++ {
		e.CMPQ(left, I32(n*e.Lanes))
		e.JLE(LabelRef(fmt.Sprintf("rest%d", n)))
	}
	for n := 1; n <= strip; n++ {
		e.Label(fmt.Sprintf("rest%d", n))
		e.SUBQ(I32((n-1)*e.Lanes), left)
		columns(n, e.masks(left, row, count, e.tailMask())[0])
		e.ret()
	}
	e.Label("end")
	e.ret()
}

// affine emits Affine: a sweep for each function.
func affine(e *emitter) {
	e.function("Affine", layout.Affine, "Affine is kernels.Set.Affine; args points to a kernels.AffineArgs.")
	src, dst, mean, scale, shift := reg.RSI, reg.RDI, reg.R8, reg.R9, reg.R14
	srcStride, dstStride := reg.R12, reg.R13
	s := e.newSweep(e.tailMask())
	e.get("Src", src)
	e.get("Dst", dst)
	e.get("Mean", mean)
	e.get("Scale", scale)
	e.get("Shift", shift)
	e.stride("SrcStride", srcStride)
	e.stride("DstStride", dstStride)
	e.eachAct(e.wide(), func(a *activation) {
		var behind *quotients
		if a.spare != nil {
			behind = a.newQuotients(a.spare, reg.R15, reg.RBX)
		}
		s.rows(a.together, func(n int, m mask) {
			x, temp := a.registers(n)
			by, plus := temp[0], temp[1]
			a.each(func(i int) {
				e.load(s.at(src, i), m, x[i])
				e.load(s.at(mean, i), m, by[i])
				e.VSUBPS(by[i], x[i], x[i])
			})
			a.each(func(i int) {
				e.load(s.at(scale, i), m, by[i])
				e.load(s.at(shift, i), m, plus[i])
				e.VFMADD213PS(plus[i], by[i], x[i])
			})
			if a.behind = nil; n == a.together {
				a.behind = behind
			}
			a.emit()
			if a.behind != nil {
				a.runBefore(behind, s.at(dst, 0))
				return
			}
			a.each(func(i int) { e.store(x[i], m, s.at(dst, i)) })
			a.run()
		}, func() {
			e.ADDQ(srcStride, src)
			e.ADDQ(dstStride, dst)
		})
		if behind != nil {
			a.finish(behind)
		}
		e.ret()
	})
}
