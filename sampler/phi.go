package sampler

import "github.com/lanewise/lanewise/internal/portable"

// phi returns the function of exponential integrators
//
//	φ_k(z) = Σ z^j/(j+k)!, j = 0, 1, 2, …
//
// for k > 0: φ_1(z) = (e^z-1)/z, φ_2(z) = (φ_1(z)-1)/z, φ_{k+1}(z) = (φ_k(z)-1/k!)/z, which is how
// the papers write it. z may be -Inf.
func phi(k int, z float64) float64 {
	factorial := 1.0 // of k
	for i := 2; i <= k; i++ {
		factorial *= float64(i)
	}
	if z < -2 || z > 2 {
		value := portable.Exp(z)
		divisor := 1.0 // the factorial of i
		for i := range k {
			value = (value - 1/divisor) / z
			divisor *= float64(i + 1)
		}
		return value
	}
	// Near 0 the differences would cancel; 30 terms of the sum are exact to the last bit.
	term := 1 / factorial
	total := 0.0
	for j := range 30 {
		total += term
		term *= z / float64(k+j+1)
	}
	return total
}
