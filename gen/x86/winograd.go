package x86

import (
	"fmt"
	"math/bits"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/lanewise/lanewise/gen/layout"
	"github.com/lanewise/lanewise/internal/winograd"
)

// winograds emits the transforms of fast convolutions.
func winograds(e *emitter) {
	winogradInput(e)
	winogradOutput(e)
	winogradWeights(e)
}

// kinds emits, for every kind, a branch to what body emits for it. Kinds that have the same points, and
// the same size, share a body.
func (e *emitter) kinds(size func(t *winograd.Transform) int, body func(t *winograd.Transform)) {
	labels := make(map[string]string)
	var bodies []func()
	for _, k := range winograd.Kinds() {
		t := k.Transform()
		key := fmt.Sprint(size(t), t.Pairs)
		label, ok := labels[key]
		if !ok {
			label = e.unique("kind")
			labels[key] = label
			bodies = append(bodies, func() {
				e.Label(label)
				body(t)
			})
		}
		e.CMPB(e.field("Kind"), U8(k))
		e.JEQ(LabelRef(label))
	}
	e.ret()
	for _, body := range bodies {
		body()
	}
}

// multiples are registers that hold a stride times 1, 3, 5 and 7.
type multiples [4]reg.GPPhysical

// fill emits the multiples up to most of the stride that the first register holds.
func (m multiples) fill(e *emitter, most int) {
	e.LEAQ(Mem{Base: m[0], Index: m[0], Scale: 2}, m[1])
	if most >= 5 {
		e.LEAQ(Mem{Base: m[0], Index: m[0], Scale: 4}, m[2])
	}
	if most >= 7 {
		e.LEAQ(Mem{Base: m[1], Index: m[0], Scale: 4}, m[3])
	}
}

// at is what lies k strides after base.
func (m multiples) at(base reg.GPPhysical, k int) Mem {
	if k == 0 {
		return Mem{Base: base}
	}
	shift := bits.TrailingZeros(uint(k))
	return Mem{Base: base, Index: m[(k>>shift)/2], Scale: 1 << shift}
}

// winogradInput emits WinogradInput: tile by tile, in each over the channels.
func winogradInput(e *emitter) {
	e.function("WinogradInput", layout.WinogradInput, "WinogradInput is kernels.Set.WinogradInput; args points to a kernels.WinogradInputArgs.")
	pixel, pixels, dst, at := reg.RCX, reg.RDX, reg.RSI, reg.RDI
	stride := multiples{reg.R8, reg.R9, reg.R10, reg.R11}
	left, row, temp, first, tiles := reg.R12, reg.R13, reg.R14, reg.R15, reg.RBX
	e.get("Cols", left)
	e.ANDQ(U8(e.Lanes-1), left)
	tail := e.masks(left, row, temp, e.tailMask())[0]
	e.get("Tiles", tiles)
	e.TESTQ(tiles, tiles)
	e.JZ(LabelRef("end"))
	e.get("Pixels", pixels)
	e.get("Dst", dst)
	e.stride("PointStride", stride[0])
	e.get("Temp", temp)
	e.kinds(func(t *winograd.Transform) int { return t.Points }, func(t *winograd.Transform) {
		multipliers := append([]float32(nil), t.C...)
		for i, p := range t.Pairs {
			multipliers = append(multipliers, float32(p))
			multipliers = append(multipliers, t.Q[i]...)
		}
		x := newTransformer(e, t, temp, inputWork(t), multipliers)
		stride.fill(e, t.Points-1)
		channels := func(m mask) {
			for c := range t.Points {
				x.input(func(k int) reg.VecPhysical {
					v := x.take()
					e.MOVQ(Mem{Base: pixels, Disp: 8 * (k*t.Points + c)}, pixel)
					e.load(Mem{Base: pixel, Index: at, Scale: 1}, m, v)
					return v
				}, func(k int, v reg.VecPhysical) { x.keep(k*t.Points+c, v) })
			}
			e.MOVQ(first, row)
			for r := range t.Points {
				x.input(func(k int) reg.VecPhysical { return x.fetch(r*t.Points + k) },
					func(k int, v reg.VecPhysical) {
						e.store(v, m, stride.at(row, k))
						e.soon(stride.at(row, k), m)
						x.give(v)
					})
				if r+1 < t.Points {
					e.LEAQ(stride.at(row, t.Points), row)
				}
			}
		}
		tile := e.unique("tile")
		e.Label(tile)
		e.get("From", at)
		e.SHLQ(U8(2), at)
		e.MOVQ(dst, first)
		e.walk(left, channels, tail, at, first)
		e.ADDQ(I32(8*t.Points*t.Points), pixels)
		e.get("DstStride", row)
		e.LEAQ(Mem{Base: dst, Index: row, Scale: 4}, dst)
		e.DECQ(tiles)
		e.JNZ(LabelRef(tile))
		e.ret()
	})
	e.Label("end")
	e.ret()
}

