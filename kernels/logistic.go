package kernels

import "math"

// A logistic is the function x ↦ 1/(1 + e^−ρx) for a rate ρ, in the exact order of operations that
// all makers keep (each a float32 operation, rounded to nearest even; fma is fused). For x ≥ low,
//
//	v = min(x, high)
//	w = fma(−v, log2e, magic + 127)       its low bits are n + 127 with n = ⌊−ρv/ln 2⌉
//	n = w − (magic + 127)
//	r = fma(−n, ln2, −v)                  −v = n·ln 2/ρ + r
//	p = c[6]; p = fma(p, r, c[k])         k = 5 … 0; e^ρr
//	d = fma(p, 2ⁿ, 1)                     2ⁿ has the bits of w, shifted left by 23
//
// and the result is y/d for a y that is 1 or x. At low n is 128, whose bits are +Inf: there the
// result is 0. At high n is −127, whose bits are 0.
//
// One constant for ln 2/ρ is enough: what it lacks grows with |x|, and matters nowhere but where
// e^−ρx is large.
type logistic struct {
	log2e     float32    // ρ/ln 2
	ln2       float32    // ln 2/ρ
	poly      [7]float32 // of e^ρr for |r| ≤ ½·ln 2/ρ; within 2⁻²⁸, and fitted as that of exp is
	low, high float32
}

var (
	logisticUnit  = logistic{log2e, ln2hi, expPoly, -89, 88}
	logisticQuick = logistic{float32(1.702 * math.Log2E), 0x1.a10754p-2, [7]float32{1, 0x1.b3b646p+0,
		0x1.72ca76p+0, 0x1.a4b83p-1, 0x1.660cdep-2, 0x1.e9b3fp-4, 0x1.13431ep-5}, -52.2, 51.5}
)

// divide returns y/(1 + e^−ρx) for x ≥ low or NaN.
func (l *logistic) divide(y, x float32) float32 {
	v := atMost(x, l.high)
	w := fma(-v, l.log2e, magic+bias)
	n := w - (magic + bias)
	p := horner(&l.poly, fma(-n, l.ln2, -v))
	return y / fma(p, biased2(w), 1)
}

// sigmoid is within 1.6 ulp for positive x, and 2.4 + 0.05·|x| ulp for others; below 4.2e−39 it is 0.
func sigmoid(x float32) float32 {
	return logisticUnit.divide(1, atLeast(x, logisticUnit.low))
}

// silu is within 1.6 ulp for positive x, and 2.4 + 0.05·|x| ulp for others.
func silu(x float32) float32 {
	x = atLeast(x, logisticUnit.low)
	return logisticUnit.divide(x, x)
}

// quickGELU is within 1.6 ulp for positive x, and 2.4 + 0.32·|x| ulp for others.
func quickGELU(x float32) float32 {
	x = atLeast(x, logisticQuick.low)
	return logisticQuick.divide(x, x)
}

// 2√(2/π) and 0.044715 times that.
const (
	geluTanhLinear = float32(1.5957691216057308)
	geluTanhCubic  = float32(0.07135481282820226)
)

// geluTanh is x/(1 + e^−u) with u = 2√(2/π)(x + 0.044715x³); within 1.9 ulp for positive x, and for
// others within 2.4 + 2.7·|u| ulp, since e^−u is as sensitive as that to the last place of u.
func geluTanh(x float32) float32 {
	x = atLeast(x, logisticUnit.low)
	u := float32(x * fma(float32(x*x), geluTanhCubic, geluTanhLinear))
	return logisticUnit.divide(x, atLeast(u, logisticUnit.low))
}

// atLeast returns max(x, c), and atMost min(x, c); both keep NaN.
func atLeast(x, c float32) float32 {
	if x < c {
		return c
	}
	return x
}

func atMost(x, c float32) float32 {
	if x > c {
		return c
	}
	return x
}

// bias is that of the exponent. biased2 returns 2ⁿ for w = n + bias + magic and −126 ≤ n ≤ 127, 0
// for n = −127 and +Inf for n = 128.
const bias = 127

func biased2(w float32) float32 { return math.Float32frombits(math.Float32bits(w) << 23) }
