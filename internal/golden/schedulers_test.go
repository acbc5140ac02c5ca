package golden_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/golden"
	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

// Group D: a scheduler of diffusers with a formula in place of a model. The states after every
// step are compared; diffusers computed them in float32, and the last one in float64 too.

// scheduler is a case of the group.
type scheduler struct {
	*golden.Case
	config *sampler.Config
	step   stepArgs
	sigmas bool // diffusers keeps the samples at x/Alpha
}

// stepArgs are what diffusers' step was given besides the sample.
type stepArgs struct {
	Eta      float64 `json:"eta"`
	FitNoise bool    `json:"use_clipped_model_output"`
	Churn    float64 `json:"s_churn"`
	TMin     float64 `json:"s_tmin"`
	TMax     float64 `json:"s_tmax"`
	Spread   float64 `json:"s_noise"`
}

// schedulerRun is so many steps of one formula.
type schedulerRun struct {
	Steps     int     `json:"num_inference_steps"`
	Start     int     `json:"start"` // steps left out at the beginning
	Model     string  `json:"model"`
	InitSigma float64 `json:"init_noise_sigma"`
	Times     string  `json:"timesteps_dtype"`
	Calls     int     `json:"n_calls"`
	Given     struct {
		Original int       `json:"original_inference_steps"`
		Strength float64   `json:"strength"`
		Times    []float64 `json:"timesteps"`
		Sigmas   []float64 `json:"sigmas"`
	} `json:"set_timesteps_kwargs"`
	Atol      float64 `json:"atol"`
	AtolFinal float64 `json:"atol_final"`
}

// sigmaSpace are the classes that keep samples at x/Alpha.
var sigmaSpace = []string{"EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler"}

