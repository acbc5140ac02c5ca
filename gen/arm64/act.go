package arm64

import (
	"github.com/lanewise/lanewise/gen/approx"
	"github.com/lanewise/lanewise/gen/layout"
)

// activate emits Activate: a sweep for each function.
func activate(e *emitter) {
	e.function("Activate", 0, layout.Activate, R(19), "Activate is kernels.Set.Activate; args points to a kernels.ActivateArgs.")
	src, dst, value, add := R(6), R(7), R(8), R(9)
	srcStride, dstStride, valueStride, addStride := R(10), R(11), R(12), R(13)
	s := e.newSweep()
	e.get("Src", src)
	e.get("Dst", dst)
	e.get("Value", value)
	e.get("Add", add)
	e.stride("SrcStride", srcStride)
	e.stride("DstStride", dstStride)
	e.stride("ValueStride", valueStride)
	e.stride("AddStride", addStride)
	// What is nil stays so.
	for _, o := range [][2]R{{value, valueStride}, {add, addStride}} {
		e.CMP(0, o[0])
		e.CSEL("EQ", o[0], o[1], o[1])
	}
	e.eachAct(func(a *activation) {
		s.rows(together, func(n int) {
			a.registers(n)
			x, t := a.x, a.temp[0]
			s.load(src, x)
			a.emit()
			plain, stored := e.unique("ungated"), e.unique("unadded")
			e.CBZ(value, plain)
			s.load(value, t)
			each(e.FMUL, t, x, x)
			e.label(plain)
			e.CBZ(add, stored)
			s.load(add, t)
			each(e.FADD, t, x, x)
			e.label(stored)
			s.store(x, dst)
		}, func() {
			e.ADD(srcStride, src)
			e.ADD(dstStride, dst)
			e.ADD(valueStride, value)
			e.ADD(addStride, add)
		})
	})
}

// activations are the functions in the order of kernels.Act.
var activations = []struct {
	name string
	emit func(*activation)
}{
	{"identity", func(*activation) {}},
	{"relu", (*activation).relu},
	{"silu", (*activation).silu},
	{"quick_gelu", (*activation).quickGELU},
	{"gelu", (*activation).gelu},
	{"gelu_tanh", (*activation).geluTanh},
	{"sigmoid", (*activation).sigmoid},
	{"tanh", (*activation).tanh},
	{"mish", (*activation).mish},
	{"exp", (*activation).exponential},
}

// An activation emits one function on a few vectors at once. Its arithmetic is that of
// kernels/act.go, operation by operation.
//
// Register plan: four vectors of x and seven temporaries for each. Constants come from memory, by the
// load units, which have little else to do.
type activation struct {
	*emitter
	function func(*activation)
	x        vectors
	temp     [7]vectors
}

// together is how many vectors an activation works on at once.
const together = 4

// eachAct emits body for each function, and a jump to the one that Act names.
func (e *emitter) eachAct(body func(a *activation)) {
	act := R(14)
	e.constants(tables)
	e.MOVBU(e.field("Act"), act)
	for i, a := range activations {
		e.CMP(i, act)
		e.BEQ(a.name)
	}
	e.RET() // not a function
	for _, a := range activations {
		e.label(a.name)
		body(&activation{emitter: e, function: a.emit})
	}
}

// registers says where n vectors of x go, and temporaries.
func (a *activation) registers(n int) {
	a.x = registers(0, n)
	for i := range a.temp {
		a.temp[i] = registers(V((1+i)*together), n)
	}
}

// emit sets x to its function; all temporaries are clobbered.
func (a *activation) emit() { a.function(a) }

// relu sets x = 0 where it is negative; NaN and −0 are not.
func (a *activation) relu() { a.positive(a.temp[0]) }

// positive sets x = max(x, 0); tmp is clobbered.
func (a *activation) positive(tmp vectors) {
	each2(a.FCMLT0, a.x, tmp)
	each(a.BIC, tmp, a.x, a.x)
}

