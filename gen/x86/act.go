package x86

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/lanewise/lanewise/gen/layout"
)

// activate emits Activate: a sweep for each function.
func activate(e *emitter) {
	e.function("Activate", layout.Activate, "Activate is kernels.Set.Activate; args points to a kernels.ActivateArgs.")
	src, dst, value, add := reg.RSI, reg.RDI, reg.R8, reg.R9
	srcStride, dstStride, valueStride, addStride := reg.R12, reg.R13, reg.R14, reg.R15
	s := e.newSweep(e.tailMask())
	e.get("Src", src)
	e.get("Dst", dst)
	e.get("Value", value)
	e.get("Add", add)
	e.stride("SrcStride", srcStride)
	e.stride("DstStride", dstStride)
	e.stride("ValueStride", valueStride)
	e.stride("AddStride", addStride)
	e.eachAct(func(a *activation) {
		s.rows(a.together, func(n int, m mask) {
			x, temp := a.registers(n)
			t := temp[0]
			for i := range x {
				e.load(s.at(src, i), m, x[i])
			}
			a.emit()
			plain, stored := e.unique("ungated"), e.unique("unadded")
			e.TESTQ(value, value)
			e.JZ(LabelRef(plain))
			for i := range x {
				e.load(s.at(value, i), m, t[i])
				e.VMULPS(t[i], x[i], x[i])
			}
			e.Label(plain)
			e.TESTQ(add, add)
			e.JZ(LabelRef(stored))
			for i := range x {
				e.load(s.at(add, i), m, t[i])
				e.VADDPS(t[i], x[i], x[i])
			}
			e.Label(stored)
			for i := range x {
				e.store(x[i], m, s.at(dst, i))
			}
		}, func() {
			e.ADDQ(srcStride, src)
			e.ADDQ(dstStride, dst)
			e.ADDQ(valueStride, value)
			e.ADDQ(addStride, add)
		})
	})
}

// The constants of kernels/act.go.
const (
	logisticCut    = -expMax
	tailCut        = -expMin
	quickScale     = float32(1.702)
	geluTanhLinear = float32(1.5957691216057308)
	geluTanhCubic  = float32(0.07135481282820226)
	tanhSmall      = 0.625
	signBit        = 1 << 31
)

var (
	millsNum = []float32{0.5, 0x1.c019c0p-2, 0x1.7627e6p-3, 0x1.4b4ed2p-5, 0x1.0bc314p-8}
	millsDen = []float32{1, 0x1.ac4f0ep+0, 0x1.334768p+0, 0x1.df440cp-2, 0x1.9f4286p-4, 0x1.4f95fep-7}
	tanhOdd  = []float32{-0x1.555532p-2, 0x1.1106fep-3, -0x1.b83792p-5, 0x1.520a3ap-6, -0x1.756d14p-8}
)

// activations are the functions in the order of kernels.Act, with the temporaries they need.
var activations = []struct {
	name  string
	temps int
	emit  func(*activation)
}{
	{"identity", 3, func(*activation) {}},
	{"relu", 3, (*activation).relu},
	{"silu", 3, (*activation).silu},
	{"quick_gelu", 3, (*activation).quickGELU},
	{"gelu", 6, (*activation).gelu},
	{"gelu_tanh", 3, (*activation).geluTanh},
	{"sigmoid", 3, (*activation).sigmoid},
	{"tanh", 6, (*activation).tanh},
	{"mish", 6, (*activation).mish},
	{"exp", 3, (*activation).exponential},
}

// An activation emits one function on a few vectors at once, whose chains then overlap. Its
// arithmetic is that of kernels/act.go, operation by operation, but for signs: tails work with −|x|,
// and negation is exact.
//
// Register plan: x and the temporaries for together vectors of each; AVX-512 has room for the
// constants of the exponential, and the mask is elsewhere.
//
//	AVX-512: 4·(1 + 3) or 2·(1 + 6) of 16 + 12
//	AVX2:    2·(1 + 3) or 2·(1 + 6) of 15
type activation struct {
	*emitter
	together int
	function func(*activation)
	exp      exponential
	x        []reg.VecPhysical
	temp     [6][]reg.VecPhysical
}

// eachAct emits body for each function, and a jump to the one that Act names.
func (e *emitter) eachAct(body func(a *activation)) {
	vectors := 15
	var held []reg.VecPhysical
	if e.wide() {
		vectors, held = 16, e.Regs[16:]
	}
	exp := e.exp(held...)
	e.MOVBLZX(e.field("Act"), reg.EBX)
	for i, act := range activations {
		e.CMPL(reg.EBX, U8(i))
		e.JEQ(LabelRef(act.name))
	}
	e.ret() // not a function
	for _, act := range activations {
		e.Label(act.name)
		together := vectors / (1 + act.temps) / 2 * 2
		body(&activation{emitter: e, together: together, function: act.emit, exp: exp})
	}
}

