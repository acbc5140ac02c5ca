package portable

import "math"

// Sin returns the sine of x radians: NaN for ±Inf.
func Sin(x float64) float64 {
	quadrant, hi, lo := reduce(x)
	var y float64
	if quadrant&1 == 0 {
		y = sine(hi, lo)
	} else {
		y = cosine(hi, lo)
	}
	if quadrant&2 != 0 {
		return -y
	}
	return y
}

// Cos returns the cosine of x radians: NaN for ±Inf.
func Cos(x float64) float64 {
	quadrant, hi, lo := reduce(x)
	var y float64
	if quadrant&1 == 0 {
		y = cosine(hi, lo)
	} else {
		y = sine(hi, lo)
	}
	if (quadrant+1)&2 != 0 {
		return -y
	}
	return y
}

// sine returns sin(x+y) for |x+y| ≤ π/4, y being what x lacks of the argument's precision.
func sine(x, y float64) float64 {
	const (
		s1 = -1.66666666666666324348e-01
		s2 = 8.33333333332248946124e-03
		s3 = -1.98412698298579493134e-04
		s4 = 2.75573137070700676789e-06
		s5 = -2.50507602534068634195e-08
		s6 = 1.58969099521155010221e-10
	)
	z := float64(x * x)
	cube := float64(z * x)
	r := s5 + float64(z*s6)
	r = s4 + float64(z*r)
	r = s3 + float64(z*r)
	r = s2 + float64(z*r)
	return x - ((float64(z*(float64(0.5*y)-float64(cube*r))) - y) - float64(cube*s1))
}

// cosine returns cos(x+y) for |x+y| ≤ π/4.
func cosine(x, y float64) float64 {
	const (
		c1 = 4.16666666666666019037e-02
		c2 = -1.38888888888741095749e-03
		c3 = 2.48015872894767294178e-05
		c4 = -2.75573143513906633035e-07
		c5 = 2.08757232129817482790e-09
		c6 = -1.13596475577881948265e-11
	)
	z := float64(x * x)
	r := c5 + float64(z*c6)
	r = c4 + float64(z*r)
	r = c3 + float64(z*r)
	r = c2 + float64(z*r)
	r = float64(z * (c1 + float64(z*r)))
	half := float64(0.5 * z)
	w := 1 - half
	return w + (((1 - w) - half) + (float64(z*r) - float64(x*y)))
}

// reduce writes x as quadrant·π/2 + hi + lo with |hi+lo| ≤ π/4 (and a rounding), quadrant modulo 4
// and |lo| at most half an ulp of hi.
func reduce(x float64) (quadrant uint64, hi, lo float64) {
	// The nearest float64 to π/2, and the nearest to the rest.
	const halfPi, halfPiLo = 0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54
	switch ax := math.Abs(x); {
	case ax <= math.Pi/4:
		return 0, x, 0
	case !(ax <= math.MaxFloat64):
		return 0, math.NaN(), 0
	}
	quadrant, a, b := quarterTurns(x)
	hi = float64(a * halfPi)
	lo = math.FMA(a, halfPi, -hi) + (float64(a*halfPiLo) + float64(b*halfPi))
	sum := hi + lo
	return quadrant, sum, lo - (sum - hi)
}
