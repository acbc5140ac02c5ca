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