// walk emits a loop over Cols: body for one vector after the other, the pointers stepping, and then
// for the rest of them that tail selects.
func (e *emitter) walk(left reg.GPPhysical, body func(m mask), tail mask, pointers ...reg.GPPhysical) {
	vector, rest, done := e.unique("vector"), e.unique("rest"), e.unique("done")
	e.get("Cols", left)
	e.SUBQ(U8(e.Lanes), left)
	e.JL(LabelRef(rest))
	e.align(32)
	e.Label(vector)
	body(all)
	for _, p := range pointers {
		e.ADDQ(U8(e.Bytes()), p)
	}
	e.SUBQ(U8(e.Lanes), left)
	e.JGE(LabelRef(vector))
	e.Label(rest)
	e.ADDQ(U8(e.Lanes), left)
	e.JZ(LabelRef(done))
	body(tail)
	e.Label(done)
}

// soon has the line fetched that will be written after that of dst. The stores of a transform go to as
// many streams as a tile has points, and each would wait for its line: on an Intel server core, with
// tiles in the second-level cache, a vector of F(4×4, 3×3) takes 170 cycles instead of 203 in, and 105
// instead of 122 out. AVX2's vectors are half a line and half as fast, and gain nothing.
func (e *emitter) soon(dst Mem, m mask) {
	if e.wide() && m == all {
		e.PREFETCHT0(dst.Offset(e.Bytes()))
	}
}

// General registers of WinogradOutput that finish needs too.
var (
	outPixel  = reg.RCX // the address of a pixel
	outPixels = reg.RDX // this tile's pointers in Dst
	outAdd    = reg.RBX // and in Add; or nil
	outAt     = reg.RDI // this vector's channel, in bytes
	outOffset = reg.R13 // that of the pixels: From further on
)

// winogradOutput emits WinogradOutput: tile by tile, in each over the channels.
func winogradOutput(e *emitter) {
	e.function("WinogradOutput", layout.WinogradOutput, "WinogradOutput is kernels.Set.WinogradOutput; args points to a kernels.WinogradOutputArgs.")
	tiles := e.AllocLocal(8)                              // to do
	stride := multiples{reg.R8, reg.R9, reg.R10, reg.R11} // of rows of points
	src, left, temp, column, point := reg.RSI, reg.R12, reg.R14, reg.R15, reg.RBP
	e.get("Cols", left)
	e.ANDQ(U8(e.Lanes-1), left)
	tail := e.masks(left, outOffset, temp, e.tailMask())[0]
	e.get("Tiles", outPixel)
	e.MOVQ(outPixel, tiles)
	e.TESTQ(outPixel, outPixel)
	e.JZ(LabelRef("end"))
	e.get("Src", src)
	e.get("Dst", outPixels)
	e.get("Add", outAdd)
	e.stride("PointStride", point)
	e.get("Temp", temp)
	e.kinds(func(t *winograd.Transform) int { return t.Outputs }, func(t *winograd.Transform) {
		var multipliers []float32
		for _, powers := range t.Power {
			multipliers = append(multipliers, powers...)
		}
		x := newTransformer(e, t, temp, outputWork(t), multipliers)
		e.IMUL3Q(U8(t.Points), point, stride[0])
		stride.fill(e, t.Points-1)
		channels := func(m mask) {
			e.LEAQ(Mem{Base: src, Index: outAt, Scale: 1}, column)
			for c := range t.Points {
				x.output(func(k int) reg.VecPhysical {
					v := x.take()
					e.load(stride.at(column, k), m, v)
					return v
				}, func(k int, v reg.VecPhysical) { x.keep(k*t.Points+c, v) })
				if c+1 < t.Points {
					e.ADDQ(point, column)
				}
			}
			for r := range t.Outputs {
				y := make([]reg.VecPhysical, t.Outputs)
				x.output(func(k int) reg.VecPhysical { return x.fetch(r*t.Points + k) },
					func(k int, v reg.VecPhysical) { y[k] = v })
				x.finish(r, y, m)
			}
		}
		tile, plain := e.unique("tile"), e.unique("plain")
		e.Label(tile)
		e.XORQ(outAt, outAt)
		e.get("From", outOffset)
		e.SHLQ(U8(2), outOffset)
		e.walk(left, channels, tail, outAt, outOffset)
		e.get("SrcStride", column)
		e.LEAQ(Mem{Base: src, Index: column, Scale: 4}, src)
		e.ADDQ(I32(8*t.Outputs*t.Outputs), outPixels)
		e.TESTQ(outAdd, outAdd)
		e.JZ(LabelRef(plain))
		e.ADDQ(I32(8*t.Outputs*t.Outputs), outAdd)
		e.Label(plain)
		e.DECQ(tiles)
		e.JNZ(LabelRef(tile))
		e.ret()
	})
	e.Label("end")
	e.ret()
}

