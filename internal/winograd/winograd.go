// Package winograd is the algebra of fast convolutions: Toom-Cook's algorithm for short ones,
// transposed, as Winograd has it (Winograd 1980, "Arithmetic Complexity of Computations"; Lavin & Gray
// 2016, "Fast Algorithms for Convolutional Neural Networks"). F(m×m, r×r) makes m×m outputs of r×r taps
// from t×t products instead of m·m·r·r, with t = m+r−1:
//
//	Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A
//
// It evaluates polynomials at the points 0, ±p₁ … ±pₙ and ∞, n = (t−2)/2. That points come in pairs
// of both signs is what makes a transform cheap: each pair shares its even and its odd part.
//
// Kernels and their generator take their constants from here.
package winograd

import "fmt"

// Kind is a fast convolution.
type Kind uint8

const (
	F2    Kind = iota // F(2×2, 3×3): 16 products for 36
	F4                // F(4×4, 3×3): 36 for 144
	F6                // F(6×6, 3×3): 64 for 324
	F5                // F(5×5, 2×2): 36 for 100, at F4's points
	kinds             // how many there are
)

// Kinds lists them.
func Kinds() []Kind { return []Kind{F2, F4, F6, F5} }

// String returns the kind's name in the literature.
func (k Kind) String() string {
	t := k.Transform()
	return fmt.Sprintf("F(%d×%d,%d×%d)", t.Outputs, t.Outputs, t.Taps, t.Taps)
}

// Transform returns the coefficients of k's transforms.
func (k Kind) Transform() *Transform { return transforms[k] }

// Transform holds the coefficients of the transforms along one axis. Values are at the points
//
//	0, +p₁, −p₁, …, +pₙ, −pₙ, ∞
//
// in this order. With C(y) = Πⱼ(y − pⱼ²) and Qᵢ(y) = Π_{j≠i}(y − pⱼ²), the transform of an input d is
//
//	v₀   = Σₖ C[k]·d[2k]          v_∞ = Σₖ C[k]·d[2k+1]
//	v±ᵢ  = Σₖ Qᵢ[k]·d[2k+2] ± pᵢ·Σₖ Qᵢ[k]·d[2k+1]
//
// that of products μ to outputs, with sᵢ = μ₊ᵢ + μ₋ᵢ and δᵢ = μ₊ᵢ − μ₋ᵢ,
//
//	yⱼ = Σᵢ pᵢʲ·(sᵢ for even j, δᵢ for odd j)    plus μ₀ for j = 0, plus μ_∞ for j = m−1
//
// and that of taps g, with N₀ = C(0) and Nᵢ = 2pᵢ²·Qᵢ(pᵢ²),
//
//	u₀ = g[0]/N₀    u±ᵢ = Σₖ (±pᵢ)ᵏ·g[k]/Nᵢ    u_∞ = g[r−1]
//
// Along two axes, columns are transformed first (over y, for every x), then rows.
type Transform struct {
	Outputs, Taps, Points int         // m, r and t
	Pairs                 []float64   // pᵢ
	C                     []float32   // of y⁰, y¹, …; the leading one is 1
	Q                     [][]float32 // for each pair, as C
	Power                 [][]float32 // pᵢʲ for each pair and output
	Zero                  float32     // 1/N₀
	Weight                [][]float32 // pᵢᵏ/Nᵢ for each pair and tap

	g [][]float64 // the matrix G, a row for each point
}

var transforms = [kinds]*Transform{
	F2: newTransform(2, 3, 1),
	F4: newTransform(4, 3, f4Points...),
	F6: newTransform(6, 3, f6Points...),
	F5: newTransform(5, 2, f4Points...),
}

// Rounding errors depend on the points: a pair near 1 and further pairs as their halves and doubles, or
// so, keep the powers, and what the inverse divides by, in bounds (Barabasz et al. 2020, "Error Analysis
// and Improving the Accuracy of Winograd Convolution for Deep Neural Networks").
var (
	f4Points = []float64{0.625, 1.5}
	f6Points = []float64{0.5, 1, 2}
)

func newTransform(outputs, taps int, pairs ...float64) *Transform {
	t := &Transform{Outputs: outputs, Taps: taps, Points: outputs + taps - 1, Pairs: pairs}
	c := product(pairs, -1)
	t.C = round(c)
	t.Zero = float32(1 / c[0])
	zero := make([]float64, taps)
	zero[0] = 1 / c[0]
	t.g = append(t.g, zero)
	for i, p := range pairs {
		q := product(pairs, i)
		t.Q = append(t.Q, round(q))
		t.Power = append(t.Power, round(powers(p, outputs, 1)))
		n := 2 * p * p * at(q, p*p)
		plus := powers(p, taps, 1/n)
		t.Weight = append(t.Weight, round(plus))
		t.g = append(t.g, plus, powers(-p, taps, 1/n))
	}
	infinite := make([]float64, taps)
	infinite[taps-1] = 1
	t.g = append(t.g, infinite)
	return t
}

// product returns the coefficients of Π(y − pⱼ²), without pair except.
func product(pairs []float64, except int) []float64 {
	c := []float64{1}
	for j, p := range pairs {
		if j == except {
			continue
		}
		next := make([]float64, len(c)+1)
		for k, v := range c {
			next[k+1] += v
			next[k] -= float64(p * p * v)
		}
		c = next
	}
	return c
}

// at evaluates a polynomial.
func at(c []float64, y float64) float64 {
	sum := 0.0
	for k := len(c) - 1; k >= 0; k-- {
		sum = float64(sum*y) + c[k]
	}
	return sum
}

// powers returns first·p⁰, first·p¹, …
func powers(p float64, n int, first float64) []float64 {
	all := make([]float64, n)
	for i := range all {
		all[i] = first
		first *= p
	}
	return all
}

func round(values []float64) []float32 {
	rounded := make([]float32, len(values))
	for i, v := range values {
		rounded[i] = float32(v)
	}
	return rounded
}

// Weights sets dst, t×t, to G g Gᵀ for g of r×r taps, in float64.
func (t *Transform) Weights(dst, g []float64) {
	var half [8 * 3]float64 // G g, t×r
	for i, row := range t.g {
		for x := range t.Taps {
			sum := 0.0
			for y, c := range row {
				sum += float64(c * g[y*t.Taps+x])
			}
			half[i*t.Taps+x] = sum
		}
	}
	for i := range t.Points {
		for j, row := range t.g {
			sum := 0.0
			for x, c := range row {
				sum += float64(c * half[i*t.Taps+x])
			}
			dst[i*t.Points+j] = sum
		}
	}
}
