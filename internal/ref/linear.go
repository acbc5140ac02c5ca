package ref

import "math"

// Linear returns y = x·wᵀ, m × n, for x of m × k and w of n × k, and beside it the sums of the
// products' absolute values, which rounding errors are measured by.
func Linear(m, n, k int, x, w []float64) (y, abs []float64) {
	y, abs = make([]float64, m*n), make([]float64, m*n)
	for i := range m {
		for j := range n {
			for l := range k {
				p := x[i*k+l] * w[j*k+l]
				y[i*n+j] += p
				abs[i*n+j] += math.Abs(p)
			}
		}
	}
	return y, abs
}
