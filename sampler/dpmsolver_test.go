package sampler_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

// tells is a model of a single value that says what it is given to say, one answer after another.
func tells(answers ...float32) sampler.Predictor {
	return func(_ context.Context, out, _ tensor.NHWC, _ sampler.Point) error {
		out.Data[0] = answers[0]
		answers = answers[1:]
		return nil
	}
}

// trace runs a method on one value, and returns it after each step, with the one it began with before.
func trace(t *testing.T, m sampler.Method, points []sampler.Point, x float32, answers ...float32) []float64 {
	t.Helper()
	v := tensor.Make(1, 1, 1, 1)
	v.Data[0] = x
	xs := []float64{float64(x)}
	for step, err := range sampler.Steps(context.Background(), tells(answers...), v, points, m) {
		if err != nil {
			t.Fatal(err)
		}
		xs = append(xs, float64(step.X.Data[0]))
	}
	return xs
}

// uneven are points of falling sigmas whose logarithms are unevenly spaced.
func uneven(sigmas ...float64) []sampler.Point {
	points := make([]sampler.Point, len(sigmas))
	for i, s := range sigmas {
		points[i] = at(float64(len(sigmas)-1-i), s)
	}
	return points
}

// near says whether a result is what it should be, but for the rounding of a few float32 values.
func near(got, want float64) bool { return math.Abs(got-want) <= 2e-6*(1+math.Abs(want)) }

// A solver is DPM-Solver as diffusers writes it down: m and lambda are what the model said and where,
// newest last.
type solver struct {
	noise, sde, heun bool
	m, lambda        []float64
}

// step is one of an order. alpha, sigma and lambda at its beginning are those of p, and those at its
// end of q.
func (s solver) step(order int, x, z float64, p, q sampler.Point) float64 {
	last := len(s.m) - 1
	h := math.Log(q.Alpha/q.Sigma) - s.lambda[last]
	m0 := s.m[last]
	var d1, d2 float64
	if order >= 2 {
		r0 := (s.lambda[last] - s.lambda[last-1]) / h
		d1 = (m0 - s.m[last-1]) / r0
		if order == 3 {
			r1 := (s.lambda[last-1] - s.lambda[last-2]) / h
			older := (s.m[last-1] - s.m[last-2]) / r1
			d1, d2 = d1+r0/(r0+r1)*(d1-older), (d1-older)/(r0+r1)
		}
	}
	exp := math.Exp
	switch {
	case s.noise && s.sde:
		x = q.Alpha/p.Alpha*x - 2*q.Sigma*(exp(h)-1)*m0 + q.Sigma*math.Sqrt(exp(2*h)-1)*z
		if order == 2 && s.heun {
			return x - 2*q.Sigma*((exp(h)-1)/h-1)*d1
		}
		return x - q.Sigma*(exp(h)-1)*d1
	case s.noise:
		x = q.Alpha/p.Alpha*x - q.Sigma*(exp(h)-1)*m0
		if order == 2 && !s.heun {
			return x - 0.5*q.Sigma*(exp(h)-1)*d1
		}
		return x - q.Sigma*((exp(h)-1)/h-1)*d1 - q.Sigma*((exp(h)-1-h)/(h*h)-0.5)*d2
	case s.sde:
		x = q.Sigma/p.Sigma*exp(-h)*x + q.Alpha*(1-exp(-2*h))*m0 + q.Sigma*math.Sqrt(1-exp(-2*h))*z
		if order == 2 && s.heun {
			return x + q.Alpha*((1-exp(-2*h))/(-2*h)+1)*d1
		}
		return x + 0.5*q.Alpha*(1-exp(-2*h))*d1
	}
	if math.IsInf(h, 1) {
		return q.Alpha * m0
	}
	x = q.Sigma/p.Sigma*x - q.Alpha*(exp(-h)-1)*m0
	if order == 2 && !s.heun {
		return x - 0.5*q.Alpha*(exp(-h)-1)*d1
	}
	return x + q.Alpha*((exp(-h)-1)/h+1)*d1 - q.Alpha*((exp(-h)-1+h)/(h*h)-0.5)*d2
}

