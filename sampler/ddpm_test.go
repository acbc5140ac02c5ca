package sampler_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

// both is a model of a single value that says what it is given to say of it, and of the variance.
func both(m, v float32) sampler.Predictor {
	return func(_ context.Context, out, _ tensor.NHWC, _ sampler.Point) error {
		out.Pixel(0, 0, 0)[0], out.Pixel(0, 0, 0)[1] = m, v
		return nil
	}
}

// One step of DDPM by hand, as diffusers writes it, with each variance.
func TestDDPMStep(t *testing.T) {
	const x, m, z = 1.5, 0.7, -2
	alpha, next := from.Alpha*from.Alpha, to.Alpha*to.Alpha
	current := alpha / next
	small := (1 - next) / (1 - alpha) * (1 - current)
	x0 := (x - from.Sigma*m) / from.Alpha
	bounded := sampler.Reading{Clip: 1}
	velocity := sampler.Reading{Prediction: sampler.Velocity}
	for _, test := range []struct {
		name         string
		method       sampler.DDPM
		model        sampler.Predictor
		x0, variance float64
	}{
		{"small", sampler.DDPM{}, says(m), x0, small},
		{"large", sampler.DDPM{Variance: sampler.FixedLarge}, says(m), x0, 1 - current},
		{"learned", sampler.DDPM{Variance: sampler.Learned}, both(m, 0.25), x0, 0.25},
		{"learned, none", sampler.DDPM{Variance: sampler.Learned}, both(m, 0), x0, 0},
		{"range, lowest", sampler.DDPM{Variance: sampler.LearnedRange}, both(m, -1), x0, small},
		{"range, highest", sampler.DDPM{Variance: sampler.LearnedRange}, both(m, 1), x0, 1 - current},
		{"range, between", sampler.DDPM{Variance: sampler.LearnedRange}, both(m, 0.5), x0, math.Pow(1-current, 0.75) * math.Pow(small, 0.25)},
		{"said, not asked", sampler.DDPM{Reading: sampler.Reading{SaysVariance: true}}, both(m, 0.9), x0, small},
		{"clip", sampler.DDPM{Reading: bounded}, says(-m), 1, small},
		{"velocity", sampler.DDPM{Reading: velocity}, says(m), from.Alpha*x - from.Sigma*m, small},
		{"sample", sampler.DDPM{Reading: sampler.Reading{Prediction: sampler.Sample}}, says(m), m, small},
	} {
		v := tensor.Make(1, 1, 1, 1)
		v.Data[0] = x
		got0 := 0.
		for step, err := range sampler.Steps(context.Background(), test.model, v, []sampler.Point{from, to}, sampler.WithNoise(test.method, constant(z))) {
			if err != nil {
				t.Fatal(err)
			}
			got0 = float64(step.X0.Data[0])
		}
		want := to.Alpha*(1-current)/(1-alpha)*test.x0 + math.Sqrt(current)*(1-next)/(1-alpha)*x + math.Sqrt(test.variance)*z
		if got := float64(v.Data[0]); !near(got, want) || !near(got0, test.x0) {
			t.Errorf("%s: x' %.7f, x0 %.7f; want %.7f and %.7f", test.name, got, got0, want, test.x0)
		}
	}
}

// The step from t = 0 adds no noise, and one to where there is none takes x0.
func TestDDPMEnds(t *testing.T) {
	zero := sampler.Point{T: 0, Alpha: 0.8, Sigma: 0.6}
	for _, v := range []sampler.Variance{sampler.FixedSmall, sampler.FixedLarge, sampler.Learned, sampler.LearnedRange} {
		model := sampler.Predictor(both(0.5, 0.5))
		if v < sampler.Learned {
			model = says(0.5)
		}
		x := tensor.Make(1, 1, 1, 1)
		x.Data[0] = 1
		finish(t, model, x, []sampler.Point{zero, {Alpha: 1}}, sampler.DDPM{Variance: v, Noise: constant(5)})
		if want := (1 - 0.6*0.5) / 0.8; !near(float64(x.Data[0]), want) {
			t.Errorf("variance %d: %v, want %v", v, x.Data[0], want)
		}
	}
	// One from t = 1 does add noise.
	a, _ := single(t, sampler.DDPM{Noise: constant(5)}, 1, 0.5, sampler.Point{T: 1, Alpha: 0.6, Sigma: 0.8}, zero)
	b, _ := single(t, sampler.DDPM{Noise: constant(0)}, 1, 0.5, sampler.Point{T: 1, Alpha: 0.6, Sigma: 0.8}, zero)
	if a == b {
		t.Error("no noise from t = 1")
	}
}

// A variance below 0 is the model's error, and leaves x as it is.
func TestDDPMErrors(t *testing.T) {
	x := tensor.Make(1, 1, 1, 1)
	x.Data[0] = 1.5
	for _, err := range sampler.Steps(context.Background(), both(0.5, -0.25), x, []sampler.Point{from, to}, sampler.DDPM{Variance: sampler.Learned, Noise: constant(1)}) {
		if want := "sampler: step 1 of 1 (t = 500): the model says that the variance is -0.25"; err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if x.Data[0] != 1.5 {
		t.Errorf("x is %v after the error", x.Data[0])
	}
	for _, err := range sampler.Steps(context.Background(), says(1), x, []sampler.Point{from, to}, sampler.DDPM{Variance: 9, Noise: constant(1)}) {
		if err == nil || !strings.Contains(err.Error(), "unknown variance 9 of DDPM") {
			t.Errorf("%v for variance 9", err)
		}
	}
}

// Next decides where a step ends.
func TestDDPMNext(t *testing.T) {
	other := sampler.Point{T: 300, Alpha: 0.7, Sigma: math.Sqrt(0.51)}
	got, _ := single(t, sampler.DDPM{Noise: constant(1), Next: func(sampler.Point) sampler.Point { return other }}, 1.5, 0.7, from, to)
	if want, _ := single(t, sampler.DDPM{Noise: constant(1)}, 1.5, 0.7, from, other); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}
