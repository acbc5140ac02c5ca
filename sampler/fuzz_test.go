package sampler_test

import (
	"context"
	"math"
	"reflect"
	"testing"

	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

// checkPoints checks what holds for the points of every schedule.
func checkPoints(t *testing.T, points []sampler.Point) {
	t.Helper()
	if len(points) < 2 {
		t.Fatalf("%d points", len(points))
	}
	for i, p := range points {
		square := p.Alpha*p.Alpha + p.Sigma*p.Sigma
		if !(p.Alpha >= 0 && p.Sigma >= 0 && math.Abs(square-1) < 1e-9) || math.IsInf(p.T, 0) || math.IsNaN(p.T) {
			t.Fatalf("point %d of %d is %v", i, len(points), p)
		}
		if i < len(points)-1 && p.Sigma == 0 || i > 0 && p.Alpha == 0 {
			t.Fatalf("point %d of %d is %v, with nothing to do before or after", i, len(points), p)
		}
	}
}

// runs makes the steps of a plan on the Gaussian. An error is fine; a sample that is not finite is not.
func runs(t *testing.T, p *sampler.Plan) {
	t.Helper()
	reading := reflect.ValueOf(p.Method).FieldByName("Reading").Interface().(sampler.Reading)
	model := gaussian(reading.Prediction)
	if d, ok := p.Method.(sampler.DDPM); ok && d.Variance >= sampler.Learned || reading.SaysVariance {
		alone := model
		model = func(ctx context.Context, out, x tensor.NHWC, q sampler.Point) error {
			tensor.Copy(out.Channels(x.C, 2*x.C), out.Channels(0, x.C)) // zeros, or what was said before
			for i := range out.Data {
				out.Data[i] = min(max(out.Data[i], 0), 1)
			}
			return alone(ctx, out.Channels(0, x.C), x, q)
		}
	}
	x := tensor.Make(1, 1, 2, 3)
	sampler.Noise(x, 1)
	p.Begin(x)
	var failed error
	for _, err := range sampler.Steps(context.Background(), model, x, p.Points, sampler.WithNoise(p.Method, constant(0.5))) {
		failed = err
	}
	for i, v := range x.Data {
		if failed == nil && v-v != 0 {
			t.Fatalf("value %d is %v after %d steps of %+v from %v", i, v, len(p.Points)-1, p.Method, p.Points)
		}
	}
}

// Whatever a file says, as whatever sampler it is read: there is an error, or a plan that runs.
func FuzzConfig(f *testing.F) {
	names := append([]string{""}, sampler.Names()...)
	for i, text := range asWritten {
		f.Add([]byte(text), byte(0), byte(4))
		f.Add([]byte(text), byte(i), byte(1))
	}
	for _, keys := range [][]string{
		{euler, "use_karras_sigmas: true", "sigma_min: 0.1", "sigma_max: 9"},
		{euler, `interpolation_type: "log_linear"`, `timestep_type: "continuous"`, `prediction_type: "v_prediction"`},
		{multistep, "lambda_min_clipped: -1", `algorithm_type: "sde-dpmsolver"`, `final_sigmas_type: "sigma_min"`, `timestep_spacing: "trailing"`},
		{unipc, "disable_corrector: [0, 1]", "predict_x0: false", `final_sigmas_type: "sigma_min"`, "solver_order: 9"},
		{ddim, "rescale_betas_zero_snr: true", `timestep_spacing: "trailing"`, `prediction_type: "v_prediction"`, "thresholding: true"},
		{ddpm, `variance_type: "learned_range"`, `beta_schedule: "sigmoid"`, "num_train_timesteps: 7"},
		{ddpm, `variance_type: "learned"`, "trained_betas: [0.1, 0.2, 0.9]", "num_train_timesteps: 3"},
		{heun, `beta_schedule: "exp"`, "use_beta_sigmas: true"}, {tcd, "original_inference_steps: 5"},
	} {
		f.Add([]byte(text(keys...)), byte(0), byte(3))
	}
	f.Fuzz(func(t *testing.T, file []byte, name, steps byte) {
		c, err := readText(string(file), names[int(name)%len(names)])
		if err != nil || len(c.Schedule.Levels) > 3000 { // long schedules take time, and are no different
			return
		}
		n := 1 + int(steps)%20
		p, err := c.Plan(n)
		if err != nil {
			return
		}
		checkPoints(t, p.Points)
		runs(t, p)
		if p, first, err := c.PlanFrom(n, 0.6); err == nil {
			checkPoints(t, p.Points[first:])
		}
		for _, schedule := range c.Schedules() {
			with, err := c.With(schedule)
			if err != nil {
				t.Fatal(err)
			}
			if p, err := with.Plan(n); err == nil {
				checkPoints(t, p.Points)
				runs(t, p)
			}
		}
	})
}

// Whatever the numbers of a schedule are: there is an error, or points that fall from noise to none.
func FuzzSchedule(f *testing.F) {
	f.Add(uint16(1000), 0.00085, 0.012, uint16(20), byte(0), byte(0), byte(0), 0, 0, 0, 0., 0., 0.)
	f.Add(uint16(1000), 0.0001, 0.02, uint16(7), byte(1), byte(1), byte(3), 1, 50, 0, 0.1, 9., 0.)
	f.Add(uint16(50), 0.001, 0.2, uint16(50), byte(2), byte(3), byte(0xff), 0, 0, 10, 0., 0., 0.5)
	f.Add(uint16(2), 0.5, 0.5, uint16(1), byte(2), byte(5), byte(0x10), 0, 0, 1, 0., 0., 1.)
	f.Add(uint16(145), 0.5, 0.5, uint16(22), byte(6), byte(0), byte(4), 0, 1, 0, 0., 0., 1.) // infinite sigmas
	f.Fuzz(func(t *testing.T, train uint16, start, end float64, n uint16, spacing, sigmas, flags byte, offset, clipped, distilled int, low, high, strength float64) {
		if !(start > 0 && start < 1 && end > 0 && end < 1) || train > 2000 {
			return
		}
		s := sampler.Schedule{
			Levels: sampler.NewLevels(sampler.LinearBetas(int(train), start, end)), Spacing: sampler.Spacing(spacing), Sigmas: sampler.Sigmas(sigmas),
			Offset: offset, Clipped: clipped, Distilled: distilled, Strength: strength, MinSigma: low, MaxSigma: high,
			SkipLast: flags&1 != 0, FullRange: flags&2 != 0, Fractional: flags&4 != 0, FinalNoise: flags&8 != 0, LogTimes: flags&16 != 0,
		}
		if flags&32 != 0 && train > 1 {
			s.Levels = s.Levels.ZeroTerminal()
		}
		for _, l := range s.Levels[:max(len(s.Levels)-1, 0)] {
			if !(l > 0 && l < 1) {
				return // ReadConfig has none of these
			}
		}
		points, err := s.Points(int(n))
		if err != nil {
			return
		}
		checkPoints(t, points)
		if s.MinSigma > 0 && s.FinalNoise {
			points = points[:len(points)-1] // the last step may lead up from a sigma that is given
		}
		for i, p := range points[1:] {
			if before := points[i]; sigma(p) > sigma(before)*(1+1e-6) || p.T > before.T+1e-9 && !s.LogTimes {
				t.Fatalf("point %d of %d, %v, follows %v: %+v", i+1, len(points), p, before, bare(s))
			}
		}
	})
}

// Whatever sigmas and times are given to whatever sampler: there is an error, or a plan that runs.
func FuzzGiven(f *testing.F) {
	for i := range sampler.Names() {
		f.Add(byte(i), byte(i), 14., 3., 0.)
		f.Add(byte(i), byte(i+1), 1e5, 1e-3, 1e-4)
		f.Add(byte(i), byte(i+2), 999., 500., 0.)
		f.Add(byte(i), byte(i), 10., 1e-320, 0.)
		f.Add(byte(i), byte(i+1), 5e37, 1e19, 2.4e-38)
		f.Add(byte(i), byte(i), 0x1p64, 1e10, 0x1p-64)
		f.Add(byte(i), byte(i+1), 1e19, 1e-19, 0.)
	}
	f.Fuzz(func(t *testing.T, name, prediction byte, a, b, c float64) {
		kind := sampler.Prediction(prediction % 3)
		config, err := read(sampler.Names()[int(name)%len(sampler.Names())], `prediction_type: "`+kind.String()+`"`, "clip_sample: false")
		if err != nil {
			return // PNDM has no samples
		}
		if p, err := config.PlanOf([]float64{a, b, c}); err == nil {
			checkPoints(t, p.Points)
			runs(t, p)
		}
		if p, err := config.PlanAt([]float64{a, b, c}); err == nil {
			checkPoints(t, p.Points)
			runs(t, p)
		}
	})
}
