package winograd_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/lanewise/lanewise/internal/winograd"
)

// TestTransforms holds the algebra, in float64 and along one axis, to the convolution that it replaces.
func TestTransforms(t *testing.T) {
	for _, k := range winograd.Kinds() {
		t.Run(k.String(), func(t *testing.T) {
			x := k.Transform()
			r := rand.New(rand.NewPCG(1, 2))
			values := func(n int) []float64 {
				v := make([]float64, n)
				for i := range v {
					v[i] = r.NormFloat64()
				}
				return v
			}
			d, g := values(x.Points*x.Points), values(x.Taps*x.Taps)
			u := make([]float64, x.Points*x.Points)
			x.Weights(u, g)
			points := []float64{0}
			for _, p := range x.Pairs {
				points = append(points, p, -p)
			}
			// B's columns are the coefficients of Π_{j≠i}(x − aⱼ), and for ∞ of all of them.
			b := func(i int) []float64 {
				c := []float64{1}
				for j, a := range points {
					if j == i {
						continue
					}
					next := make([]float64, len(c)+1)
					for k, v := range c {
						next[k+1] += v
						next[k] -= a * v
					}
					c = next
				}
				return append(c, make([]float64, x.Points-len(c))...)
			}
			a := func(j, i int) float64 {
				if i == x.Points-1 {
					if j == x.Outputs-1 {
						return 1
					}
					return 0
				}
				return math.Pow(points[i], float64(j))
			}
			for oy := range x.Outputs {
				for ox := range x.Outputs {
					want, got := 0.0, 0.0
					for ky := range x.Taps {
						for kx := range x.Taps {
							want += d[(oy+ky)*x.Points+ox+kx] * g[ky*x.Taps+kx]
						}
					}
					for i := range x.Points {
						for j := range x.Points {
							v := 0.0
							for y, cy := range b(i) {
								for z, cz := range b(j) {
									v += cy * cz * d[y*x.Points+z]
								}
							}
							got += a(oy, i) * a(ox, j) * v * u[i*x.Points+j]
						}
					}
					if math.Abs(got-want) > 1e-10 {
						t.Errorf("output %d, %d: %g, want %g", oy, ox, got, want)
					}
				}
			}
		})
	}
}
