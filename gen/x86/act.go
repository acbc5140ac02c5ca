package x86

import (
	"math"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/lanewise/lanewise/gen/approx"
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
	for _, o := range [][2]reg.GPPhysical{{value, valueStride}, {add, addStride}} {
		e.TESTQ(o[0], o[0])
		e.CMOVQEQ(o[0], o[1]) // nil stays nil from row to row
	}
	e.eachAct(false, func(a *activation) {
		s.rows(a.together, func(n int, m mask) {
			x, temp := a.registers(n)
			t := temp[0]
			a.each(func(i int) { e.load(s.at(src, i), m, x[i]) })
			a.emit()
			a.run()
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
		e.ret()
	})
}

const signBit = 1 << 31

// activations are the functions in the order of kernels.Act: the temporaries that each needs, whether
// it ends in a division, how many vectors AVX2 and AVX-512 do at once, which was measured, and the constants to keep in registers
// where the exponential's are not.
var activations = []struct {
	name         string
	temps        int
	quotient     bool
	avx2, avx512 int
	emit         func(*activation)
	keep         []float32
}{
	{"identity", 3, false, 2, 4, func(*activation) {}, nil},
	{"relu", 3, false, 2, 4, (*activation).relu, nil},
	{"silu", 3, true, 2, 4, (*activation).silu, logisticUnit.constants()},
	{"quick_gelu", 3, true, 2, 4, (*activation).quickGELU, logisticQuick.constants()},
	{"gelu", 5, false, 2, 4, (*activation).gelu, []float32{approx.BellCut, approx.BiasedMagic, -0.5 * approx.Log2E, approx.BellStep, 1, 0.5}},
	{"gelu_tanh", 3, true, 2, 4, (*activation).geluTanh, append(logisticUnit.constants(), approx.GELUTanhLinear)},
	{"sigmoid", 2, true, 2, 4, (*activation).sigmoid, logisticUnit.constants()},
	{"tanh", 6, false, 2, 2, (*activation).tanh, nil},
	{"mish", 6, false, 2, 2, (*activation).mish, nil},
	{"exp", 3, false, 2, 4, (*activation).exponential, nil},
}

// An activation emits one function on a few vectors at once, whose chains then overlap. Its
// arithmetic is that of kernels/act.go, operation by operation, but for signs: negation is exact.
//
// Register plan: x and the temporaries, for together vectors of each, then as many constants as there
// is room for. AVX2 has the mask in the last register.
type activation struct {
	*emitter
	together int
	function func(*activation)
	exp      exponential
	x        []reg.VecPhysical
	temp     [6][]reg.VecPhysical
	kept     map[uint32]reg.VecPhysical
	steps    []func(i int)     // that each has taken in and run has not emitted
	spare    []reg.VecPhysical // two sets for quotients, or none
	behind   *quotients        // where the division that ends the function is left to them
	divisor  []reg.VecPhysical // of that division
}

// eachAct emits body for each function, and a jump to the one that Act names. Where behind is set, those
// that end in a division have registers to spare for quotients.
func (e *emitter) eachAct(behind bool, body func(a *activation)) {
	e.MOVBLZX(e.field("Act"), reg.EBX)
	for i, act := range activations {
		e.CMPL(reg.EBX, U8(i))
		e.JEQ(LabelRef(act.name))
	}
	e.ret() // not a function
	for _, act := range activations {
		e.Label(act.name)
		together, registers := act.avx2, e.Regs[:len(e.Regs)-1]
		if e.wide() {
			together, registers = act.avx512, e.Regs
		}
		a := &activation{emitter: e, together: together, function: act.emit, kept: map[uint32]reg.VecPhysical{}}
		free := registers[together*(1+act.temps):]
		if behind && act.quotient {
			a.spare, free = free[:2*together], free[2*together:]
		}
		if act.keep != nil {
			a.keep(act.keep, free)
		} else {
			a.exp = e.exp(free...)
		}
		body(a)
	}
}

// keep loads constants into registers while there are any.
func (a *activation) keep(constants []float32, free []reg.VecPhysical) {
	for i, c := range constants[:min(len(constants), len(free))] {
		a.VMOVUPS(a.constant(c), free[i])
		a.kept[math.Float32bits(c)] = free[i]
	}
}

// fixed is a constant as an operand: the register in which it is kept, or memory.
func (a *activation) fixed(c float32) Op {
	if r, ok := a.kept[math.Float32bits(c)]; ok {
		return r
	}
	return a.constant(c)
}

// held is a constant in a register: its own, or tmp.
func (a *activation) held(c float32, tmp reg.VecPhysical) Op {
	if r, ok := a.kept[math.Float32bits(c)]; ok {
		return r
	}
	a.VMOVUPS(a.constant(c), tmp)
	return tmp
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

// emit takes in the steps that set the vectors registers has returned to their function.
func (a *activation) emit() { a.function(a) }

// each takes in a step: f for each vector.
func (a *activation) each(f func(i int)) { a.steps = append(a.steps, f) }

// run emits the steps that were taken in, each for all vectors.
func (a *activation) run() {
	for _, step := range a.steps {
		for i := range a.x {
			step(i)
		}
	}
	a.steps = nil
}

// raise sets p = eᵛ; v and n are clobbered.
func (a *activation) raise(v, n, p []reg.VecPhysical) {
	a.run()
	a.exp.emit(v, n, p)
}

// fill sets v to a constant.
func (a *activation) fill(v []reg.VecPhysical, c float32) {
	a.each(func(i int) { a.VMOVUPS(a.constant(c), v[i]) })
}

// minus sets v = −min(|x|, tailCut), NaN where x is NaN.
func (a *activation) minus(v, tmp []reg.VecPhysical) {
	a.each(func(i int) {
		a.VMOVUPS(a.constant(-approx.TailCut), tmp[i])
		a.VORPS(a.constantBits(signBit), a.x[i], v[i])
		a.VMAXPS(v[i], tmp[i], v[i])
	})
}

// magnitude sets v = min(|x|, c), for x that are NaN something between.
func (a *activation) magnitude(c float32, v []reg.VecPhysical) {
	if a.wide() {
		const smaller = 2 | 2<<2 // magnitude, with a sign of 0
		a.each(func(i int) { a.VRANGEPS(U8(smaller), a.held(c, v[i]), a.x[i], v[i]) })
		return
	}
	a.each(func(i int) { a.VMOVUPS(a.constantBits(1<<31-1), v[i]) })
	a.each(func(i int) { a.VANDPS(a.x[i], v[i], v[i]) })
	a.each(func(i int) { a.VMINPS(a.constant(c), v[i], v[i]) })
}

// positive sets x = max(x, 0); tmp is clobbered. A maximum's second source, Go's first, comes out
// where it is NaN or both are zero.
func (a *activation) positive(tmp []reg.VecPhysical) {
	a.each(func(i int) {
		a.zero(tmp[i])
		a.VMAXPS(a.x[i], tmp[i], a.x[i])
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
		a.each(func(i int) { a.VFMADD213PS(a.fixed(c[k]), v[i], p[i]) })
	}
}

func (a *activation) relu() { a.positive(a.temp[0]) }

func (a *activation) exponential() {
	n, z := a.temp[0], a.temp[1]
	a.raise(a.x, n, z)
	a.move(z, a.x)
}

func (a *activation) move(from, to []reg.VecPhysical) {
	a.each(func(i int) { a.VMOVAPS(from[i], to[i]) })
}

func (a *activation) gelu() {
	m, w, r, p, q := a.temp[0], a.temp[1], a.temp[2], a.temp[3], a.temp[4]
	a.magnitude(approx.BellCut, m)
	a.each(func(i int) { a.VMULPS(a.fixed(-0.5*approx.Log2E), m[i], w[i]) })
	a.each(func(i int) { a.VFMADD213PS(a.fixed(approx.BiasedMagic), m[i], w[i]) })
	a.each(func(i int) { a.VSUBPS(a.fixed(approx.BiasedMagic), w[i], r[i]) })
	a.each(func(i int) { a.VMULPS(a.fixed(approx.BellStep), r[i], r[i]) })
	a.each(func(i int) { a.VFMADD231PS(m[i], m[i], r[i]) })
	// The quotient first: the polynomial then hides the divider.
	a.horner(approx.MillsNum, m, q)
	a.horner(approx.MillsDen, m, p)
	a.each(func(i int) { a.VMULPS(m[i], q[i], q[i]) })
	a.each(func(i int) { a.VDIVPS(p[i], q[i], q[i]) })
	a.horner(approx.BellPoly, r, p)
	a.each(func(i int) { a.VPSLLD(U8(23), w[i], w[i]) })
	a.each(func(i int) { a.VMULPS(p[i], w[i], w[i]) })
	a.positive(r)
	a.each(func(i int) { a.VFNMADD231PS(w[i], q[i], a.x[i]) })
}

// sign returns the sign bit alone, in tmp[i].
func (a *activation) sign(tmp []reg.VecPhysical, i int) reg.VecPhysical {
	a.VMOVUPS(a.constantBits(signBit), tmp[i])
	return tmp[i]
}

func (a *activation) tanh() {
	m, s, p, u, n, z := a.temp[0], a.temp[1], a.temp[2], a.temp[3], a.temp[4], a.temp[5]
	a.minus(m, s)
	a.each(func(i int) { a.VADDPS(m[i], m[i], u[i]) })
	a.raise(u, n, z)
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
	a.horner(approx.TanhOdd, s, p)
	a.each(func(i int) {
		a.VMULPS(m[i], s[i], s[i])
		a.VFMADD213PS(m[i], s[i], p[i])
	})
	// Where |m| < tanhSmall it is p. Then x's sign.
	a.each(func(i int) { a.VSUBPS(a.constant(approx.TanhSmall), m[i], m[i]) })
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
	a.raise(u, n, z)
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
	a.positive(n)
	a.each(func(i int) { a.VADDPS(m[i], a.x[i], a.x[i]) })
}