// Every step of every kind of DPM-Solver by hand, from where the method's own last step led.
func TestDPMSolverSteps(t *testing.T) {
	const z = -0.7
	points := uneven(10, 6, 2.5, 1.2, 0.5, 0.2)
	answers := []float32{0.3, -0.8, 1.1, 0.4, -0.2}
	for _, noise := range []bool{false, true} {
		for _, sde := range []bool{false, true} {
			for order := 1; order <= 3; order++ {
				for _, heun := range []bool{false, true} {
					for _, limit := range []float64{0, 0.75} {
						if sde && order == 3 {
							continue
						}
						m := sampler.DPMSolver{Order: order, OfNoise: noise, SDE: sde, Heun: heun, Noise: constant(z)}
						m.Clip = limit
						xs := trace(t, m, points, 1.5, answers...)
						s := solver{noise: noise, sde: sde, heun: heun}
						for i, said := range answers {
							p, q := points[i], points[i+1]
							x0 := (xs[i] - p.Sigma*float64(said)) / p.Alpha
							if limit > 0 {
								x0 = min(max(x0, -limit), limit)
							}
							if noise {
								x0 = (xs[i] - p.Alpha*x0) / p.Sigma
							}
							s.m, s.lambda = append(s.m, x0), append(s.lambda, math.Log(p.Alpha/p.Sigma))
							if want := s.step(min(order, i+1), xs[i], z, p, q); !near(xs[i+1], want) {
								t.Errorf("%+v: step %d leads to %v, want %v", m, i, xs[i+1], want)
							}
						}
					}
				}
			}
		}
	}
}

// The orders of steps: from 1 up at the start, and down again at the end where that is asked for, or
// where there is no noise at the end.
func TestDPMSolverOrders(t *testing.T) {
	for _, test := range []struct {
		steps    int
		noNoise  bool
		few, end bool
		want     string
	}{
		{6, false, false, false, "123333"},
		{6, false, true, false, "123321"},
		{6, false, false, true, "123331"},
		{6, true, false, false, "123331"},
		{6, true, true, false, "123321"},
		{3, false, true, false, "121"},
		{2, false, true, false, "11"},
		{1, true, true, false, "1"},
		{14, false, true, false, "12333333333321"},
		{15, false, true, false, "123333333333333"},
		{15, true, true, false, "123333333333331"},
		{15, false, true, true, "123333333333331"},
	} {
		var sigmas []float64
		for i := range test.steps + 1 {
			sigmas = append(sigmas, 5*math.Pow(0.7, float64(i)+math.Sin(float64(i))/4))
		}
		points := uneven(sigmas...)
		if test.noNoise {
			points[test.steps] = sampler.Point{Alpha: 1}
		}
		var answers []float32
		for i := range test.steps {
			answers = append(answers, float32(math.Cos(float64(2*i))))
		}
		m := sampler.DPMSolver{Order: 3, FewSteps: test.few, EulerAtFinal: test.end}
		m.Prediction = sampler.Sample
		xs := trace(t, m, points, 1.5, answers...)
		var s solver
		got := ""
		for i, said := range answers {
			s.m, s.lambda = append(s.m, float64(said)), append(s.lambda, math.Log(points[i].Alpha/points[i].Sigma))
			order := 0
			for o := 1; o <= min(3, i+1); o++ {
				if near(xs[i+1], s.step(o, xs[i], 0, points[i], points[i+1])) {
					order = o
					break
				}
			}
			got += fmt.Sprint(order)
		}
		if got != test.want {
			t.Errorf("%+v: steps of orders %s", test, got)
		}
	}
}

// Points may lie at one level, as those of many steps over few training steps do, or but for rounding.
// What the model says twice there counts once.
func TestStepsThatStandStill(t *testing.T) {
	points := uneven(4, 2, 2, 2*(1+1e-12), 2*(1-1e-12), 1, 1*(1-1e-15))
	x0 := sampler.Reading{Prediction: sampler.Sample}
	for _, m := range []sampler.Method{
		sampler.DPMSolver{Reading: x0, Order: 3}, sampler.DPMSolver{Order: 3, OfNoise: true},
		sampler.DPMSolver{Reading: x0, SDE: true, Noise: constant(3)},
		sampler.UniPC{Reading: x0, Order: 3, KeepOrder: true}, sampler.UniPC{Order: 3, KeepOrder: true, OfNoise: true},
	} {
		still := trace(t, m, points, 1.5, 0.3, -0.8, -0.8, -0.8, -0.8, 1.1)
		once := trace(t, m, []sampler.Point{points[0], points[1], points[5]}, 1.5, 0.3, -0.8)
		_, corrects := m.(sampler.UniPC) // x where it has come to, by the last answer
		if !near(still[5], once[2]) || !near(still[6], once[2]) != corrects {
			t.Errorf("%+v: %v, want what %v says", m, still, once)
		}
	}
}
