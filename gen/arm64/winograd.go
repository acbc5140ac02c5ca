package arm64

import (
	"fmt"

	"github.com/lanewise/lanewise/gen/layout"
	"github.com/lanewise/lanewise/internal/winograd"
)

// winograds emits the transforms of fast convolutions. Each has a body for every kind, and that has two
// loops for a strip of columns of values: one over the columns of pixels, which go to Temp one after the
// other, and one over the rows that it reads there.
func winograds(e *emitter) {
	winogradInput(e)
	winogradOutput(e)
	winogradWeights(e)
}

// winogradInput emits WinogradInput.
func winogradInput(e *emitter) {
	var (
		tiles, left  = R(0), R(1)
		pixels, dst  = R(2), R(3) // of the tile
		from, here   = R(4), R(5) // the strip's offset in each pixel, and its first point in Dst
		stride, temp = R(6), R(7)
		pixel        = []R{8, 9, 10, 11, 12, 13, 14, 15} // of a column
		table, point = R(16), R(16)                      // of a column, and of a row
		buffer       = R(17)
		count, tmp   = R(20), R(21)
	)
	e.function("WinogradInput", 0, layout.WinogradInput, R(19), "WinogradInput is kernels.Set.WinogradInput; args points to a kernels.WinogradInputArgs.")
	e.get("Tiles", tiles)
	e.get("Pixels", pixels)
	e.get("Dst", dst)
	e.stride("PointStride", stride)
	e.get("Temp", temp)
	points := func(x *winograd.Transform) string { return fmt.Sprint(x.Pairs) }
	e.eachKind(left, points, func(x *winograd.Transform) {
		t, tile, end := x.Points, e.unique("tile"), e.unique("end")
		e.constants(tmp)
		a := e.inputAxis(x, tmp)
		e.CBZ(tiles, end)
		e.label(tile)
		e.get("Cols", left)
		e.stride("From", from)
		e.MOVD(dst, here)
		e.byStrips(left, tmp, func(s strip) {
			a := a.of(s.wide)
			e.MOVD(pixels, table)
			e.MOVD(temp, buffer)
			e.repeat(t, count, func() {
				for y := range t {
					e.MOVD(at(table, 8*t*y), pixel[y])
				}
				for y := range t {
					e.ADD(from, pixel[y])
				}
				e.ADD(8, table)
				v := a.input(func(k int, into ...vectors) steps { return s.load(pixel[k], into...) })
				for y, v := range v {
					s.keep(v, at(buffer, y*s.bytes()))
				}
				e.ADD(t*s.bytes(), buffer)
			})
			e.MOVD(here, point)
			e.MOVD(temp, buffer)
			e.repeat(t, count, func() {
				v := a.input(s.kept(buffer, t*s.bytes()))
				e.ADD(s.bytes(), buffer)
				for _, v := range v {
					s.store(v, point)
					e.ADD(stride, point)
				}
			})
			e.ADD(s.bytes(), from)
			e.ADD(s.bytes(), here)
		})
		e.ADD(8*t*t, pixels)
		e.stride("DstStride", tmp)
		e.ADD(tmp, dst)
		e.SUBS(1, tiles)
		e.BNE(tile)
		e.label(end)
	})
}

// winogradOutput emits WinogradOutput.
func winogradOutput(e *emitter) {
	var (
		tiles, left   = R(0), R(1)
		src, dst, add = R(2), R(3), R(4) // of the tile; Add may be nil
		from, column  = R(5), R(6)       // the strip's offset in each pixel, and in Src, Bias and Scale
		stride, down  = R(7), R(8)       // bytes to the next point, and to the one below
		temp, buffer  = R(9), R(10)
		first, point  = R(11), R(12) // of a column: in Src
		toDst, toAdd  = R(11), R(12) // of a row: the pointers
		bias, scale   = R(13), R(14) // may be nil
		count         = R(15)
		values        = R(16)
		pixel         = []R{17, 20} // by turns
		residual      = []R{21, 22}
		tmp           = R(23)
	)
	e.function("WinogradOutput", 0, layout.WinogradOutput, R(19), "WinogradOutput is kernels.Set.WinogradOutput; args points to a kernels.WinogradOutputArgs.")
	e.get("Tiles", tiles)
	e.get("Src", src)
	e.get("Dst", dst)
	e.get("Add", add)
	e.get("Bias", bias)
	e.get("Scale", scale)
	e.stride("PointStride", stride)
	e.get("Temp", temp)
	points := func(x *winograd.Transform) string { return fmt.Sprint(x.Outputs, x.Pairs) }
	e.eachKind(left, points, func(x *winograd.Transform) {
		t, m, tile, end, stay := x.Points, x.Outputs, e.unique("tile"), e.unique("end"), e.unique("stay")
		e.constants(tmp)
		a := e.outputAxis(x, tmp)
		e.MOVD(t, down)
		e.MUL(stride, down, down)
		e.CBZ(tiles, end)
		e.label(tile)
		e.get("Cols", left)
		e.stride("From", from)
		e.MOVD(0, column)
		e.byStrips(left, tmp, func(s strip) {
			a := a.of(s.wide)
			e.ADD(column, src, first)
			e.MOVD(temp, buffer)
			e.repeat(t, count, func() {
				e.MOVD(first, point)
				e.ADD(stride, first)
				y, _ := a.output(s.walk(point, down))
				for j, y := range y {
					s.keep(y, at(buffer, j*s.bytes()))
				}
				e.ADD(m*s.bytes(), buffer)
			})
			e.MOVD(dst, toDst)
			e.MOVD(add, toAdd)
			e.MOVD(temp, buffer)
			e.repeat(m, count, func() {
				y, free := a.output(s.kept(buffer, m*s.bytes()))
				e.ADD(s.bytes(), buffer)
				// apply changes the row by op with the values of an operand, where it has any.
				apply := func(operand R, with vectors, op func(m, n, d V)) {
					without := e.unique("without")
					e.CBZ(operand, without)
					e.ADD(column, operand, values)
					s.load(values, with).emit()
					for _, y := range y {
						each(op, with, y, y)
					}
					e.label(without)
				}
				apply(bias, free[0], e.FADD)
				apply(scale, free[1], e.FMUL)
				for j, y := range y {
					turn, outside, added := j%2, e.unique("outside"), e.unique("added")
					e.MOVD(at(toDst, 8*j), pixel[turn])
					e.CBZ(pixel[turn], outside)
					e.ADD(from, pixel[turn])
					e.CBZ(add, added)
					e.MOVD(at(toAdd, 8*j), residual[turn])
					e.ADD(from, residual[turn])
					s.load(residual[turn], free[turn]).emit()
					each(e.FADD, free[turn], y, y)
					e.label(added)
					s.store(y, pixel[turn])
					e.label(outside)
				}
				e.ADD(8*m, toDst)
				e.ADD(8*m, toAdd)
			})
			e.ADD(s.bytes(), from)
			e.ADD(s.bytes(), column)
		})
		e.stride("SrcStride", tmp)
		e.ADD(tmp, src)
		e.ADD(8*m*m, dst)
		e.CBZ(add, stay)
		e.ADD(8*m*m, add)
		e.label(stay)
		e.SUBS(1, tiles)
		e.BNE(tile)
		e.label(end)
	})
}

