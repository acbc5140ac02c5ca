package x86

import (
	"math"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/lanewise/lanewise/gen/approx"
)

// An exponential emits exp or exp2 on several vectors at once, whose chains then overlap. Its
// arithmetic is that of kernels/exp.go, operation by operation.
type exponential struct {
	*emitter
	low, high, log2e, ln2hi, ln2lo Op // each a register or memory; those that are not needed nil
	poly                           []Op
}

// exp prepares eˣ for any x. As many of its twelve constants as there are registers are loaded into
// them; the others stay in memory.
func (e *emitter) exp(registers ...reg.VecPhysical) exponential {
	hold := e.holder(registers)
	x := exponential{emitter: e}
	x.low, x.high = hold(approx.ExpMin), hold(approx.ExpMax)
	x.log2e, x.ln2hi, x.ln2lo = hold(approx.Log2E), hold(approx.Ln2Hi), hold(approx.Ln2Lo)
	for _, c := range approx.ExpPoly {
		x.poly = append(x.poly, hold(c))
	}
	return x
}

// exp2Low is where exp2 cuts what is low on AVX2: scale's factor 2^(n+64) then has the exponent bits 0 and is
// itself 0. Were it as large as kernels/exp.go has it, for which 2ˣ rounds to 0 as well, each multiplication with
// such a result would take a hundred cycles and more, as it does on Intel's cores where a product underflows: keys that
// a mask takes out would halve the speed of attention.
const exp2Low = -127 - 64

// exp2 prepares 2ˣ for x ≤ 0 or NaN, with seven constants, or eight for AVX2: AVX-512 reduces and scales
// by arguments of any size.
func (e *emitter) exp2(registers ...reg.VecPhysical) exponential {
	hold := e.holder(registers)
	x := exponential{emitter: e}
	if !e.wide() {
		x.low = hold(exp2Low)
	}
	for _, c := range approx.Exp2Poly {
		x.poly = append(x.poly, hold(c))
	}
	return x
}

// holder loads constants into registers while there are any, and leaves the rest in memory.
func (e *emitter) holder(registers []reg.VecPhysical) func(v float32) Op {
	return func(v float32) Op {
		m := e.constant(v)
		if len(registers) == 0 {
			return m
		}
		r := registers[0]
		registers = registers[1:]
		e.VMOVUPS(m, r)
		return r
	}
}

// emit sets p[i] to the exponential of v[i]; v and n are clobbered.
func (x exponential) emit(v, n, p []reg.VecPhysical) {
	if x.low != nil {
		x.cutLow(v, n)
	}
	if x.high != nil {
		x.cutHigh(v, n)
	}
	x.between(v, n, p)
}

// cutLow sets v = max(v, low), and cutHigh v = min(v, high). The second source of a minimum or
// maximum, Go's first, is what comes out where there is a NaN.
func (x exponential) cutLow(v, tmp []reg.VecPhysical) {
	for i := range v {
		x.VMAXPS(v[i], x.register(x.low, tmp[i]), v[i])
	}
}

func (x exponential) cutHigh(v, tmp []reg.VecPhysical) {
	for i := range v {
		x.VMINPS(v[i], x.register(x.high, tmp[i]), v[i])
	}
}

// between is emit for v that are known to lie between low and high.
func (x exponential) between(v, n, p []reg.VecPhysical) {
	if x.wide() && x.log2e == nil {
		// r, which is 0 where v is infinite, and v − r, the integer.
		for i := range v {
			x.VREDUCEPS(U8(0), v[i], n[i])
			x.VSUBPS(n[i], v[i], v[i])
		}
		x.horner(n, p)
		x.scale(n, v, p)
		return
	}
	// n = v or v·log2e, rounded: by the way of magic, in which AVX2 leaves the low bits that are
	// the integer, having the rounded value in p, still free.
	for i := range v {
		switch {
		case x.log2e != nil:
			x.VMOVUPS(x.constant(approx.RoundMagic), p[i])
			x.VMOVAPS(p[i], n[i])
			x.VFMADD231PS(x.log2e, v[i], n[i])
		default:
			x.VMOVUPS(x.constant(approx.RoundMagic), p[i])
			x.VADDPS(v[i], p[i], n[i])
		}
		if x.wide() {
			x.VSUBPS(p[i], n[i], n[i])
		} else {
			x.VSUBPS(p[i], n[i], p[i])
		}
	}
	// v = r
	rounded := n
	if !x.wide() {
		rounded = p
	}
	for i := range v {
		if x.ln2hi == nil {
			x.VSUBPS(rounded[i], v[i], v[i])
		} else {
			x.VFNMADD231PS(x.ln2hi, rounded[i], v[i])
			x.VFNMADD231PS(x.ln2lo, rounded[i], v[i])
		}
	}
	x.horner(v, p)
	x.scale(v, n, p)
}

// horner sets p = Σ c[k]·rᵏ.
func (x exponential) horner(r, p []reg.VecPhysical) {
	top := len(x.poly) - 1
	for i := range r {
		x.VMOVUPS(x.poly[top], p[i])
	}
	for k := top - 1; k >= 0; k-- {
		for i := range r {
			x.VFMADD213PS(x.poly[k], r[i], p[i])
		}
	}
}

// register returns a constant in a register: its own, or tmp.
func (x exponential) register(c Op, tmp reg.VecPhysical) Op {
	if r, ok := c.(reg.Register); ok {
		return r
	}
	x.VMOVUPS(c, tmp)
	return tmp
}

// scale multiplies p by 2ⁿ, rounding once; v is free.
func (x exponential) scale(v, n, p []reg.VecPhysical) {
	switch {
	case x.wide():
		for i := range p {
			x.VSCALEFPS(n[i], p[i], p[i])
		}
	case x.high == nil:
		// n ≤ 0: 2^(n+64) is a float32 for every n, or 0, and the product exact; 2⁻⁶⁴ then rounds.
		for i := range p {
			x.VPSLLD(U8(23), n[i], n[i])
			x.VPADDD(x.constantBits((127+64)<<23), n[i], n[i])
			x.VMULPS(n[i], p[i], p[i])
			x.VMULPS(x.constant(0x1p-64), p[i], p[i])
		}
	default:
		// 2^⌊n/2⌋, exact, then 2^(n−⌊n/2⌋).
		for i := range p {
			x.VPSUBD(x.constantBits(math.Float32bits(approx.RoundMagic)), n[i], n[i])
			x.VPSRAD(U8(1), n[i], v[i])
			x.VPSUBD(v[i], n[i], n[i])
			for _, half := range []reg.VecPhysical{v[i], n[i]} {
				x.VPSLLD(U8(23), half, half)
				x.VPADDD(x.constantBits(127<<23), half, half)
				x.VMULPS(half, p[i], p[i])
			}
		}
	}
}
