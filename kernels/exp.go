package kernels

import "math"

// The exponential core that every kernel with an exponential shares, in the exact order of
// operations that all makers keep (each line one float32 operation, rounded to nearest even; fma
// is fused):
//
//	exp2(x):                               exp(x):
//	x = min(max(x, −151), 129)             x = min(max(x, −104), 89)
//	n = (x + magic) − magic                n = fma(x, log2e, magic) − magic
//	r = x − n                              r = fma(−n, ln2lo, fma(−n, ln2hi, x))
//	p = c[6]                               p = c[6]
//	p = fma(p, r, c[k])  k = 5 … 0         p = fma(p, r, c[k])  k = 5 … 0
//	return p·2ⁿ, rounded once              return p·2ⁿ, rounded once
//
// magic is 1.5·2²³, beside which no bits below the unit are left: n is the nearest integer, ties to
// even. Both clamps keep NaN. Over all float32 values
// exp2 is within 0.88 and exp within 0.90 units of the last place, subnormal results included;
// exp(−Inf) is 0, exp(+Inf) is +Inf, and NaN stays NaN. The polynomials are minimax in relative
// error on |r| ≤ ½ and |r| ≤ ½·ln 2 with c[0] (and exp's c[1]) held at 1 and the coefficients rounded
// to float32 one after the other; they are off by 2⁻²⁸, so that one degree less would cost a unit
// and one more buy nothing.

const (
	exp2Min, exp2Max = -151, 129 // 2^−151 rounds to 0, 2^129 to +Inf
	expMin, expMax   = -104, 89  // so do e^−104 and e^89
	magic            = 3 << 22
	log2e            = float32(math.Log2E)
	ln2hi            = float32(0x1.62e43p-1)   // ln 2 in 24 bits: n·ln2hi taken from x is exact
	ln2lo            = float32(-0x1.05c61p-29) // what is left of it
)

var (
	exp2Poly = [7]float32{1, 0x1.62e43p-1, 0x1.ebfbdcp-3, 0x1.c6af7ap-5, 0x1.3b2dd2p-7, 0x1.5f0946p-10, 0x1.417a5cp-13}
	expPoly  = [7]float32{1, 1, 0x1.fffffcp-2, 0x1.555492p-3, 0x1.5558acp-5, 0x1.12397ap-7, 0x1.6a5128p-10}
)

// exp2 returns 2ˣ.
func exp2(x float32) float32 {
	if x < exp2Min {
		x = exp2Min
	}
	if x > exp2Max {
		x = exp2Max
	}
	n := float32(x+magic) - magic
	return scale2(horner(&exp2Poly, x-n), n)
}

// exp returns eˣ.
func exp(x float32) float32 {
	if x < expMin {
		x = expMin
	}
	if x > expMax {
		x = expMax
	}
	n := fma(x, log2e, magic) - magic
	return scale2(horner(&expPoly, fma(-n, ln2lo, fma(-n, ln2hi, x))), n)
}

// horner returns Σ c[k]·rᵏ.
func horner(c *[7]float32, r float32) float32 {
	p := c[6]
	for k := 5; k >= 0; k-- {
		p = fma(p, r, c[k])
	}
	return p
}

// scale2 returns p·2ⁿ rounded once, for p in [½, 2) and −151 ≤ n ≤ 129: times 2^⌊n/2⌋ is exact, so
// that only the second factor rounds, where the result is subnormal or overflows.
func scale2(p, n float32) float32 {
	i := int32(n)
	half := i >> 1
	return p * power2(half) * power2(i-half)
}

// power2 returns 2ⁿ for −126 ≤ n ≤ 127.
func power2(n int32) float32 { return math.Float32frombits(uint32(n+127) << 23) }