// winogradWeights emits WinogradWeights, whose taps are whole vectors.
func winogradWeights(e *emitter) {
	var (
		left              = R(0)
		taps, dst         = R(1), R(2) // of the strip
		tapStride, stride = R(3), R(4)
		down              = R(5) // to the tap below
		temp, buffer      = R(6), R(7)
		first, tap, point = R(8), R(9), R(8) // of a column, and of a row
		count, tmp        = R(10), R(11)
	)
	e.function("WinogradWeights", 0, layout.WinogradWeights, R(19), "WinogradWeights is kernels.Set.WinogradWeights; args points to a kernels.WinogradWeightsArgs.")
	e.get("N", left)
	e.get("Taps", taps)
	e.stride("TapStride", tapStride)
	e.get("Dst", dst)
	e.stride("PointStride", stride)
	e.get("Temp", temp)
	points := func(x *winograd.Transform) string { return fmt.Sprint(x.Taps, x.Pairs) }
	e.eachKind(count, points, func(x *winograd.Transform) {
		t, r := x.Points, x.Taps
		e.constants(tmp)
		a := e.weightsAxis(x, tmp)
		e.MOVD(r, down)
		e.MUL(tapStride, down, down)
		e.byStrips(left, tmp, func(s strip) {
			if s.some {
				return
			}
			a := a.of(s.wide)
			e.MOVD(taps, first)
			e.MOVD(temp, buffer)
			e.repeat(r, count, func() {
				e.MOVD(first, tap)
				e.ADD(tapStride, first)
				for y, u := range a.weights(s.walk(tap, down)) {
					s.keep(u, at(buffer, y*s.bytes()))
				}
				e.ADD(t*s.bytes(), buffer)
			})
			e.MOVD(dst, point)
			e.MOVD(temp, buffer)
			e.repeat(t, count, func() {
				u := a.weights(s.kept(buffer, t*s.bytes()))
				e.ADD(s.bytes(), buffer)
				for _, u := range u {
					s.store(u, point)
					e.ADD(stride, point)
				}
			})
			e.ADD(s.bytes(), taps)
			e.ADD(s.bytes(), dst)
		})
	})
}

// eachKind emits a body and a return for every kind, and before them what chooses among them. Kinds for
// which points is the same share theirs. tmp is clobbered before.
func (e *emitter) eachKind(tmp R, points func(*winograd.Transform) string, body func(*winograd.Transform)) {
	labels := make(map[string]string)
	var bodies []*winograd.Transform
	e.MOVBU(e.field("Kind"), tmp)
	for _, k := range winograd.Kinds() {
		x := k.Transform()
		if labels[points(x)] == "" {
			labels[points(x)] = e.unique("kind")
			bodies = append(bodies, x)
		}
		e.CMP(int(k), tmp)
		e.BEQ(labels[points(x)])
	}
	e.RET()
	for _, x := range bodies {
		e.label(labels[points(x)])
		body(x)
		e.RET()
	}
}

// repeat emits a loop of n rounds.
func (e *emitter) repeat(n int, counter R, body func()) {
	loop := e.unique("loop")
	e.MOVD(n, counter)
	e.align(32)
	e.label(loop)
	body()
	e.SUBS(1, counter)
	e.BNE(loop)
}