func (a *activation) exponential() {
	n, z, t := a.temp[0], a.temp[1], a.temp[2]
	a.exp(a.x, n, z, t)
	each2(a.VMOV, z, a.x)
}

// magnitude sets m = min(|x|, c); tmp is clobbered.
func (a *activation) magnitude(c float32, m, tmp vectors) {
	each2(a.FABS, a.x, m)
	each(a.FMIN, a.hold(c, tmp), m, m)
}

func (a *activation) gelu() {
	m, w, r, p, q, t := a.temp[0], a.temp[1], a.temp[2], a.temp[3], a.temp[4], a.temp[5]
	a.magnitude(approx.BellCut, m, t)
	// w = magic − m²·½log2e, in whose low bits n + 127 is the integer; r = m² + n·bellStep
	each(a.FMUL, a.hold(-0.5*approx.Log2E, t), m, r)
	a.fill(approx.BiasedMagic, w)
	each(a.FMLA, m, r, w)
	each(a.FSUB, a.hold(approx.BiasedMagic, t), w, r)
	each(a.FMUL, a.hold(approx.BellStep, t), r, r)
	each(a.FMLA, m, m, r)
	// q = m·num(m)/den(m), first: the polynomial then hides the divider.
	a.horner(approx.MillsNum, m, q, t)
	a.horner(approx.MillsDen, m, p, t)
	each(a.FMUL, m, q, q)
	each(a.FDIV, p, q, q)
	a.horner(approx.BellPoly, r, p, t)
	// x = max(x, 0) − q·p·2ⁿ
	for i := range w {
		a.VSHL(23, w[i], w[i])
	}
	each(a.FMUL, p, w, w)
	a.positive(t)
	each(a.FMLS, w, q, a.x)
}

func (a *activation) tanh() {
	m, s, p, u, n, z, t := a.temp[0], a.temp[1], a.temp[2], a.temp[3], a.temp[4], a.temp[5], a.temp[6]
	a.magnitude(approx.TailCut, m, t)
	each(a.FMUL, a.hold(-2, t), m, u)
	a.exp(u, n, z, t)
	// z = 1 − 2z/(1 + z)
	one := a.hold(1, t)
	each(a.FADD, one, z, n)
	each(a.FADD, z, z, z)
	each(a.FDIV, n, z, z)
	each(a.FSUB, z, one, z)
	// p = m + m·s·P(s)
	each(a.FMUL, m, m, s)
	a.horner(approx.TanhOdd, s, p, t)
	each(a.FMUL, m, s, s)
	each2(a.VMOV, m, u)
	each(a.FMLA, s, p, u)
	// Where m < tanhSmall it is that. Then x's sign.
	each(a.FCMGT, m, a.hold(approx.TanhSmall, t), n)
	each(a.VBIT, n, u, z)
	sign := a.holdBits(1<<31, t)
	each(a.VBIT, sign, a.x, z)
	each2(a.VMOV, z, a.x)
}

func (a *activation) mish() {
	m, u, n, z, h, g, t := a.temp[0], a.temp[1], a.temp[2], a.temp[3], a.temp[4], a.temp[5], a.temp[6]
	a.magnitude(approx.TailCut, m, t)
	each2(a.FNEG, m, u)
	a.exp(u, n, z, t)
	// h = 2z and g = 1 + 2z, or z + 2 and 2 where x is negative.
	each(a.FADD, z, z, h)
	each(a.FADD, a.hold(1, t), h, g)
	each2(a.FCMLT0, a.x, u)
	two := a.hold(2, t)
	each(a.FADD, two, z, n)
	each(a.VBIT, u, n, h)
	each(a.VBIT, u, two, g)
	// x = max(x, 0) − m·n/(n + g) with n = z·h
	each(a.FMUL, h, z, n)
	each(a.FADD, n, g, g)
	each(a.FMUL, n, m, m)
	each(a.FDIV, g, m, m)
	a.positive(n)
	each(a.FSUB, m, a.x, a.x)
}
