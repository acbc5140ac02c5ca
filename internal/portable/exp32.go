package portable

import "math"

// Exp32 returns eˣ in float32, to the bit as PyTorch does on a CPU with vector instructions: models are
// trained on frequencies that were computed so. It is within 1 ulp of the true value, +Inf above
// 88.72…, where it overflows, and 0 below -103.97….
//
//	x = k·log 2 + r, |r| ≤ (log 2)/2;  eˣ = 2ᵏ·(1 + r + r²·P(r))
//
// The polynomial and the order of operations are those of SLEEF's expf (Shibata and Petrogiannis 2019,
// "SLEEF: a portable vectorized library of C standard mathematical functions"; Boost license).
func Exp32(x float32) float32 {
	const (
		log2e = 1.442695040888963407359924681001892137
		ln2Hi = 0.693145751953125 // has 15 bits
		ln2Lo = 1.428606765330187045e-06

		p0 = 0.5
		p1 = 0.166666671633720397949219
		p2 = 0.0416664853692054748535156
		p3 = 0.00833336077630519866943359
		p4 = 0.00139304355252534151077271
		p5 = 0.000198527617612853646278381

		overflow  = 88.73
		underflow = -104
	)
	switch {
	case x != x:
		return x
	case x > overflow:
		return float32(math.Inf(1))
	case x < underflow:
		return 0
	}
	k := float32(math.RoundToEven(float64(float32(x * log2e))))
	r := fma32(k, -ln2Lo, fma32(k, -ln2Hi, x))
	p := fma32(p5, r, p4)
	p = fma32(p, r, p3)
	p = fma32(p, r, p2)
	p = fma32(p, r, p1)
	p = fma32(p, r, p0)
	y := 1 + fma32(float32(r*r), p, r)
	return float32(math.Ldexp(float64(y), int(k)))
}

// fma32 returns a·b + c. The product is exact in float64, so that it is the same whether or not the
// compiler fuses it with the sum.
func fma32(a, b, c float32) float32 { return float32(float64(a)*float64(b) + float64(c)) }
