package ref

import "math"

// Winograd returns the matrices of the fast convolution F(m×m, r×r) by Toom-Cook at the points
// 0, ±p for every p of pairs, and ∞,
//
//	Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A
//
// row by row: Bᵀ is t×t, G t×r and Aᵀ m×t, t = m+r−1. The row of Bᵀ at point i has the coefficients of
// Mᵢ(x) = Π_{j≠i}(x − aⱼ) over the finite points aⱼ, that of ∞ those of their whole product; G has the
// powers aᵢᵏ/Mᵢ(aᵢ), Aᵀ the powers aᵢʲ.
func Winograd(m, r int, pairs []float64) (bt, g, at [][]float64) {
	points := []float64{0}
	for _, p := range pairs {
		points = append(points, p, -p)
	}
	t := len(points) + 1
	at = make([][]float64, m)
	for j := range at {
		at[j] = make([]float64, t)
		for i, a := range points {
			at[j][i] = math.Pow(a, float64(j))
		}
	}
	at[m-1][t-1] = 1
	for i := range t {
		product, value := []float64{1}, 1.0
		for j, a := range points {
			if j == i {
				continue
			}
			next := make([]float64, len(product)+1)
			for k, c := range product {
				next[k] -= a * c
				next[k+1] += c
			}
			product = next
			if i < len(points) {
				value *= points[i] - a
			}
		}
		bt = append(bt, append(product, make([]float64, t-len(product))...))
		taps := make([]float64, r)
		for k := range taps {
			switch {
			case i < len(points):
				taps[k] = math.Pow(points[i], float64(k)) / value
			case k == r-1:
				taps[k] = 1
			}
		}
		g = append(g, taps)
	}
	return bt, g, at
}

// Sandwich returns m x mᵀ for a square x, row by row, and beside it the same of all absolute values, which
// rounding errors are measured by. Where a coefficient is 0 what it multiplies does not matter, NaN
// or not.
func Sandwich(m [][]float64, x []float64) (y, abs []float64) {
	rows, n := len(m), len(m[0])
	half, halfAbs := make([]float64, rows*n), make([]float64, rows*n)
	y, abs = make([]float64, rows*rows), make([]float64, rows*rows)
	for i, row := range m {
		for k, c := range row {
			for j := range n {
				if c != 0 {
					half[i*n+j] += c * x[k*n+j]
					halfAbs[i*n+j] += math.Abs(c * x[k*n+j])
				}
			}
		}
	}
	for i := range rows {
		for j, row := range m {
			for k, c := range row {
				if c != 0 {
					y[i*rows+j] += c * half[i*n+k]
					abs[i*rows+j] += math.Abs(c) * halfAbs[i*n+k]
				}
			}
		}
	}
	return y, abs
}