// registers returns where n vectors of x go, and temporaries.
func (a *activation) registers(n int) (x []reg.VecPhysical, temp [6][]reg.VecPhysical) {
	set := func(i int) []reg.VecPhysical {
		if (i+1)*a.together > len(a.Regs) {
			return nil
		}
		return a.Regs[i*a.together:][:n]
	}
	a.x = set(0)
	for i := range a.temp {
		a.temp[i] = set(1 + i)
	}
	return a.x, a.temp
}

// emit sets the vectors that registers has returned to their function.
func (a *activation) emit() { a.function(a) }

func (a *activation) each(f func(i int)) {
	for i := range a.x {
		f(i)
	}
}

// fill sets v to a constant.
func (a *activation) fill(v []reg.VecPhysical, c float32) {
	a.each(func(i int) { a.VMOVUPS(a.constant(c), v[i]) })
}

// minus sets v = −min(|x|, tailCut), NaN where x is NaN.
func (a *activation) minus(v, tmp []reg.VecPhysical) {
	a.each(func(i int) {
		a.VMOVUPS(a.constant(-tailCut), tmp[i])
		a.VORPS(a.constantBits(signBit), a.x[i], v[i])
		a.VMAXPS(v[i], tmp[i], v[i])
	})
}

// reluPlus sets x = max(x, 0) + v; tmp is clobbered. A maximum's second source, Go's first, comes
// out where it is NaN or both are zero.
func (a *activation) reluPlus(v, tmp []reg.VecPhysical) {
	a.each(func(i int) {
		a.zero(tmp[i])
		a.VMAXPS(a.x[i], tmp[i], a.x[i])
		a.VADDPS(v[i], a.x[i], a.x[i])
	})
}

// choose sets v = u where x is negative (or sign's sign bit is set); sign and u are clobbered.
func (a *activation) choose(v, u, sign []reg.VecPhysical) {
	a.each(func(i int) {
		a.VPSRAD(U8(31), sign[i], sign[i])
		a.VXORPS(v[i], u[i], u[i])
		a.VANDPS(sign[i], u[i], u[i])
		a.VXORPS(u[i], v[i], v[i])
	})
}

// horner sets p = Σ c[k]·vᵏ.
func (a *activation) horner(c []float32, v, p []reg.VecPhysical) {
	top := len(c) - 1
	a.fill(p, c[top])
	for k := top - 1; k >= 0; k-- {
		a.each(func(i int) { a.VFMADD213PS(a.constant(c[k]), v[i], p[i]) })
	}
}

func (a *activation) relu() {
	t := a.temp[0]
	a.each(func(i int) {
		a.zero(t[i])
		a.VMAXPS(a.x[i], t[i], a.x[i])
	})
}

func (a *activation) exponential() {
	n, z := a.temp[0], a.temp[1]
	a.exp.emit(a.x, n, z)
	a.move(z, a.x)
}

func (a *activation) move(from, to []reg.VecPhysical) {
	a.each(func(i int) { a.VMOVAPS(from[i], to[i]) })
}

// cut sets x = max(x, logisticCut), NaN where x is NaN.
func (a *activation) cut(tmp []reg.VecPhysical) {
	a.fill(tmp, logisticCut)
	a.each(func(i int) { a.VMAXPS(a.x[i], tmp[i], a.x[i]) })
}

// negate sets v = −u.
func (a *activation) negate(u, v []reg.VecPhysical) {
	a.each(func(i int) { a.VXORPS(a.constantBits(signBit), u[i], v[i]) })
}

// over sets x = x/(1 + e^v) for v = −u that lies between the cuts of the exponential.
func (a *activation) over(v, n, z []reg.VecPhysical) {
	a.exp.between(v, n, z)
	a.each(func(i int) {
		a.VADDPS(a.constant(1), z[i], z[i])
		a.VDIVPS(z[i], a.x[i], a.x[i])
	})
}

func (a *activation) silu() {
	v, n, z := a.temp[0], a.temp[1], a.temp[2]
	a.cut(v)
	a.negate(a.x, v)
	a.exp.cutLow(v, n)
	a.over(v, n, z)
}

func (a *activation) quickGELU() {
	v, n, z := a.temp[0], a.temp[1], a.temp[2]
	a.cut(v)
	a.each(func(i int) { a.VMULPS(a.constant(-quickScale), a.x[i], v[i]) })
	a.exp.cutLow(v, n)
	a.exp.cutHigh(v, n)
	a.over(v, n, z)
}

