package sampler_test

import (
	"math"
	"slices"
	"testing"

	"github.com/lanewise/lanewise/sampler"
)

// A unified is UniPC as diffusers writes it down.
type unified struct {
	noise, linear bool
	m, lambda     []float64 // what the model said and where, newest last
}

// system returns the rhos and the places rks of order answers, the one at the end of the step last, with
// the step's terms that do not depend on them.
func (u unified) system(order int, h float64) (rks, b []float64, phi1, scale float64) {
	last := len(u.m) - 1
	for k := 1; k < order; k++ {
		rks = append(rks, (u.lambda[last-k]-u.lambda[last])/h)
	}
	rks = append(rks, 1)
	hh := -h
	if u.noise {
		hh = h
	}
	phi1 = math.Exp(hh) - 1
	scale = phi1
	if u.linear {
		scale = hh
	}
	phik, factorial := phi1/hh-1, 1.
	for i := range order {
		b = append(b, phik*factorial/scale)
		factorial *= float64(i + 2)
		phik = phik/hh - 1/factorial
	}
	return rks, b, phi1, scale
}

// solve solves Σ_k ρ_k·r_k^i = b_i by elimination.
func solve(r, b []float64) []float64 {
	n := len(r)
	a := make([][]float64, n)
	for i := range a {
		for k := range n {
			a[i] = append(a[i], math.Pow(r[k], float64(i)))
		}
		a[i] = append(a[i], b[i])
	}
	for i := range a {
		pivot := i
		for j := i; j < n; j++ {
			if math.Abs(a[j][i]) > math.Abs(a[pivot][i]) {
				pivot = j
			}
		}
		a[i], a[pivot] = a[pivot], a[i]
		for j := range a {
			if j == i {
				continue
			}
			f := a[j][i] / a[i][i]
			for k := range a[j] {
				a[j][k] -= f * a[i][k]
			}
		}
	}
	rhos := make([]float64, n)
	for i := range rhos {
		rhos[i] = a[i][n] / a[i][i]
	}
	return rhos
}

// step is the predictor's, or with what the model says at the end of the step the corrector's.
func (u unified) step(order int, x float64, p, q sampler.Point, end ...float64) float64 {
	last := len(u.m) - 1
	m0 := u.m[last]
	rks, b, phi1, scale := u.system(order, math.Log(q.Alpha/q.Sigma)-math.Log(p.Alpha/p.Sigma))
	var d []float64
	for k := 1; k < order; k++ {
		d = append(d, (u.m[last-k]-m0)/rks[k-1])
	}
	var rhos []float64
	switch {
	case len(end) > 0 && order == 1, len(end) == 0 && order == 2:
		rhos = []float64{0.5}
	case len(end) > 0:
		rhos = solve(rks, b)
	default:
		rhos = solve(rks[:order-1], b[:order-1])
	}
	if len(end) > 0 {
		d = append(d, end[0]-m0)
	}
	sum := 0.0
	for k, rho := range rhos {
		sum += rho * d[k]
	}
	if u.noise {
		return q.Alpha/p.Alpha*x - q.Sigma*phi1*m0 - q.Sigma*scale*sum
	}
	return q.Sigma/p.Sigma*x - q.Alpha*phi1*m0 - q.Alpha*scale*sum
}

// Every step of every kind of UniPC by hand, from where the method's own last step led.
func TestUniPCSteps(t *testing.T) {
	points := uneven(10, 6, 2.5, 1.2, 0.5, 0.3, 0.2)
	answers := []float32{0.3, -0.8, 1.1, 0.4, -0.2, 0.6}
	for _, noise := range []bool{false, true} {
		for order := 1; order <= 4; order++ {
			for _, linear := range []bool{false, true} {
				for _, keep := range []bool{false, true} {
					for _, uncorrected := range [][]int{nil, {0}, {1, 3}, {0, 1, 2, 3, 4, 5}} {
						m := sampler.UniPC{Order: order, OfNoise: noise, Linear: linear, KeepOrder: keep, Uncorrected: uncorrected}
						xs := trace(t, m, points, 1.5, answers...)
						u := unified{noise: noise, linear: linear}
						begin, previous := 0.0, 0 // where the last step began, and its order
						for i, said := range answers {
							p, q := points[i], points[i+1]
							answer := float64(said)
							if !noise {
								answer = (xs[i] - p.Sigma*answer) / p.Alpha
							}
							x := xs[i]
							if i > 0 && !slices.Contains(uncorrected, i-1) {
								x = u.step(previous, begin, points[i-1], p, answer)
							}
							u.m, u.lambda = append(u.m, answer), append(u.lambda, math.Log(p.Alpha/p.Sigma))
							begin, previous = x, min(order, i+1)
							if !keep {
								previous = min(previous, len(answers)-i)
							}
							if want := u.step(previous, x, p, q); math.Abs(xs[i+1]-want) > 5e-6*(1+math.Abs(want)) {
								t.Errorf("%+v: step %d leads to %v, want %v", m, i, xs[i+1], want)
							}
						}
					}
				}
			}
		}
	}
}

// A step to where there is no noise goes to x0, whatever the order.
func TestUniPCEnds(t *testing.T) {
	points := append(uneven(4, 2, 1), sampler.Point{Alpha: 1})
	for _, linear := range []bool{false, true} {
		m := sampler.UniPC{Order: 3, Linear: linear, KeepOrder: true}
		m.Prediction = sampler.Sample
		if xs := trace(t, m, points, 1.5, 0.3, -0.8, 1.25); xs[3] != 1.25 {
			t.Errorf("linear %v: %v, want 1.25 at the end", linear, xs)
		}
	}
}
