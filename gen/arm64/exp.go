package arm64

import "math"

// The constants of kernels/exp.go.
const (
	expMin, expMax = -104, 89
	log2e          = float32(math.Log2E)
	ln2hi, ln2lo   = float32(0x1.62e43p-1), float32(-0x1.05c61p-29)
	roundMagic     = float32(3 << 22)
)

var expPoly = []float32{1, 1, 0x1.fffffcp-2, 0x1.555492p-3, 0x1.5558acp-5, 0x1.12397ap-7, 0x1.6a5128p-10}

// exp sets p to the exponential of v; v, n and t are clobbered. Its arithmetic is that of
// kernels/exp.go, operation by operation.
func (e *emitter) exp(v, n, p, t vectors) {
	each(e.FMAX, e.hold(expMin, t), v, v)
	each(e.FMIN, e.hold(expMax, t), v, v)
	// p = v·log2e, rounded by the way of magic, in whose low bits n is the integer.
	e.fill(roundMagic, n)
	each(e.FMLA, e.hold(log2e, t), v, n)
	magic := e.hold(roundMagic, t)
	each(e.FSUB, magic, n, p)
	each(e.VSUB, magic, n, n)
	// v = r
	each(e.FMLS, e.hold(ln2hi, t), p, v)
	each(e.FMLS, e.hold(ln2lo, t), p, v)
	e.horner(expPoly, v, p, t)
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
