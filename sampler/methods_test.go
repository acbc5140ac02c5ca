package sampler_test

import (
	"context"
	"math"
	"testing"

	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

// says is a model of a single value that says what it is given to say.
func says(m float32) sampler.Predictor {
	return func(_ context.Context, out, _ tensor.NHWC, _ sampler.Point) error {
		out.Data[0] = m
		return nil
	}
}

// constant is a source of noise that is always the same.
type constant float32

func (c constant) Noise(x tensor.NHWC) {
	for i := range x.Data {
		x.Data[i] = float32(c)
	}
}

// single makes one step of one value, and returns it and the estimate of the clean one.
func single(t *testing.T, m sampler.Method, x, output float32, from, to sampler.Point) (next, x0 float64) {
	t.Helper()
	v := tensor.Make(1, 1, 1, 1)
	v.Data[0] = x
	for step, err := range sampler.Steps(context.Background(), says(output), v, []sampler.Point{from, to}, m) {
		if err != nil {
			t.Fatal(err)
		}
		x0 = float64(step.X0.Data[0])
	}
	return float64(v.Data[0]), x0
}

var from, to = sampler.Point{T: 500, Alpha: 0.6, Sigma: 0.8}, sampler.Point{T: 250, Alpha: 0.8, Sigma: 0.6}

// One step of DDIM by hand, with a = Alpha² and b = Sigma² as the paper has them.
func TestDDIMStep(t *testing.T) {
	const x, m = 1.5, 0.7
	a, b, a2 := from.Alpha, from.Sigma, to.Alpha
	std := 0.5 * math.Sqrt((1-a2*a2)/(1-a*a)*(1-a*a/(a2*a2)))
	for _, test := range []struct {
		name   string
		method sampler.DDIM
		x0, e  float64
		std    float64
	}{
		{"epsilon", sampler.DDIM{}, (x - b*m) / a, m, 0},
		{"velocity", sampler.DDIM{Reading: sampler.Reading{Prediction: sampler.Velocity}}, a*x - b*m, b*x + a*m, 0},
		{"sample", sampler.DDIM{Reading: sampler.Reading{Prediction: sampler.Sample}}, m, (x - a*m) / b, 0},
		{"clip", sampler.DDIM{Reading: sampler.Reading{Clip: 1}}, 1, m, 0},
		{"clip not reached", sampler.DDIM{Reading: sampler.Reading{Clip: 10}}, (x - b*m) / a, m, 0},
		{"clip below", sampler.DDIM{Reading: sampler.Reading{Prediction: sampler.Sample, Clip: 0.25}}, 0.25, (x - a*m) / b, 0},
		{"clip and fit", sampler.DDIM{Reading: sampler.Reading{Clip: 1}, FitNoise: true}, 1, (x - a) / b, 0},
		{"eta", sampler.DDIM{Eta: 0.5, Noise: constant(-2)}, (x - b*m) / a, m, std},
	} {
		next, x0 := single(t, test.method, x, m, from, to)
		want := a2*test.x0 + math.Sqrt(1-a2*a2-test.std*test.std)*test.e - 2*test.std
		if math.Abs(next-want) > 1e-6 || math.Abs(x0-test.x0) > 1e-6 {
			t.Errorf("%s: x' %.7f, x0 %.7f; want %.7f and %.7f", test.name, next, x0, want, test.x0)
		}
	}
}

// Next decides where a step ends.
func TestDDIMNext(t *testing.T) {
	other := sampler.Point{T: 300, Alpha: 0.7, Sigma: math.Sqrt(0.51)}
	got, _ := single(t, sampler.DDIM{Next: func(p sampler.Point) sampler.Point {
		if p != from {
			t.Errorf("asked for what follows %v", p)
		}
		return other
	}}, 1.5, 0.7, from, to)
	if want, _ := single(t, sampler.DDIM{}, 1.5, 0.7, from, other); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

// One step of Euler by hand in sigma space, as k-diffusion and diffusers write it.
func TestEulerStep(t *testing.T) {
	const x, m, z = 1.5, 0.7, -2
	s, s2 := from.Sigma/from.Alpha, to.Sigma/to.Alpha
	for _, test := range []struct {
		name   string
		method sampler.Euler
		gamma  float64
		spread float64
	}{
		{"epsilon", sampler.Euler{}, 0, 1},
		{"velocity", sampler.Euler{Reading: sampler.Reading{Prediction: sampler.Velocity}}, 0, 1},
		{"sample", sampler.Euler{Reading: sampler.Reading{Prediction: sampler.Sample}}, 0, 1},
		{"churn", sampler.Euler{Churn: 0.3, Noise: constant(z)}, 0.3, 1},
		{"churn velocity", sampler.Euler{Reading: sampler.Reading{Prediction: sampler.Velocity}, Churn: 0.3, Spread: 1.1, Noise: constant(z)}, 0.3, 1.1},
		{"churn sample", sampler.Euler{Reading: sampler.Reading{Prediction: sampler.Sample}, Churn: 0.3, Noise: constant(z)}, 0.3, 1},
		{"churn capped", sampler.Euler{Churn: 2, Noise: constant(z)}, math.Sqrt2 - 1, 1},
		{"churn below", sampler.Euler{Churn: 0.3, MinSigma: s * 1.01, Noise: constant(z)}, 0, 1},
		{"churn above", sampler.Euler{Churn: 0.3, MaxSigma: s * 0.99, Noise: constant(z)}, 0, 1},
		{"churn within", sampler.Euler{Churn: 0.3, MinSigma: s * 0.99, MaxSigma: s * 1.01, Noise: constant(z)}, 0.3, 1},
	} {
		y := x / from.Alpha
		hat := s * (1 + test.gamma)
		if test.gamma > 0 {
			y += z * test.spread * math.Sqrt(hat*hat-s*s)
		}
		x0 := y - hat*m
		switch test.method.Prediction {
		case sampler.Velocity:
			x0 = m*(-s/math.Sqrt(s*s+1)) + y/(s*s+1)
		case sampler.Sample:
			x0 = m
		}
		want := to.Alpha * (y + (y-x0)/hat*(s2-hat))
		next, got0 := single(t, test.method, x, m, from, to)
		if math.Abs(next-want) > 1e-6 || math.Abs(got0-x0) > 1e-6 {
			t.Errorf("%s: x' %.7f, x0 %.7f; want %.7f and %.7f", test.name, next, got0, want, x0)
		}
	}
}

// One step of Heun by hand in sigma space: algorithm 1 of Karras et al.
func TestHeunStep(t *testing.T) {
	const x, m, m2 = 1.5, 0.7, -0.4
	s, s2 := from.Sigma/from.Alpha, to.Sigma/to.Alpha
	for _, test := range []struct {
		name string
		sampler.Reading
		x0 func(y, s, m float64) float64
	}{
		{"epsilon", sampler.Reading{}, func(y, s, m float64) float64 { return y - s*m }},
		{"velocity", sampler.Reading{Prediction: sampler.Velocity}, func(y, s, m float64) float64 { return -m*s/math.Sqrt(s*s+1) + y/(s*s+1) }},
		{"sample", sampler.Reading{Prediction: sampler.Sample}, func(_, _, m float64) float64 { return m }},
		{"clip", sampler.Reading{Clip: 0.5}, func(y, s, m float64) float64 { return min(max(y-s*m, -0.5), 0.5) }},
	} {
		y := x / from.Alpha
		d := (y - test.x0(y, s, m)) / s
		hat := y + (s2-s)*d
		d2 := (hat - test.x0(hat, s2, m2)) / s2
		want := y + (s2-s)*(d+d2)/2
		xs := trace(t, sampler.Heun{Reading: test.Reading}, []sampler.Point{from, to, {Alpha: 1}}, x, m, m2, m)
		if !near(xs[1], to.Alpha*want) {
			t.Errorf("%s: x' is %.7f, want %.7f", test.name, xs[1], to.Alpha*want)
		}
		// The step to where there is no noise asks once, and is Euler's.
		y = xs[1] / to.Alpha
		if want := test.x0(y, s2, m); !near(xs[2], want) {
			t.Errorf("%s: the last step leads to %.7f, want %.7f", test.name, xs[2], want)
		}
	}
}

// One step of Euler ancestral by hand, as k-diffusion writes it.
func TestEulerAncestralStep(t *testing.T) {
	const x, m, z = 1.5, 0.7, -2
	s, s2 := from.Sigma/from.Alpha, to.Sigma/to.Alpha
	up := math.Sqrt(s2 * s2 * (s*s - s2*s2) / (s * s))
	down := math.Sqrt(s2*s2 - up*up)
	y := x / from.Alpha
	for k, x0 := range map[sampler.Prediction]float64{
		sampler.Epsilon: y - s*m, sampler.Velocity: -m*s/math.Sqrt(s*s+1) + y/(s*s+1), sampler.Sample: m,
	} {
		want := to.Alpha * (y + (y-x0)/s*(down-s) + up*z)
		next, got0 := single(t, sampler.EulerAncestral{Reading: sampler.Reading{Prediction: k}, Noise: constant(z)}, x, m, from, to)
		if !near(next, want) || !near(got0, x0) {
			t.Errorf("%v: x' %.7f, x0 %.7f; want %.7f and %.7f", k, next, got0, want, x0)
		}
		if last, _ := single(t, sampler.EulerAncestral{Reading: sampler.Reading{Prediction: k}, Noise: constant(z)}, x, m, from, sampler.Point{Alpha: 1}); !near(last, x0) {
			t.Errorf("%v: the last step leads to %v, want %v", k, last, x0)
		}
	}
}

// Without noise and clipping, the two are the same.
func TestEulerIsDDIM(t *testing.T) {
	a, b := tensor.Make(1, 8, 8, 3), tensor.Make(1, 8, 8, 3)
	sampler.Noise(a, 1)
	sampler.Noise(b, 1)
	finish(t, gaussian(sampler.Velocity), a, smooth(20), sampler.DDIM{Reading: sampler.Reading{Prediction: sampler.Velocity}})
	finish(t, gaussian(sampler.Velocity), b, smooth(20), sampler.Euler{Reading: sampler.Reading{Prediction: sampler.Velocity}})
	if d := distance(a.Data, b.Data); d > 1e-5 {
		t.Errorf("off by %g", d)
	}
}
