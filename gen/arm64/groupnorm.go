package arm64

import (
	"fmt"

	"github.com/lanewise/lanewise/gen/layout"
)

// groupNorm emits the kernels of group norms.
func groupNorm(e *emitter) {
	moments(e)
	affine(e)
}

// strips are the widths in vectors of the strips of columns that moments takes: as many as there are
// registers for, a panel of the GEMM, and what is left, whose last vector may not be whole.
var strips = []int{8, nr / vector, 1}

// moments emits Moments: strips of columns, each from the first row to the last.
//
// Register plan: for each vector of a strip the reference, the two sums, and a value.
func moments(e *emitter) {
	rows, left, src, stride, row, count := R(0), R(1), R(2), R(3), R(4), R(5)
	refs, sums, squares, tmp := R(6), R(7), R(8), R(9)
	e.function("Moments", 0, layout.Moments, R(19), "Moments is kernels.Set.Moments; args points to a kernels.MomentsArgs.")
	e.get("Rows", rows)
	e.get("Cols", left)
	e.get("Src", src)
	e.stride("Stride", stride)
	e.get("Ref", refs)
	e.get("Sum", sums)
	e.get("Square", squares)

	// strip emits one of n vectors, which load and store read and write.
	strip := func(n int, load func(base R, v vectors), store func(v vectors, base R)) {
		set := func(i int) vectors { return registers(V(i*n), n) }
		ref, sum, square, x := set(0), set(1), set(2), set(3)
		loop, done := e.unique("row"), e.unique("done")
		load(refs, ref)
		each(e.VEOR, sum, sum, sum)
		each(e.VEOR, square, square, square)
		e.MOVD(src, row)
		e.MOVD(rows, count)
		e.CBZ(count, done)
		e.align(32)
		e.label(loop)
		load(row, x)
		each(e.FSUB, ref, x, x)    // x −= ref
		each(e.FADD, x, sum, sum)  // sum += x
		each(e.FMLA, x, x, square) // square += x·x
		e.ADD(stride, row)
		e.SUBS(1, count)
		e.BNE(loop)
		e.label(done)
		store(sum, sums)
		store(square, squares)
	}
	load := func(base R, v vectors) {
		for j, v := range v {
			e.FMOVQ(at(base, j*bytesV), v)
		}
	}
	store := func(v vectors, base R) {
		for j, v := range v {
			e.FMOVQ(v, at(base, j*bytesV))
		}
	}
	for i, n := range strips {
		next := fmt.Sprintf("after%d", n)
		if i == len(strips)-1 {
			next = "rest"
		}
		again := fmt.Sprintf("strip%d", n)
		e.label(again)
		e.CMP(n*vector, left)
		e.BLT(next)
		strip(n, load, store)
		for _, p := range []R{src, refs, sums, squares} {
			e.ADD(n*bytesV, p)
		}
		e.SUB(n*vector, left)
		e.B(again)
		e.label(next)
	}
	e.CBZ(left, "end")
	strip(1, func(base R, v vectors) { e.loadSome(left, base, tmp, v[0]) },
		func(v vectors, base R) { e.storeSome(v[0], left, base, tmp) })
	e.label("end")
	e.RET()
}

// affine emits Affine: a sweep for each function.
func affine(e *emitter) {
	src, dst, mean, scale, shift := R(6), R(7), R(8), R(9), R(10)
	srcStride, dstStride := R(11), R(12)
	e.function("Affine", 0, layout.Affine, R(19), "Affine is kernels.Set.Affine; args points to a kernels.AffineArgs.")
	s := e.newSweep()
	e.get("Src", src)
	e.get("Dst", dst)
	e.get("Mean", mean)
	e.get("Scale", scale)
	e.get("Shift", shift)
	e.stride("SrcStride", srcStride)
	e.stride("DstStride", dstStride)
	e.eachAct(func(a *activation) {
		s.rows(together, func(n int) {
			a.registers(n)
			x, by := a.temp[0], a.temp[1]
			s.load(src, x)
			s.load(mean, by)
			each(e.FSUB, by, x, x)
			s.load(scale, by)
			s.load(shift, a.x)
			each(e.FMLA, by, x, a.x) // (x − mean)·scale + shift
			a.emit()
			s.store(a.x, dst)
		}, func() {
			e.ADD(srcStride, src)
			e.ADD(dstStride, dst)
		})
	})
}
