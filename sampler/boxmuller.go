package sampler

import "math"

// Box and Muller's transform in float32, with the rounding of PyTorch's AVX2 code: the
// polynomials of Cephes' logf and sinf (Moshier, 1992), and each sum of a product fused as the
// compiler that builds PyTorch fuses it, which decides the last bit. fma is that operation done
// exactly, so the bits do not depend on the machine.

// boxMuller turns 16 uniform values of [0, 1) into 16 normal ones: for i < 8
//
//	r = √(-2·log(1-v[i])), θ = 2π·v[i+8];  v[i] = r·cos θ, v[i+8] = r·sin θ
func boxMuller(v []float32) {
	v = v[:16]
	for i := range 8 {
		r := float32(math.Sqrt(float64(-2 * log32(1-v[i]))))
		sin, cos := sincos32(2 * math.Pi * v[i+8])
		v[i] = float32(r*cos) + 0 // a zero is positive
		v[i+8] = float32(r*sin) + 0
	}
}

// log32 returns the logarithm of x, a normal number.
func log32(x float32) float32 {
	m, exponent := math.Frexp(float64(x))
	f, e := float32(m), float32(exponent)
	if f < math.Sqrt2/2 {
		f += f
		e--
	}
	f--
	z := f * f
	p := fma(7.0376836292e-2, f, -1.1514610310e-1)
	p = fma(p, f, 1.1676998740e-1)
	p = fma(p, f, -1.2420140846e-1)
	p = fma(p, f, 1.4249322787e-1)
	p = fma(p, f, -1.6668057665e-1)
	p = fma(p, f, 2.0000714765e-1)
	p = fma(p, f, -2.4999993993e-1)
	p = fma(p, f, 3.3333331174e-1)
	p *= f
	p = fma(p, z, float32(e*-2.12194440e-4))
	p = fma(z, -0.5, p)
	return fma(e, 0.693359375, f+p)
}

// sincos32 returns the sine and cosine of x, 0 ≤ x ≤ 2π.
func sincos32(x float32) (sin, cos float32) {
	octant := (int(x*(4/math.Pi)) + 1) &^ 1 // rounded up to an even one: |x - octant·π/4| ≤ π/4
	y := float32(octant)
	x = fma(y, -0.78515625, x) // π/4 in three parts
	x = fma(y, -2.4187564849853515625e-4, x)
	x = fma(y, -3.77489497744594108e-8, x)

	z := x * x
	c := fma(2.443315711809948e-5, z, -1.388731625493765e-3)
	c = fma(c, z, 4.166664568298827e-2)
	c *= z
	c = fma(c, z, -0.5*z) + 1
	s := fma(-1.9515295891e-4, z, 8.3321608736e-3)
	s = fma(s, z, -1.6666654611e-1)
	s *= z
	s = fma(s, x, x)

	if octant&2 != 0 {
		s, c = c, -s
	}
	if octant&4 != 0 {
		s, c = -s, -c
	}
	return s, c
}

// fma returns a·b + c rounded once. The product of two float32 is exact in float64; its sum with
// c is rounded to odd there (a lost remainder sets the last bit), so that rounding it again to
// float32 is rounding the exact value (Boldo and Melquiond, 2008).
func fma(a, b, c float32) float32 {
	p, q := float64(float64(a)*float64(b)), float64(c)
	sum := p + q
	d := sum - p
	rest := (p - (sum - d)) + (q - d)
	if u := math.Float64bits(sum); rest != 0 && u&1 == 0 {
		if (rest > 0) == (sum > 0) {
			u++
		} else {
			u--
		}
		sum = math.Float64frombits(u)
	}
	return float32(sum)
}