// runScheduler makes all runs of a case.
func runScheduler(_ *engine.Engine, c *golden.Case) error {
	s := scheduler{Case: c, sigmas: slices.Contains(sigmaSpace, c.Class)}
	var runs map[string]schedulerRun
	if err := errors.Join(json.Unmarshal(c.Runs, &runs), json.Unmarshal(c.StepArgs, &s.step)); err != nil {
		return err
	}
	var err error
	if s.config, err = sampler.ReadConfig(c.Model(), "scheduler_config.json", c.Class); err != nil {
		return err
	}
	errs := []error{s.checkLevels(), s.checkAddNoise(runs)}
	if len(runs) == 0 {
		errs = append(errs, errors.New("no runs"))
	}
	for _, name := range slices.Sorted(maps.Keys(runs)) {
		if err := s.run(name, runs[name]); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// checkLevels compares the levels that the model was trained at: all, or five of a thousand.
func (s *scheduler) checkLevels() error {
	want, err := s.Float32("alphas_cumprod")
	if err != nil {
		return err
	}
	got := golden.Tensor{Shape: want.Shape}
	for t, level := range s.config.Schedule.Levels {
		if len(want.Data) != 5 || slices.Contains([]int{0, 1, 499, 998, 999}, t) {
			got.Data = append(got.Data, float32(level))
		}
	}
	return want.Compare(got, func(want float64) float64 { return 1e-5 * want })
}

// checkAddNoise compares AddNoise at several times. The index does not say of which run they are, so
// it passes with one, or with the levels of training.
func (s *scheduler) checkAddNoise(runs map[string]schedulerRun) error {
	err := s.addNoise(nil)
	for _, name := range slices.Sorted(maps.Keys(runs)) {
		if err == nil {
			break
		}
		plan, failed := s.plan(runs[name])
		if failed != nil {
			return failed
		}
		if with := s.addNoise(plan.Points[:len(plan.Points)-1]); with == nil {
			return nil
		}
	}
	return err
}

// addNoise compares AddNoise at points that have the times, or at training steps where none has.
func (s *scheduler) addNoise(points []sampler.Point) error {
	x0, err := s.Float32("add_noise.x0")
	noise, err1 := s.Float32("add_noise.noise")
	times, err2 := s.Float32("add_noise.t")
	if err := errors.Join(err, err1, err2); err != nil {
		return err
	}
	got := golden.Tensor{Shape: x0.Shape, Data: make([]float32, len(x0.Data))}
	n := len(x0.Data) / len(times.Data)
	for i, time := range times.Data {
		part := func(t golden.Tensor) tensor.NHWC {
			return tensor.NHWC{N: 1, H: 1, W: n, C: 1, Stride: 1, Data: t.Data[i*n : (i+1)*n]}
		}
		p, err := s.level(float64(time), points)
		if err != nil {
			return err
		}
		sampler.AddNoise(part(got), part(x0), part(noise), p)
		if s.sigmas {
			scale(part(got), 1/p.Alpha)
		}
	}
	return s.CompareWithin("add_noise.y", got, func(want float64) float64 { return 5e-5 * (1 + math.Abs(want)) })
}

// level returns the point of a time: where several have it, the second, as in diffusers.
func (s *scheduler) level(time float64, points []sampler.Point) (sampler.Point, error) {
	var found []sampler.Point
	for _, p := range points {
		if math.Abs(p.T-time) < 5e-3 {
			found = append(found, p)
		}
	}
	switch {
	case len(found) > 0:
		return found[min(1, len(found)-1)], nil
	case time == math.Trunc(time):
		return s.config.Schedule.Levels.At(int(time)), nil
	}
	return sampler.Point{}, fmt.Errorf("add_noise: no point has the time %v", time)
}

// run makes one run, and compares its times and every state that it passes: diffusers' after a call
// of the model is what the model is next asked about.
func (s *scheduler) run(name string, run schedulerRun) error {
	plan, err := s.plan(run)
	if err != nil {
		return err
	}
	if err := s.checkTimes(name, run, plan.Points); err != nil {
		return err
	}
	x, err := s.sample(run, plan)
	if err != nil {
		return err
	}
	noise, err := s.noise(name)
	if err != nil {
		return err
	}
	path, err := s.Float32(name + ".traj")
	final64, err1 := s.Float32(name + ".final64")
	if err := errors.Join(err, err1); err != nil {
		return err
	}
	size := len(x.Data)
	state := func(x tensor.NHWC, p sampler.Point) golden.Tensor {
		got := golden.Tensor{Shape: path.Shape[1:], Data: make([]float32, size)}
		tensor.ToNCHW(got.Data, x)
		if s.sigmas {
			for i := range got.Data {
				got.Data[i] = float32(float64(got.Data[i]) / p.Alpha)
			}
		}
		return got
	}
	calls := 0
	model := formula(run.Model)
	asked := func(ctx context.Context, out, x tensor.NHWC, p sampler.Point) error {
		if calls > 0 {
			if calls*size > len(path.Data)-size {
				return fmt.Errorf("call %d of the model, want %d", calls+1, run.Calls)
			}
			want := golden.Tensor{Shape: path.Shape[1:], Data: path.Data[(calls-1)*size:][:size]}
			if err := want.Compare(state(x, p), func(float64) float64 { return run.Atol }); err != nil {
				return fmt.Errorf("after call %d: %w", calls, err)
			}
		}
		calls++
		noise.step = calls - 1
		return model(ctx, out, x, p)
	}
	method := s.method(plan.Method, run, noise)
	for step, err := range sampler.StepsFrom(context.Background(), asked, x, plan.Points, run.Start, method) {
		if err != nil {
			return err
		}
		last := step.Index == step.Count-1
		if last {
			got, within := state(step.X, step.To), func(float64) float64 { return run.AtolFinal }
			want := golden.Tensor{Shape: path.Shape[1:], Data: path.Data[len(path.Data)-size:]}
			if err := want.Compare(got, within); err != nil && final64.Compare(got, within) != nil {
				return fmt.Errorf("at the end: %w", err)
			}
		}
		got := state(step.X0, sampler.Point{Alpha: 1})
		for estimate, is := range map[string]bool{name + ".x0_first": step.Index == 0, name + ".x0_last": last} {
			if is && s.Has(estimate) {
				// Where there is little of the sample, the rounding of float32 in x is all that is left.
				slack := 4 * 0x1p-24 * s.largest("in.sample") / step.From.Alpha
				if err := s.CompareWithin(estimate, got, func(float64) float64 { return run.Atol + slack }); err != nil {
					return err
				}
			}
		}
	}
	switch {
	case calls != run.Calls:
		return fmt.Errorf("%d calls of the model, want %d", calls, run.Calls)
	case noise.wrong || noise.drawn != len(noise.steps):
		return fmt.Errorf("noise was not drawn at calls %v", noise.steps)
	}
	return nil
}

// plan returns the plan of a run.
func (s *scheduler) plan(run schedulerRun) (*sampler.Plan, error) {
	c := *s.config
	if of := run.Given.Original; of > 0 {
		// Told how many steps there were, TCD chooses among all training steps.
		if c.Schedule.Distilled = of; s.Class == "TCDScheduler" {
			c.Schedule.Distilled = len(c.Schedule.Levels)
		}
	}
	c.Schedule.Strength = run.Given.Strength
	switch {
	case run.Given.Times != nil:
		return c.PlanAt(run.Given.Times)
	case run.Given.Sigmas != nil:
		return c.PlanOf(run.Given.Sigmas)
	}
	return c.Plan(run.Steps)
}

// sample returns the sample that a run begins with.
func (s *scheduler) sample(run schedulerRun, plan *sampler.Plan) (tensor.NHWC, error) {
	in, err := s.Float32("in.sample")
	if err != nil {
		return tensor.NHWC{}, err
	}
	x := tensor.Make(in.Shape[0], in.Shape[2], in.Shape[3], in.Shape[1])
	tensor.FromNCHW(x, in.Data)
	switch {
	case run.Start == 0:
		plan.Begin(x)
	case s.sigmas:
		scale(x, run.InitSigma*plan.Points[run.Start].Alpha)
	}
	return x, nil
}

// largest returns the largest magnitude in a tensor.
func (s *scheduler) largest(name string) float64 {
	t, err := s.Float32(name)
	if err != nil {
		return math.NaN()
	}
	most := 0.0
	for _, v := range t.Data {
		most = max(most, math.Abs(float64(v)))
	}
	return most
}

// method returns the method with the arguments that diffusers' step had.
func (s *scheduler) method(m sampler.Method, run schedulerRun, noise sampler.Source) sampler.Method {
	switch m := m.(type) {
	case sampler.DDIM:
		m.Eta, m.FitNoise = s.step.Eta, s.step.FitNoise
		return sampler.WithNoise(m, noise)
	case sampler.TCD:
		m.Eta = s.step.Eta
		return sampler.WithNoise(m, noise)
	case sampler.Euler:
		sigmas := run.Steps // less the final one
		if s.config.Schedule.Sigmas == sampler.LogLinear && run.Given.Sigmas == nil {
			sigmas++
		}
		m.Churn, m.MinSigma, m.MaxSigma, m.Spread = s.step.Churn/float64(sigmas), s.step.TMin, s.step.TMax, s.step.Spread
		return sampler.WithNoise(m, noise)
	}
	return sampler.WithNoise(m, noise)
}

// checkTimes compares the times of all points, and the sigmas where diffusers has them.
func (s *scheduler) checkTimes(name string, run schedulerRun, points []sampler.Point) error {
	var times, sigmas golden.Tensor
	for i, p := range points {
		last := i == len(points)-1
		calls := 1
		if s.Class == "HeunDiscreteScheduler" && i > 0 && !last {
			calls = 2
		}
		for range calls {
			if !last {
				times.Data = append(times.Data, float32(p.T))
			}
			sigmas.Data = append(sigmas.Data, float32(p.Sigma/p.Alpha))
		}
	}
	if c := s.config.Schedule; c.Sigmas == sampler.LogLinear && !c.LogTimes && run.Given.Sigmas == nil {
		// There is one more, which no step goes to.
		beyond := sampler.Point{Alpha: 1}
		if c.FinalNoise {
			beyond = c.Levels.At(0)
		}
		sigmas.Data = append(sigmas.Data, float32(beyond.Sigma/beyond.Alpha))
	}
	times.Shape, sigmas.Shape = []int{len(times.Data)}, []int{len(sigmas.Data)}
	err := s.CompareWithin(name+".timesteps", times, func(float64) float64 {
		if strings.HasPrefix(run.Times, "float") {
			return 5e-3
		}
		return 0
	})
	if err == nil && s.Has(name+".sigmas") {
		err = s.CompareWithin(name+".sigmas", sigmas, func(want float64) float64 { return 5e-5 * want })
	}
	return err
}

// formula returns a model of the group. Where it is asked about the variance too, it says sin(3x).
func formula(model string) sampler.Predictor {
	return func(_ context.Context, out, x tensor.NHWC, p sampler.Point) error {
		t := float32(p.T)
		for r, to := 0, out.Tokens(); r < to.Rows; r++ {
			for c, v := range x.Tokens().Row(r) {
				said := v * t / (t + 1)
				if model == "mix" {
					said = 0.5*said + 0.3*float32(math.Sin(float64(2.5*v+0.005*t)))
				}
				if to.Row(r)[c] = said; out.C > x.C {
					to.Row(r)[x.C+c] = float32(math.Sin(float64(3 * v)))
				}
			}
		}
		return nil
	}
}

// recording is a source of the noise that diffusers drew, and notes when it is asked.
type recording struct {
	values      []float32
	steps       []int64 // at which diffusers drew it
	step, drawn int
	wrong       bool // it was drawn at another step
}

// scale multiplies x by a factor.
func scale(x tensor.NHWC, factor float64) {
	for i, v := range x.Data {
		x.Data[i] = float32(factor * float64(v))
	}
}

// noise returns the recording of a run; one without noise has an empty one.
func (s *scheduler) noise(run string) (*recording, error) {
	if !s.Has(run + ".noise_step") {
		return &recording{}, nil
	}
	values, err := s.Float32("in.noise")
	steps, err1 := s.Int64(run + ".noise_step")
	return &recording{values: values.Data, steps: steps}, errors.Join(err, err1)
}

func (r *recording) Noise(x tensor.NHWC) {
	if r.drawn >= len(r.steps) || r.steps[r.drawn] != int64(r.step) {
		r.wrong = true
		return
	}
	tensor.FromNCHW(x, r.values[r.drawn*len(x.Data):][:len(x.Data)])
	r.drawn++
}
