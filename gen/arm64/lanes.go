package arm64

import "github.com/lanewise/lanewise/gen/layout"

// transpositions emits the kernels between rows of memory and lanes of vectors.
func transpositions(e *emitter) {
	toLanes(e)
	fromLanes(e)
}

// toLanes emits ToLanes: four rows at a time, which are a vector of lanes, and four columns at once.
//
// Each row is reached by a pointer of its own. Where there are fewer than four, the others' is the
// last row's: reading it is harmless, their lanes being masked.
//
// Register plan: V0 to V3 hold a block by rows, V4 to V7 on their way to columns; V16 is Scale, V17
// the mask.
func toLanes(e *emitter) {
	rows, lanes, cols := R(0), R(1), R(2)     // rows and lanes still to do; columns still to do
	src, srcStride := R(3), R(4)              // the next row
	first, dst, dstStride := R(5), R(6), R(7) // these lanes in the first column, and in this one
	row := [vector]R{8, 9, 10, 11}
	tmp := R(12)
	scale, mask := V(16), V(17)

	e.function("ToLanes", 0, layout.ToLanes, R(19), "ToLanes is kernels.Set.ToLanes; args points to a kernels.ToLanesArgs.")
	e.get("Rows", rows)
	e.get("Lanes", lanes)
	e.get("Src", src)
	e.stride("SrcStride", srcStride)
	e.get("Dst", first)
	e.stride("DstStride", dstStride)
	e.FMOVS(e.field("Scale"), scale)
	e.VDUP(scale, 0, scale)
	e.constants(tables)

	e.label("vector")
	e.get("Cols", cols)
	e.MOVD(first, dst)
	e.CMP(0, rows)
	e.BLE("zeros")

	// The mask selects min(rows, 4) lanes.
	e.MOVD(vector, tmp)
	e.CMP(tmp, rows)
	e.CSEL("LT", rows, tmp, tmp)
	e.mask(tmp, tables, mask)
	e.MOVD(src, row[0])
	for r := 1; r < vector; r++ {
		e.ADD(srcStride, row[r-1], tmp)
		e.CMP(r, rows)
		e.CSEL("GT", tmp, row[r-1], row[r])
	}
	e.ADD(srcStride, row[3], src)

	e.SUBS(vector, cols)
	e.BLT("rest")
	e.label("block")
	for r, p := range row {
		e.FMOVQP(at(p, bytesV), V(r))
	}
	e.transpose(0, 4)
	for c := range V(vector) {
		e.FMUL(scale, c, c)
		e.VAND(mask, c, c)
		e.FMOVQ(c, at(dst, 0))
		e.ADD(dstStride, dst)
	}
	e.SUBS(vector, cols)
	e.BGE("block")
	e.label("rest")
	e.ADD(vector, cols)
	e.CBZ(cols, "done")
	e.label("column")
	for r, p := range row {
		e.loadLaneP(p, 0, Lane(r))
	}
	e.FMUL(scale, 0, 0)
	e.VAND(mask, 0, 0)
	e.FMOVQ(V(0), at(dst, 0))
	e.ADD(dstStride, dst)
	e.SUBS(1, cols)
	e.BNE("column")
	e.B("done")

	e.label("zeros")
	e.CBZ(cols, "done")
	e.zero(0)
	e.label("zero")
	e.FMOVQ(V(0), at(dst, 0))
	e.ADD(dstStride, dst)
	e.SUBS(1, cols)
	e.BNE("zero")

	e.label("done")
	e.ADD(bytesV, first)
	e.SUB(vector, rows)
	e.SUBS(vector, lanes)
	e.BGT("vector")
	e.RET()
}

// fromLanes emits FromLanes: four lanes at a time, which are rows of Dst, and four columns at once.
//
// Where there are fewer than four rows, the others' pointer is the last row's, and the last row itself is
// written after them.
//
// Register plan: V0 to V3 hold a block by columns, then by rows, V4 to V7 are those on their way; V16 is four
// values of Scale.
func fromLanes(e *emitter) {
	rows, lanes, cols := R(0), R(1), R(2)  // rows still to do; bytes from column to column; columns still to do
	dst, dstStride := R(3), R(4)           // the next row
	first, src, scales := R(5), R(6), R(7) // these lanes in the first column, and in this one; their factors
	row := [vector]R{8, 9, 10, 11}
	tmp := R(12)
	scale := V(16)

	e.function("FromLanes", 0, layout.FromLanes, R(19), "FromLanes is kernels.Set.FromLanes; args points to a kernels.FromLanesArgs.")
	e.get("Rows", rows)
	e.stride("Lanes", lanes)
	e.get("Dst", dst)
	e.stride("DstStride", dstStride)
	e.get("Src", first)
	e.get("Scale", scales)
	e.CBZ(rows, "end")

	e.label("vector")
	e.FMOVQP(at(scales, bytesV), scale)
	e.MOVD(dst, row[0])
	for r := 1; r < vector; r++ {
		e.ADD(dstStride, row[r-1], tmp)
		e.CMP(r, rows)
		e.CSEL("GT", tmp, row[r-1], row[r])
	}
	e.ADD(dstStride, row[3], dst)
	e.MOVD(first, src)
	e.get("Cols", cols)
	e.SUBS(vector, cols)
	e.BLT("rest")
	e.label("block")
	for c := range V(vector) {
		e.FMOVQ(at(src, 0), c)
		e.ADD(lanes, src)
	}
	e.transpose(0, 4)
	for r := range V(vector) {
		e.FMULLane(scale, Lane(r), r, r)
	}
	for r := vector - 1; r >= 0; r-- {
		e.FMOVQP(V(r), at(row[r], bytesV))
	}
	e.SUBS(vector, cols)
	e.BGE("block")
	e.label("rest")
	e.ADDS(vector, cols)
	e.BEQ("done")
	e.label("column")
	e.FMOVQ(at(src, 0), V(0))
	e.ADD(lanes, src)
	e.FMUL(scale, 0, 0)
	for r := vector - 1; r >= 0; r-- {
		e.storeLaneP(0, Lane(r), row[r])
	}
	e.SUBS(1, cols)
	e.BNE("column")
	e.label("done")
	e.ADD(bytesV, first)
	e.SUBS(vector, rows)
	e.BGT("vector")
	e.label("end")
	e.RET()
}

// transpose turns the four vectors from v, rows of a block, into its columns: row a is a0 a1 a2 a3
// and so on. The four from t are clobbered.
func (e *emitter) transpose(v, t V) {
	e.VTRN1(v+1, v, t)          // a0 b0 a2 b2
	e.VTRN2(v+1, v, t+1)        // a1 b1 a3 b3
	e.VTRN1(v+3, v+2, t+2)      // c0 d0 c2 d2
	e.VTRN2(v+3, v+2, t+3)      // c1 d1 c3 d3
	e.VZIP1Pairs(t+2, t, v)     // a0 b0 c0 d0
	e.VZIP1Pairs(t+3, t+1, v+1) // a1 b1 c1 d1
	e.VZIP2Pairs(t+2, t, v+2)   // a2 b2 c2 d2
	e.VZIP2Pairs(t+3, t+1, v+3) // a3 b3 c3 d3
}
