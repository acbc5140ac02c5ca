package x86

import (
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

// A transformer emits a two-dimensional transform of a vector's worth of channels: a first pass over
// the columns of a grid, a second over its rows.
//
// Register plan: multipliers, as many as there is room for (the others are operands in memory), then
// what a transform along one axis needs at once, and in all others what the first pass leaves for
// the second. What finds no register waits in Temp, which stays in the first-level cache.
type transformer struct {
	*emitter
	*winograd.Transform
	temp        reg.GPPhysical
	free        []reg.VecPhysical
	multipliers map[float32]reg.VecPhysical
	grid        map[int]kept // what the first pass left, by row·Points + column
	room        int          // registers that the grid may still take
	slots       int          // of Temp that the grid has taken
}

// kept is a value that waits in a register or, without one, in a slot of Temp.
type kept struct {
	v    reg.VecPhysical
	slot int
}

// newTransformer emits the loads of multipliers. work is how many registers a transform along one
// axis takes.
func newTransformer(e *emitter, t *winograd.Transform, temp reg.GPPhysical, work int, multipliers []float32) *transformer {
	x := &transformer{emitter: e, Transform: t, temp: temp, grid: make(map[int]kept), multipliers: make(map[float32]reg.VecPhysical)}
	x.free = append(x.free, e.Regs...)
	if !e.wide() {
		x.free = x.free[:len(x.free)-1] // the mask
	}
	for _, c := range multipliers {
		if c < 0 {
			c = -c
		}
		if _, ok := x.multipliers[c]; ok || c == 1 || len(x.free) == work {
			continue
		}
		v := x.take()
		e.VMOVUPS(e.constant(c), v)
		x.multipliers[c] = v
	}
	x.room = len(x.free) - work
	return x
}

// take returns a free register.
func (x *transformer) take() reg.VecPhysical {
	if len(x.free) == 0 {
		panic(x.family + ": out of registers")
	}
	v := x.free[0]
	x.free = x.free[1:]
	return v
}

// give makes registers free.
func (x *transformer) give(v ...reg.VecPhysical) { x.free = append(x.free, v...) }

// keep leaves a value for the second pass.
func (x *transformer) keep(at int, v reg.VecPhysical) {
	if x.room > 0 {
		x.room--
		x.grid[at] = kept{v: v}
		return
	}
	x.VMOVUPS(v, x.vector(x.temp, x.slots))
	x.grid[at] = kept{slot: x.slots}
	x.slots++
	x.give(v)
}

// fetch returns what keep left, in a register.
func (x *transformer) fetch(at int) reg.VecPhysical {
	k := x.grid[at]
	delete(x.grid, at)
	if len(x.grid) == 0 {
		x.slots = 0
	}
	if k.v != nil {
		x.room++
		return k.v
	}
	v := x.take()
	x.VMOVUPS(x.vector(x.temp, k.slot), v)
	return v
}

// multiplier is an operand that holds a positive constant in every lane.
func (x *transformer) multiplier(c float32) Op {
	if v, ok := x.multipliers[c]; ok {
		return v
	}
	return x.constant(c)
}

// fma emits dst = c·v + acc. A sum or a difference has the bits of the fused operation with ±1.
func (x *transformer) fma(c float32, v, acc, dst reg.VecPhysical) {
	switch {
	case c == 1:
		x.VADDPS(v, acc, dst)
		return
	case c == -1:
		x.VSUBPS(v, acc, dst)
		return
	case dst != acc:
		x.VMOVAPS(acc, dst)
	}
	if c < 0 {
		x.VFNMADD231PS(x.multiplier(-c), v, dst)
	} else {
		x.VFMADD231PS(x.multiplier(c), v, dst)
	}
}

// polynomial emits dst = Σ c[k]·d[k] in falling k, where the last of c is 1.
func (x *transformer) polynomial(c []float32, d []reg.VecPhysical, dst reg.VecPhysical) {
	acc := d[len(d)-1]
	for k := len(d) - 2; k >= 0; k-- {
		x.fma(c[k], d[k], acc, dst)
		acc = dst
	}
}

// A loader returns the k-th value of a line in a register that may be overwritten; a storer takes one.
type (
	loader func(k int) reg.VecPhysical
	storer func(k int, v reg.VecPhysical)
)

// inputWork is how many registers input takes.
func inputWork(t *winograd.Transform) int { return max(3, 3*len(t.Pairs)-1) }

// input emits kernels.WinogradInputArgs's transform along one axis.
func (x *transformer) input(load loader, store storer) {
	n := len(x.Pairs)
	line := func(first int) []reg.VecPhysical {
		d := make([]reg.VecPhysical, n+1)
		for k := range d {
			d[k] = load(2*k + first)
		}
		return d
	}
	// parts evaluates every Qᵢ, the last of them in the place of d's last.
	parts := func(d []reg.VecPhysical) []reg.VecPhysical {
		p := make([]reg.VecPhysical, n)
		for i := range p {
			p[i] = d[n-1]
			if i < n-1 {
				p[i] = x.take()
			}
			x.polynomial(x.Q[i], d, p[i])
		}
		x.give(d[:n-1]...)
		return p
	}
	d := line(0)
	zero := x.take()
	x.polynomial(x.C, d, zero)
	store(0, zero)
	x.give(d[0])
	even := parts(d[1:])
	d = line(1)
	x.polynomial(x.C, d, d[n])
	store(x.Points-1, d[n])
	odd := parts(d[:n])
	for i, p := range x.Pairs {
		plus := x.take()
		x.fma(float32(p), odd[i], even[i], plus)
		store(2*i+1, plus)
		x.fma(-float32(p), odd[i], even[i], even[i])
		store(2*i+2, even[i])
		x.give(odd[i])
	}
}

// outputWork is how many registers output takes where all results stay in registers.
func outputWork(t *winograd.Transform) int { return 2*len(t.Pairs) + (t.Outputs+1)/2 + 1 }

// output emits kernels.WinogradOutputArgs's transform along one axis.
func (x *transformer) output(load loader, store storer) {
	var parts [2][]reg.VecPhysical // sums and differences
	for i := range x.Pairs {
		plus, minus, sum := load(2*i+1), load(2*i+2), x.take()
		x.VADDPS(minus, plus, sum)
		x.VSUBPS(minus, plus, plus)
		x.give(minus)
		parts[0], parts[1] = append(parts[0], sum), append(parts[1], plus)
	}
	finish := func(j int, y reg.VecPhysical) {
		if j == x.Outputs-1 {
			last := load(x.Points - 1)
			x.VADDPS(last, y, y)
			x.give(last)
		}
		store(j, y)
	}
	y := load(0)
	for _, sum := range parts[0] {
		x.VADDPS(sum, y, y)
	}
	finish(0, y)
	for parity, part := range parts {
		from := 2 - parity
		for j := from; j < x.Outputs; j += 2 {
			y, acc := part[0], part[0]
			if j+2 < x.Outputs { // part[0] is needed again
				y = x.take()
			}
			if c := x.Power[0][j]; c != 1 {
				x.VMULPS(x.multiplier(c), part[0], y)
				acc = y
			}
			for i := 1; i < len(part); i++ {
				x.fma(x.Power[i][j], part[i], acc, y)
				acc = y
			}
			finish(j, y)
		}
		if from >= x.Outputs {
			x.give(part[0])
		}
		x.give(part[1:]...)
	}
}

// weightsWork is how many registers weights takes.
func weightsWork(t *winograd.Transform) int { return t.Taps + 2 }

// weights emits kernels.WinogradWeightsArgs's transform along one axis.
func (x *transformer) weights(load loader, store storer) {
	g := make([]reg.VecPhysical, x.Taps)
	for k := range g {
		g[k] = load(k)
	}
	zero := x.take()
	x.VMULPS(x.signed(x.Zero), g[0], zero)
	store(0, zero)
	for i, c := range x.Weight {
		plus, minus := x.take(), x.take()
		x.VMULPS(x.signed(c[0]), g[0], minus)
		if x.Taps == 3 {
			x.fma(c[2], g[2], minus, minus)
		}
		x.fma(c[1], g[1], minus, plus)
		store(2*i+1, plus)
		x.fma(-c[1], g[1], minus, minus)
		store(2*i+2, minus)
	}
	store(x.Points-1, g[x.Taps-1])
	x.give(g[:x.Taps-1]...)
}

// signed is an operand that holds a constant of any sign in every lane.
func (x *transformer) signed(c float32) Op {
	if c > 0 {
		return x.multiplier(c)
	}
	return x.constant(c)
}

// kinds emits, for every kind, a branch to what body emits for it. Kinds whose key is the same share
// a body.
func (e *emitter) kinds(key func(t *winograd.Transform) any, body func(t *winograd.Transform)) {
	labels := make(map[any]string)
	var bodies []func()
	for _, k := range winograd.Kinds() {
		t := k.Transform()
		label, ok := labels[key(t)]
		if !ok {
			label = e.unique("kind")
			labels[key(t)] = label
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
	a := Mem{Base: base}
	for shift := 0; k > 0; shift++ {
		if k>>shift&1 != 0 {
			a.Index, a.Scale = m[k>>shift/2], 1<<shift
			break
		}
	}
	return a
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
	e.kinds(func(t *winograd.Transform) any { return [2]any{t.Points, &t.Pairs[0]} }, func(t *winograd.Transform) {
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

// winogradOutput emits WinogradOutput: tile by tile, in each over the channels.
func winogradOutput(e *emitter) {
	e.function("WinogradOutput", layout.WinogradOutput, "WinogradOutput is kernels.Set.WinogradOutput; args points to a kernels.WinogradOutputArgs.")
	tiles := e.AllocLocal(8)
	pixel, pixels, src, at, add := reg.RCX, reg.RDX, reg.RSI, reg.RDI, reg.RBX
	stride := multiples{reg.R8, reg.R9, reg.R10, reg.R11} // of rows of points
	left, offset, temp, column, point := reg.R12, reg.R13, reg.R14, reg.R15, reg.RBP
	e.get("Cols", left)
	e.ANDQ(U8(e.Lanes-1), left)
	tail := e.masks(left, offset, temp, e.tailMask())[0]
	e.get("Tiles", pixel)
	e.MOVQ(pixel, tiles)
	e.TESTQ(pixel, pixel)
	e.JZ(LabelRef("end"))
	e.get("Src", src)
	e.get("Dst", pixels)
	e.get("Add", add)
	e.stride("PointStride", point)
	e.get("Temp", temp)
	e.kinds(func(t *winograd.Transform) any { return t }, func(t *winograd.Transform) {
		var multipliers []float32
		for _, powers := range t.Power {
			multipliers = append(multipliers, powers...)
		}
		x := newTransformer(e, t, temp, outputWork(t), multipliers)
		e.IMUL3Q(U8(t.Points), point, stride[0])
		stride.fill(e, t.Points-1)
		channels := func(m mask) {
			e.LEAQ(Mem{Base: src, Index: at, Scale: 1}, column)
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
				operand := x.take()
				for _, by := range []struct {
					field string
					emit  func(v reg.VecPhysical)
				}{
					{"Bias", func(v reg.VecPhysical) { e.VADDPS(operand, v, v) }},
					{"Scale", func(v reg.VecPhysical) { e.VMULPS(operand, v, v) }},
				} {
					none := e.unique("none")
					e.get(by.field, pixel)
					e.TESTQ(pixel, pixel)
					e.JZ(LabelRef(none))
					e.load(Mem{Base: pixel, Index: at, Scale: 1}, m, operand)
					for _, v := range y {
						by.emit(v)
					}
					e.Label(none)
				}
				at := func(table reg.GPPhysical, k int) Mem { return Mem{Base: table, Disp: 8 * (r*t.Outputs + k)} }
				plain, stored := e.unique("plain"), e.unique("stored")
				e.TESTQ(add, add)
				e.JZ(LabelRef(plain))
				for k, v := range y {
					outside := e.unique("outside")
					e.CMPQ(at(pixels, k), U8(0))
					e.JEQ(LabelRef(outside))
					e.MOVQ(at(add, k), pixel)
					e.load(Mem{Base: pixel, Index: offset, Scale: 1}, m, operand)
					e.VADDPS(operand, v, v)
					e.MOVQ(at(pixels, k), pixel)
					e.store(v, m, Mem{Base: pixel, Index: offset, Scale: 1})
					e.Label(outside)
				}
				e.JMP(LabelRef(stored))
				e.Label(plain)
				for k, v := range y {
					outside := e.unique("outside")
					e.MOVQ(at(pixels, k), pixel)
					e.TESTQ(pixel, pixel)
					e.JZ(LabelRef(outside))
					e.store(v, m, Mem{Base: pixel, Index: offset, Scale: 1})
					e.Label(outside)
				}
				e.Label(stored)
				x.give(append(y, operand)...)
			}
		}
		tile, plain := e.unique("tile"), e.unique("plain")
		e.Label(tile)
		e.XORQ(at, at)
		e.get("From", offset)
		e.SHLQ(U8(2), offset)
		e.walk(left, channels, tail, at, offset)
		e.get("SrcStride", column)
		e.LEAQ(Mem{Base: src, Index: column, Scale: 4}, src)
		e.ADDQ(I32(8*t.Outputs*t.Outputs), pixels)
		e.TESTQ(add, add)
		e.JZ(LabelRef(plain))
		e.ADDQ(I32(8*t.Outputs*t.Outputs), add)
		e.Label(plain)
		e.DECQ(tiles)
		e.JNZ(LabelRef(tile))
		e.ret()
	})
	e.Label("end")
	e.ret()
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
	e.kinds(func(t *winograd.Transform) any { return t }, func(t *winograd.Transform) {
		multipliers := []float32{t.Zero}
		for _, c := range t.Weight {
			multipliers = append(multipliers, c...)
		}
		x := newTransformer(e, t, temp, weightsWork(t), multipliers)
		stride.fill(e, t.Points-1)
		three := reg.RBX // a row of taps
		e.IMUL3Q(U8(t.Taps), tap, three)
		vector := e.unique("vector")
		e.align(32)
		e.Label(vector)
		e.MOVQ(taps, column)
		for c := range t.Taps {
			x.weights(func(k int) reg.VecPhysical {
				v := x.take()
				a := Mem{Base: column}
				if k > 0 {
					a.Index, a.Scale = three, uint8(k)
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