func (a *activation) geluTanh() {
	v, n, z := a.temp[0], a.temp[1], a.temp[2]
	a.cut(v)
	a.each(func(i int) { a.VMULPS(a.x[i], a.x[i], n[i]) })
	a.fill(v, -geluTanhCubic)
	a.fill(z, -geluTanhLinear)
	a.each(func(i int) { a.VFMADD213PS(z[i], n[i], v[i]) })
	a.each(func(i int) { a.VMULPS(a.x[i], v[i], v[i]) })
	a.exp.cutLow(v, n)
	a.exp.cutHigh(v, n)
	a.over(v, n, z)
}

func (a *activation) gelu() {
	m, low, s, n, z, den := a.temp[0], a.temp[1], a.temp[2], a.temp[3], a.temp[4], a.temp[5]
	a.minus(m, s)
	a.each(func(i int) {
		a.VMULPS(m[i], m[i], s[i])
		a.VMOVAPS(s[i], low[i])
		a.VFMSUB231PS(m[i], m[i], low[i]) // low = m·m − s
		a.VMULPS(a.constant(-0.5), low[i], low[i])
		a.VMULPS(a.constant(-0.5), s[i], s[i])
	})
	a.exp.emit(s, n, z)
	a.each(func(i int) { a.VFMADD231PS(z[i], low[i], z[i]) })
	// With m negative, so is the result.
	a.each(func(i int) {
		a.VMULPS(m[i], z[i], z[i])
		a.VANDNPS(m[i], a.sign(n, i), m[i]) // |m|
	})
	a.horner(millsNum, m, s)
	a.horner(millsDen, m, den)
	a.each(func(i int) {
		a.VMULPS(s[i], z[i], z[i])
		a.VDIVPS(den[i], z[i], z[i])
	})
	a.reluPlus(z, n)
}

// sign returns the sign bit alone, in tmp[i].
func (a *activation) sign(tmp []reg.VecPhysical, i int) reg.VecPhysical {
	a.VMOVUPS(a.constantBits(signBit), tmp[i])
	return tmp[i]
}

func (a *activation) sigmoid() {
	v, n, z := a.temp[0], a.temp[1], a.temp[2]
	a.negate(a.x, v)
	a.fill(a.x, 1)
	a.exp.cutLow(v, n)
	a.exp.cutHigh(v, n)
	a.over(v, n, z)
}

func (a *activation) tanh() {
	m, s, p, u, n, z := a.temp[0], a.temp[1], a.temp[2], a.temp[3], a.temp[4], a.temp[5]
	a.minus(m, s)
	a.each(func(i int) { a.VADDPS(m[i], m[i], u[i]) })
	a.exp.emit(u, n, z)
	// z = 1 − 2z/(1 + z)
	a.fill(u, 1)
	a.each(func(i int) {
		a.VADDPS(u[i], z[i], n[i])
		a.VADDPS(z[i], z[i], z[i])
		a.VDIVPS(n[i], z[i], z[i])
		a.VSUBPS(z[i], u[i], z[i])
	})
	// p = |m| + |m|·s·P(s)
	a.each(func(i int) {
		a.VMULPS(m[i], m[i], s[i])
		a.VANDNPS(m[i], a.sign(n, i), m[i])
	})
	a.horner(tanhOdd, s, p)
	a.each(func(i int) {
		a.VMULPS(m[i], s[i], s[i])
		a.VFMADD213PS(m[i], s[i], p[i])
	})
	// Where |m| < tanhSmall it is p. Then x's sign.
	a.each(func(i int) { a.VSUBPS(a.constant(tanhSmall), m[i], m[i]) })
	a.choose(z, p, m)
	a.each(func(i int) {
		a.VANDPS(a.constantBits(signBit), a.x[i], a.x[i])
		a.VORPS(z[i], a.x[i], a.x[i])
	})
}

func (a *activation) mish() {
	m, u, n, z, h, g := a.temp[0], a.temp[1], a.temp[2], a.temp[3], a.temp[4], a.temp[5]
	a.minus(m, u)
	a.move(m, u)
	a.exp.emit(u, n, z)
	// h = 2z and g = 1 + 2z, or z + 2 and 2 where x is negative.
	a.fill(n, 2)
	a.each(func(i int) {
		a.VADDPS(z[i], z[i], h[i])
		a.VADDPS(a.constant(1), h[i], g[i])
		a.VMOVAPS(a.x[i], u[i])
	})
	a.choose(g, n, u)
	a.each(func(i int) {
		a.VADDPS(a.constant(2), z[i], n[i])
		a.VMOVAPS(a.x[i], u[i])
	})
	a.choose(h, n, u)
	// x = max(x, 0) + m·n/(n + g) with n = z·h
	a.each(func(i int) {
		a.VMULPS(h[i], z[i], n[i])
		a.VADDPS(n[i], g[i], g[i])
		a.VMULPS(n[i], m[i], m[i])
		a.VDIVPS(g[i], m[i], m[i])
	})
	a.reluPlus(m, n)
}
