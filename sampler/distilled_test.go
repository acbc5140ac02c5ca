package sampler_test

import (
	"context"
	"math"
	"testing"

	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

// One step of LCM by hand, and the last, which adds no noise.
func TestLCMStep(t *testing.T) {
	const m, z = 0.7, -2
	for _, test := range []struct {
		name   string
		method sampler.LCM
		x0     func(x float64) float64
	}{
		{"epsilon", sampler.LCM{}, func(x float64) float64 { return (x - from.Sigma*m) / from.Alpha }},
		{"velocity", sampler.LCM{Reading: sampler.Reading{Prediction: sampler.Velocity}}, func(x float64) float64 { return from.Alpha*x - from.Sigma*m }},
		{"clip", sampler.LCM{Reading: sampler.Reading{Clip: 0.5}}, func(x float64) float64 { return min(max((x-from.Sigma*m)/from.Alpha, -0.5), 0.5) }},
		{"scaling", sampler.LCM{Scaling: 0.002}, func(x float64) float64 { return (x - from.Sigma*m) / from.Alpha }},
	} {
		scaling := test.method.Scaling
		if scaling == 0 {
			scaling = 10
		}
		tau := from.T * scaling
		skip, out := 0.5*0.5/(tau*tau+0.5*0.5), tau/math.Sqrt(tau*tau+0.5*0.5)
		test.method.Noise = constant(z)
		again := from // the second step is like the first
		xs := trace(t, test.method, []sampler.Point{from, again, {Alpha: 1}}, 1.5, m, m)
		want := from.Alpha*(out*test.x0(1.5)+skip*1.5) + from.Sigma*z
		if !near(xs[1], want) {
			t.Errorf("%s: x' is %.7f, want %.7f", test.name, xs[1], want)
		}
		if want := out*test.x0(xs[1]) + skip*xs[1]; !near(xs[2], want) {
			t.Errorf("%s: the last step leads to %.7f, want %.7f", test.name, xs[2], want)
		}
	}
}

// At t = 0 a consistency function is x itself: c_skip is 1 and c_out is 0. The preview is f.
func TestLCMBoundary(t *testing.T) {
	next, x0 := single(t, sampler.LCM{}, 1.5, 0.7, sampler.Point{T: 0, Alpha: 0.8, Sigma: 0.6}, sampler.Point{Alpha: 1})
	if next != 1.5 || x0 != 1.5 {
		t.Errorf("x' is %v and f is %v, want 1.5", next, x0)
	}
}

// One step of TCD by hand, as the paper has it: along the flow to s, and up again.
func TestTCDStep(t *testing.T) {
	const x, m, z = 1.5, 0.7, -2
	var asked []int
	level := func(t int) sampler.Point {
		asked = append(asked, t)
		return at(float64(t), 0.01+0.003*float64(t))
	}
	p, q := level(500), level(250)
	end := level(3)
	for _, test := range []struct {
		eta float64
		s   int
	}{{0, 250}, {0.3, 175}, {0.5, 125}, {0.999, 0}, {1, 0}} {
		for _, k := range []sampler.Prediction{sampler.Epsilon, sampler.Velocity, sampler.Sample} {
			method := sampler.TCD{Eta: test.eta}
			if test.eta > 0 {
				method.Level, method.Noise = level, constant(z)
			}
			method.Prediction, method.Clip = k, 0.01 // of no effect
			asked = nil
			xs := trace(t, method, []sampler.Point{p, q, end}, x, m, m)
			estimate := func(x float64, p sampler.Point) (x0, e float64) {
				switch k {
				case sampler.Velocity:
					return p.Alpha*x - p.Sigma*m, p.Sigma*x + p.Alpha*m
				case sampler.Sample:
					return m, (x - p.Alpha*m) / p.Sigma
				}
				return (x - p.Sigma*m) / p.Alpha, m
			}
			x0, e := estimate(x, p)
			s := at(0, 0.01+0.003*float64(test.s))
			ratio := q.Alpha / s.Alpha
			want := ratio*(s.Alpha*x0+s.Sigma*e) + math.Sqrt(1-ratio*ratio)*z
			if test.eta == 0 {
				want = q.Alpha*x0 + q.Sigma*e
			}
			if !near(xs[1], want) {
				t.Errorf("eta %v, %v: x' is %.7f, want %.7f", test.eta, k, xs[1], want)
			}
			// The last step ends at s of its own end, without noise.
			x0, e = estimate(xs[1], q)
			s = at(0, 0.01+0.003*math.Floor((1-test.eta)*3))
			if want := s.Alpha*x0 + s.Sigma*e; !near(xs[2], want) {
				t.Errorf("eta %v, %v: the last step leads to %.7f, want %.7f", test.eta, k, xs[2], want)
			}
			if test.eta > 0 && (len(asked) != 2 || asked[0] != test.s) {
				t.Errorf("eta %v: asked for levels %v, want %d first", test.eta, asked, test.s)
			}
		}
	}
}

// A consistency model's first step is its answer: one step of LCM is as good as many.
func TestLCMOfConsistentModel(t *testing.T) {
	x := tensor.Make(1, 2, 2, 3)
	sampler.Noise(x, 1)
	want := make([]float32, len(x.Data))
	p := at(999, 20)
	for i, v := range x.Data {
		want[i] = float32(flow(float64(v), p, sampler.Point{Alpha: 1}))
	}
	m := sampler.LCM{Reading: sampler.Reading{Prediction: sampler.Sample}}
	for _, err := range sampler.Steps(context.Background(), consistent, x, []sampler.Point{p, {Alpha: 1}}, m) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if d := distance(x.Data, want); d > 1e-6 {
		t.Errorf("off by %g", d)
	}
}
