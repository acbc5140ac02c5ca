package sampler_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

// spread of the Gaussian that gaussian's samples come from; its mean is middle.
const spread, middle = 0.5, 0.25

// gaussian is the perfect model of samples from a normal distribution: what it predicts is the
// expected noise (or v, or sample) given x.
func gaussian(k sampler.Prediction) sampler.Predictor {
	return func(_ context.Context, out, x tensor.NHWC, p sampler.Point) error {
		a, s := p.Alpha, p.Sigma
		variance := a*a*spread*spread + s*s
		ms := out.Tokens()
		for r := range ms.Rows {
			row := x.Tokens().Row(r)
			for c := range row {
				eps := s * (float64(row[c]) - a*middle) / variance
				x0 := (float64(row[c]) - s*eps) / a
				if a == 0 {
					x0 = middle
				}
				switch k {
				case sampler.Epsilon:
					ms.Row(r)[c] = float32(eps)
				case sampler.Velocity:
					ms.Row(r)[c] = float32(a*eps - s*x0)
				case sampler.Sample:
					ms.Row(r)[c] = float32(x0)
				}
			}
		}
		return nil
	}
}

// flow is where the exact probability flow of the Gaussian takes x from one level to another: it
// keeps how many standard deviations x is from the mean.
func flow(x float64, from, to sampler.Point) float64 {
	deviation := func(p sampler.Point) float64 { return math.Sqrt(p.Alpha*p.Alpha*spread*spread + p.Sigma*p.Sigma) }
	return to.Alpha*middle + (x-from.Alpha*middle)*deviation(to)/deviation(from)
}

// smooth returns n steps whose log sigma is evenly spaced, from 20 to 0.05.
func smooth(n int) []sampler.Point {
	points := make([]sampler.Point, n+1)
	for i := range points {
		sigma := 20 * math.Pow(0.05/20, float64(i)/float64(n))
		alpha := 1 / math.Sqrt(1+sigma*sigma)
		points[i] = sampler.Point{T: 1000 * float64(n-i) / float64(n), Alpha: alpha, Sigma: sigma * alpha}
	}
	return points
}

// finish runs all steps and returns the sample.
func finish(t testing.TB, p sampler.Predictor, x tensor.NHWC, points []sampler.Point, m sampler.Method) tensor.NHWC {
	t.Helper()
	for _, err := range sampler.Steps(context.Background(), p, x, points, m) {
		if err != nil {
			t.Fatal(err)
		}
	}
	return x
}

// All noise removed, samples have the distribution that the model knows.
func TestSamplesOfAGaussian(t *testing.T) {
	s := sampler.Schedule{Levels: sampler.NewLevels(sampler.CosineBetas(1000)), Spacing: sampler.Trailing}
	points, err := s.Points(100)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		method sampler.Method
	}{
		{"ddim", sampler.DDIM{}},
		{"ddim eta 1", sampler.DDIM{Eta: 1, Noise: sampler.NewGenerator(2)}},
		{"euler", sampler.Euler{}},
		{"euler churn", sampler.Euler{Churn: 0.1, Noise: sampler.NewGenerator(2)}},
	} {
		x := tensor.Make(1, 16, 16, 64)
		sampler.Noise(x, 1)
		finish(t, gaussian(sampler.Epsilon), x, points, test.method)
		var sum, square float64
		for _, v := range x.Data {
			sum += float64(v)
			square += float64(v) * float64(v)
		}
		n := float64(len(x.Data))
		mean, deviation := sum/n, math.Sqrt(square/n-sum*sum/n/n)
		if math.Abs(mean-middle) > 0.02 || math.Abs(deviation-spread) > 0.02 {
			t.Errorf("%s: mean %.4f, deviation %.4f, want %g and %g", test.name, mean, deviation, middle, spread)
		}
	}
}

// What a step reports, and leaving the loop early.
func TestStepsReport(t *testing.T) {
	points := smooth(5)
	x := tensor.Make(1, 2, 2, 3)
	sampler.Noise(x, 1)
	asked := 0
	model := gaussian(sampler.Epsilon)
	p := func(ctx context.Context, out, x tensor.NHWC, q sampler.Point) error {
		if q != points[asked] {
			t.Errorf("the model was asked at %v, want %v", q, points[asked])
		}
		asked++
		return model(ctx, out, x, q)
	}
	steps := 0
	for step, err := range sampler.Steps(context.Background(), p, x, points, sampler.DDIM{}) {
		if err != nil {
			t.Fatal(err)
		}
		if step.Index != steps || step.Count != 5 || step.From != points[steps] || step.To != points[steps+1] {
			t.Errorf("step %d reports %d of %d from %v to %v", steps, step.Index, step.Count, step.From, step.To)
		}
		if &step.X.Data[0] != &x.Data[0] || !step.X0.SameShape(x) {
			t.Errorf("step %d holds another sample", steps)
		}
		for i, v := range step.X0.Data {
			if math.Abs(float64(v)-middle) > 4*spread {
				t.Errorf("step %d: estimate %d is %v", steps, i, v)
			}
		}
		if steps++; steps == 3 {
			break
		}
	}
	if steps != 3 || asked != 3 {
		t.Errorf("%d steps and %d calls after leaving at 3", steps, asked)
	}
	for range sampler.Steps(context.Background(), p, x, points[5:], sampler.DDIM{}) {
		t.Error("a step between one point and none")
	}
}

