package arm64

import "github.com/lanewise/lanewise/gen/approx"

// exp sets p to the exponential of v; v, n and t are clobbered. Its arithmetic is that of
// kernels/exp.go, operation by operation.
func (e *emitter) exp(v, n, p, t vectors) {
	each(e.FMAX, e.hold(approx.ExpMin, t), v, v)
	each(e.FMIN, e.hold(approx.ExpMax, t), v, v)
	// p = v·log2e, rounded by the way of magic, in whose low bits n is the integer.
	e.fill(approx.RoundMagic, n)
	each(e.FMLA, e.hold(approx.Log2E, t), v, n)
	magic := e.hold(approx.RoundMagic, t)
	each(e.FSUB, magic, n, p)
	each(e.VSUB, magic, n, n)
	// v = r
	each(e.FMLS, e.hold(approx.Ln2Hi, t), p, v)
	each(e.FMLS, e.hold(approx.Ln2Lo, t), p, v)
	e.horner(approx.ExpPoly, v, p, t)
	// p·2ⁿ, rounded once: by 2^⌊n/2⌋, exact, then 2^(n−⌊n/2⌋).
	for i := range v {
		e.SSHR(1, n[i], v[i])
	}
	each(e.VSUB, v, n, n)
	bias := e.holdBits(127<<23, t)
	for _, half := range []vectors{v, n} {
		for i := range half {
			e.VSHL(23, half[i], half[i])
		}
		each(e.VADD, bias, half, half)
		each(e.FMUL, half, p, p)
	}
}

// An exp2 emits 2ˣ for x ≤ 0 or NaN. Its arithmetic is that of kernels/exp.go, operation by operation, but that
// n has exp2Bias added to it from the first, an even number, so that ties are rounded as they are without; and
// that 2ⁿ is 2^(n+63), by which p is multiplied exactly for every n ≥ −151, times 2⁻⁶³, which rounds. Two of
// its constants are in registers.
type exp2 struct {
	*emitter
	magic, top V // what rounds n, and the polynomial's first coefficient
}

// exp2Bias is what makes n the exponent's field of 2^(n+63).
const exp2Bias = 127 + 63

// newExp2 loads the constants.
func (e *emitter) newExp2(magic, top V) exp2 {
	e.FMOVQ(e.constant(tables, approx.RoundMagic+exp2Bias), magic)
	e.FMOVQ(e.constant(tables, approx.Exp2Poly[len(approx.Exp2Poly)-1]), top)
	return exp2{e, magic, top}
}

// emit sets p to 2^v; v, n and t are clobbered.
func (x exp2) emit(v, n, p, t vectors) {
	magic, top := all(x.magic, len(v)), all(x.top, len(v))
	each(x.FMAX, x.hold(approx.Exp2Min, t), v, v)
	// n = v, rounded by the way of magic, in whose low bits it is the integer; v = r
	each(x.FADD, magic, v, n)
	each(x.FSUB, magic, n, p)
	each(x.FSUB, p, v, v)
	x.hornerFrom(top, approx.Exp2Poly[:len(approx.Exp2Poly)-1], v, p, t)
	for i := range n {
		x.VSHL(23, n[i], n[i])
	}
	each(x.FMUL, n, p, p)
	each(x.FMUL, x.hold(0x1p-63, t), p, p)
}