// finish emits what is done to row r of a tile's pixels once it is transformed, and gives its registers back.
func (x *transformer) finish(r int, y []reg.VecPhysical, m mask) {
	operand := x.take()
	for _, by := range []struct {
		field string
		emit  func(v reg.VecPhysical)
	}{
		{"Bias", func(v reg.VecPhysical) { x.VADDPS(operand, v, v) }},
		{"Scale", func(v reg.VecPhysical) { x.VMULPS(operand, v, v) }},
	} {
		none := x.unique("none")
		x.get(by.field, outPixel)
		x.TESTQ(outPixel, outPixel)
		x.JZ(LabelRef(none))
		x.load(Mem{Base: outPixel, Index: outAt, Scale: 1}, m, operand)
		for _, v := range y {
			by.emit(v)
		}
		x.Label(none)
	}
	at := func(table reg.GPPhysical, k int) Mem { return Mem{Base: table, Disp: 8 * (r*x.Outputs + k)} }
	plain, stored := x.unique("plain"), x.unique("stored")
	x.TESTQ(outAdd, outAdd)
	x.JZ(LabelRef(plain))
	for k, v := range y {
		outside := x.unique("outside")
		x.CMPQ(at(outPixels, k), U8(0))
		x.JEQ(LabelRef(outside))
		x.MOVQ(at(outAdd, k), outPixel)
		x.load(Mem{Base: outPixel, Index: outOffset, Scale: 1}, m, operand)
		x.VADDPS(operand, v, v)
		x.MOVQ(at(outPixels, k), outPixel)
		x.store(v, m, Mem{Base: outPixel, Index: outOffset, Scale: 1})
		x.soon(Mem{Base: outPixel, Index: outOffset, Scale: 1}, m)
		x.Label(outside)
	}
	x.JMP(LabelRef(stored))
	x.Label(plain)
	for k, v := range y {
		outside := x.unique("outside")
		x.MOVQ(at(outPixels, k), outPixel)
		x.TESTQ(outPixel, outPixel)
		x.JZ(LabelRef(outside))
		x.store(v, m, Mem{Base: outPixel, Index: outOffset, Scale: 1})
		x.soon(Mem{Base: outPixel, Index: outOffset, Scale: 1}, m)
		x.Label(outside)
	}
	x.Label(stored)
	x.give(append(y, operand)...)
}

// winogradWeights emits WinogradWeights.
func winogradWeights(e *emitter) {
	e.function("WinogradWeights", layout.WinogradWeights, "WinogradWeights is kernels.Set.WinogradWeights; args points to a kernels.WinogradWeightsArgs.")
	count, taps, dst, tap, row := reg.RCX, reg.RDX, reg.RSI, reg.RDI, reg.R13
	stride := multiples{reg.R8, reg.R9, reg.R10, reg.R11}
	temp, column := reg.R14, reg.R15
	e.get("N", count)
	e.TESTQ(count, count)
	e.JZ(LabelRef("end"))
	e.get("Taps", taps)
	e.get("Dst", dst)
	e.stride("TapStride", tap)
	e.stride("PointStride", stride[0])
	e.get("Temp", temp)
	e.kinds(func(t *winograd.Transform) int { return t.Taps }, func(t *winograd.Transform) {
		multipliers := []float32{t.Zero}
		for _, c := range t.Weight {
			multipliers = append(multipliers, c...)
		}
		x := newTransformer(e, t, temp, weightsWork(t), multipliers)
		stride.fill(e, t.Points-1)
		tapRow := reg.RBX
		e.IMUL3Q(U8(t.Taps), tap, tapRow)
		vector := e.unique("vector")
		e.align(32)
		e.Label(vector)
		e.MOVQ(taps, column)
		for c := range t.Taps {
			x.weights(func(k int) reg.VecPhysical {
				v := x.take()
				a := Mem{Base: column}
				if k > 0 {
					a.Index, a.Scale = tapRow, uint8(k)
				}
				e.VMOVUPS(a, v)
				return v
			}, func(k int, v reg.VecPhysical) { x.keep(k*t.Points+c, v) })
			if c+1 < t.Taps {
				e.ADDQ(tap, column)
			}
		}
		e.MOVQ(dst, row)
		for r := range t.Points {
			x.weights(func(k int) reg.VecPhysical { return x.fetch(r*t.Points + k) },
				func(k int, v reg.VecPhysical) {
					e.VMOVUPS(v, stride.at(row, k))
					x.give(v)
				})
			if r+1 < t.Points {
				e.LEAQ(stride.at(row, t.Points), row)
			}
		}
		e.ADDQ(U8(e.Bytes()), taps)
		e.ADDQ(U8(e.Bytes()), dst)
		e.SUBQ(U8(e.Lanes), count)
		e.JG(LabelRef(vector))
		e.ret()
	})
	e.Label("end")
	e.ret()
}
