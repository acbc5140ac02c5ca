package portable

import "math"

// log 2 in two parts: ln2Hi has 33 bits, so that its product with an exponent is exact.
const (
	ln2Hi = 6.93147180369123816490e-01
	ln2Lo = 1.90821492927058770002e-10
	log2e = 1.44269504088896338700e+00
)

// Exp returns eˣ: +Inf above 709.78…, where it overflows, and 0 below -745.13….
//
//	x = k·log 2 + r, |r| ≤ (log 2)/2;  eˣ = 2ᵏ·eʳ
//	eʳ = 1 + r + r·c/(2-c), c = r - r²·P(r²)
func Exp(x float64) float64 {
	const (
		p1 = 1.66666666666666657415e-01
		p2 = -2.77777777770155933842e-03
		p3 = 6.61375632143793436117e-05
		p4 = -1.65339022054652515390e-06
		p5 = 4.13813679705723846039e-08

		overflow  = 7.09782712893383973096e+02
		underflow = -7.45133219101941108420e+02
	)
	switch {
	case x != x:
		return x
	case x > overflow:
		return math.Inf(1)
	case x < underflow:
		return 0
	}
	k := math.RoundToEven(float64(x * log2e))
	hi := x - float64(k*ln2Hi)
	lo := float64(k * ln2Lo)
	r := hi - lo
	z := float64(r * r)
	p := p4 + float64(z*p5)
	p = p3 + float64(z*p)
	p = p2 + float64(z*p)
	p = p1 + float64(z*p)
	c := r - float64(z*p)
	return math.Ldexp(1-((lo-float64(r*c)/(2-c))-hi), int(k))
}