// A run that fails names the step, ends there, and leaves x as the step before did.
func TestStepsErrors(t *testing.T) {
	broken := errors.New("broken")
	model := gaussian(sampler.Epsilon)
	for _, test := range []struct {
		name string
		fail func(out tensor.NHWC, cancel func()) error
		is   error
		want string
	}{
		{"NaN", func(out tensor.NHWC, _ func()) error { out.Pixel(1, 2, 0)[1] = float32(math.NaN()); return nil }, nil,
			"sampler: step 3 of 5 (t = 600): the model returned NaN in image 1, row 2, column 0, channel 1"},
		{"Inf", func(out tensor.NHWC, _ func()) error { out.Data[0] = float32(math.Inf(-1)); return nil }, nil,
			"sampler: step 3 of 5 (t = 600): the model returned -Inf in image 0, row 0, column 0, channel 0"},
		{"error", func(tensor.NHWC, func()) error { return broken }, broken, "sampler: step 3 of 5 (t = 600): broken"},
		{"cancel", func(_ tensor.NHWC, cancel func()) error { cancel(); return nil }, context.Canceled,
			"sampler: step 4 of 5 (t = 400): context canceled"},
	} {
		for _, m := range []sampler.Method{sampler.DDIM{Eta: 1, Noise: sampler.NewGenerator(1)}, sampler.Euler{Churn: 1, Noise: sampler.NewGenerator(1)}} {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			x := tensor.Make(2, 3, 2, 2)
			sampler.Noise(x, 1)
			calls := 0
			p := func(ctx context.Context, out, x tensor.NHWC, q sampler.Point) error {
				if err := model(ctx, out, x, q); err != nil {
					return err
				}
				if calls++; calls == 3 {
					return test.fail(out, cancel)
				}
				return nil
			}
			before := make([]float32, len(x.Data))
			var failed error
			for _, err := range sampler.Steps(ctx, p, x, smooth(5), m) {
				if failed != nil {
					t.Errorf("%s: a step after the error", test.name)
				}
				if failed = err; err == nil {
					copy(before, x.Data)
				}
			}
			if failed == nil || failed.Error() != test.want || test.is != nil && !errors.Is(failed, test.is) {
				t.Errorf("%s: %v, want %s", test.name, failed, test.want)
			}
			if distance(before, x.Data) != 0 {
				t.Errorf("%s: the step that failed changed x", test.name)
			}
		}
	}
}

