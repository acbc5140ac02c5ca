package portable

import (
	"math"
	"math/bits"
)

// quarterTurns returns x·2/π, for π/4 < |x| < ∞, as the nearest integer modulo 4 and the rest, a+b
// in [-½, ½]. a has 53 bits, and a+b is within 2⁻¹²⁵ of the truth: since no float64 lies within
// 2⁻⁶² of a multiple of π/2, that is at least 63 good bits (Payne and Hanek, 1983).
func quarterTurns(x float64) (quadrant uint64, a, b float64) {
	u := math.Float64bits(x)
	m := u&(1<<52-1) | 1<<52          // |x| = m·2ᵉ,
	e := int(u>>52&0x7ff) - 1023 - 52 // e ≥ -53
	// A bit of 2/π that weighs 2²⁻ᵉ or more contributes whole turns only: the window of three words
	// begins with the bit that weighs 2¹⁻ᵉ, e+62 bits after the table's first.
	first := uint(e + 62)
	word, shift := first/64, first%64
	var window [3]uint64
	for i := range window {
		window[i] = twoOverPi[word+uint(i)]<<shift | twoOverPi[word+uint(i)+1]>>(64-shift)
	}
	// The product's upper words without what exceeds them: two bits of quadrant, then the fraction.
	carry, _ := bits.Mul64(m, window[2])
	hi, lo := bits.Mul64(m, window[1])
	lo, c := bits.Add64(lo, carry, 0)
	hi += c + m*window[0]

	quadrant = hi >> 62
	hi, lo = hi<<2|lo>>62, lo<<2
	negative := hi>>63 != 0 // a fraction of ½ or more belongs to the next quadrant
	if negative {
		quadrant++
		lo, c = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, c)
	}
	zeros := bits.LeadingZeros64(hi)
	hi = hi<<zeros | lo>>(64-zeros)
	lo <<= zeros
	a = math.Ldexp(float64(hi>>11), -53-zeros)
	b = math.Ldexp(float64(hi<<53|lo>>11), -117-zeros)
	if negative != (x < 0) {
		a, b = -a, -b
	}
	if x < 0 {
		quadrant = -quadrant
	}
	return quadrant & 3, a, b
}

// twoOverPi holds the binary digits of 2/π: a word of zeros, which is where a window of x near 1
// begins, and 1216 bits after the point. The first bit weighs 2⁶³.
var twoOverPi = [...]uint64{
	0,
	0xa2f9836e4e441529, 0xfc2757d1f534ddc0, 0xdb6295993c439041, 0xfe5163abdebbc561,
	0xb7246e3a424dd2e0, 0x06492eea09d1921c, 0xfe1deb1cb129a73e, 0xe88235f52ebb4484,
	0xe99c7026b45f7e41, 0x3991d639835339f4, 0x9c845f8bbdf9283b, 0x1ff897ffde05980f,
	0xef2f118b5a0a6d1f, 0x6d367ecf27cb09b7, 0x4f463f669e5fea2d, 0x7527bac7ebe5f17b,
	0x3d0739f78a5292ea, 0x6bfb5fb11f8d5d08, 0x56033046fc7b6bab,
}