// What cannot be is said before the first step.
func TestStartErrors(t *testing.T) {
	pure := append([]sampler.Point{{T: 999, Alpha: 0, Sigma: 1}}, smooth(3)...)
	rising := []sampler.Point{at(3, 4), at(2, 1), at(1, 2), at(0, 0.5)}
	toNone := append(smooth(3), sampler.Point{Alpha: 1})
	velocity := sampler.Reading{Prediction: sampler.Velocity}
	z := constant(1)
	for _, test := range []struct {
		method sampler.Method
		points []sampler.Point
		want   string
	}{
		{sampler.DDIM{}, pure, "a model that predicts the noise says nothing"},
		{sampler.Euler{Reading: sampler.Reading{Prediction: sampler.Velocity}}, pure, "sigma is infinite"},
		{sampler.DDIM{Eta: 1}, smooth(3), "needs a source of noise"},
		{sampler.DDIM{Eta: 1.5}, smooth(3), "eta 1.5, want 0 to 1"},
		{sampler.DDIM{Eta: math.NaN()}, smooth(3), "eta NaN"},
		{sampler.DDIM{Reading: sampler.Reading{Clip: -1}}, smooth(3), "x0 is clipped to ±-1"},
		{sampler.DDIM{Reading: sampler.Reading{Prediction: 7}}, smooth(3), "unknown Prediction(7)"},
		{sampler.Euler{Churn: 0.1}, smooth(3), "needs a source of noise"},
		{sampler.Euler{Churn: -1}, smooth(3), "churn -1"},
		{sampler.DDPM{Noise: z}, rising, "DDPM goes from sigma 1 up to 2 at point 2"},
		{sampler.DDPM{}, smooth(3), "DDPM with Noise"},
		{sampler.EulerAncestral{Reading: velocity, Noise: z}, pure, "EulerAncestral cannot begin where there is nothing but noise (t = 999): sigma is infinite"},
		{sampler.EulerAncestral{Noise: z}, rising, "EulerAncestral goes from sigma 1 up to 2"},
		{sampler.EulerAncestral{}, smooth(3), "needs a source of noise"},
		{sampler.Heun{Reading: velocity}, pure, "Heun cannot begin"},
		{sampler.Heun{Reading: sampler.Reading{Prediction: 7}}, smooth(3), "unknown Prediction(7)"},
		{sampler.PNDM{Reading: velocity}, pure, "PNDM cannot begin"},
		{sampler.PNDM{Reading: sampler.Reading{Clip: 1}}, smooth(3), "PNDM cannot bound x0"},
		{sampler.PNDM{Reading: sampler.Reading{Threshold: sampler.Threshold{Quantile: 0.5}}}, smooth(3), "PNDM cannot bound x0"},
		{sampler.PNDM{Reading: sampler.Reading{Prediction: sampler.Sample}}, smooth(3), "PNDM with prediction sample, want epsilon or v_prediction"},
		{sampler.PNDM{Reading: sampler.Reading{Prediction: 7}}, smooth(3), "unknown Prediction(7)"},
		{sampler.DPMSolver{Reading: velocity}, pure, "DPMSolver cannot begin"},
		{sampler.DPMSolver{SDE: true, Noise: z}, rising, "DPMSolver with SDE goes from sigma 1 up to 2"},
		{sampler.DPMSolver{Order: 4}, smooth(3), "DPMSolver of order 4, want 1 to 3, or to 2 with SDE"},
		{sampler.DPMSolver{Order: -1}, smooth(3), "DPMSolver of order -1"},
		{sampler.DPMSolver{Order: 3, SDE: true, Noise: z}, smooth(3), "DPMSolver of order 3"},
		{sampler.DPMSolver{SDE: true}, smooth(3), "DPMSolver with SDE true needs a source of noise"},
		{sampler.DPMSolver{OfNoise: true}, toNone, "cannot end without noise: lambda is infinite there"},
		{sampler.DPMSolver{Reading: sampler.Reading{Clip: math.NaN()}}, smooth(3), "x0 is clipped to ±NaN"},
		{sampler.UniPC{Reading: velocity}, pure, "UniPC cannot begin"},
		{sampler.UniPC{Order: 10}, smooth(3), "UniPC of order 10, want 1 to 9"},
		{sampler.UniPC{OfNoise: true}, toNone, "cannot end without noise"},
		{sampler.LCM{Scaling: -1, Noise: z}, smooth(3), "LCM with time scaled by -1"},
		{sampler.LCM{}, smooth(3), "needs a source of noise"},
		{sampler.LCM{Reading: sampler.Reading{Prediction: 7}}, smooth(3), "unknown Prediction(7)"},
		{sampler.TCD{Eta: 2}, smooth(3), "TCD with eta 2, want 0 to 1"},
		{sampler.TCD{Eta: 0.5, Noise: z}, smooth(3), "TCD with eta 0.5 needs the levels of training"},
		{sampler.TCD{Eta: 0.5, Level: func(int) sampler.Point { return from }}, smooth(3), "TCD with eta 0.5 needs a source of noise"},
		{sampler.TCD{}, pure, "a model that predicts the noise says nothing"},
		{sampler.DDIM{}, []sampler.Point{{Alpha: 0.6, Sigma: 0.8}, {Alpha: 0, Sigma: 1}}, "point 1 of 2 has alpha 0 and sigma 1"},
		{sampler.DDIM{}, []sampler.Point{{Alpha: 1}, {Alpha: 1}}, "point 0 of 2 has alpha 1 and sigma 0"},
		{sampler.DDIM{}, []sampler.Point{{Alpha: 0.6, Sigma: 0.8}, {Alpha: math.NaN()}}, "point 1 of 2 has alpha NaN"},
	} {
		x := tensor.Make(1, 2, 2, 1)
		n := 0
		for _, err := range sampler.Steps(context.Background(), gaussian(0), x, test.points, test.method) {
			if n++; err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%+v: %v, want %q", test.method, err, test.want)
			}
		}
		if n != 1 {
			t.Errorf("%+v: %d steps, want one with the error", test.method, n)
		}
	}
}

func TestAddNoise(t *testing.T) {
	x0, noise, p := tensor.Make(1, 2, 2, 3), tensor.Make(1, 2, 2, 3), sampler.Point{Alpha: 0.6, Sigma: 0.8}
	sampler.Noise(x0, 1)
	sampler.Noise(noise, 2)
	want := make([]float32, len(x0.Data))
	for i := range want {
		want[i] = float32(0.6*float64(x0.Data[i]) + 0.8*float64(noise.Data[i]))
	}
	sampler.AddNoise(x0, x0, noise, p)
	if d := distance(x0.Data, want); d > 1e-7 {
		t.Errorf("off by %g", d)
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic for different shapes")
		}
	}()
	sampler.AddNoise(x0, x0, tensor.Make(1, 2, 2, 1), p)
}

// distance is the largest difference, infinite if one is NaN.
func distance(a, b []float32) float64 {
	worst := 0.0
	for i := range a {
		d := math.Abs(float64(a[i]) - float64(b[i]))
		if d != d {
			return math.Inf(1)
		}
		worst = max(worst, d)
	}
	return worst
}
