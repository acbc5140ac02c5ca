package pipeline

import (
	"context"
	"errors"
	"fmt"
	"image"
	"iter"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
	"github.com/lanewise/lanewise/unet"
)

// Session is the memory for making pictures with a model. It has one user at a time, who may make
// several pictures in turns, a step of each.
type Session struct {
	model   *TextStyle
	options []Options             // none or one
	unets   map[int]*unet.Session // by batch, made when first needed
	measure bool
	busy    atomic.Bool
}

// Options are the choices that a session is made with. The zero value is the default.
type Options = unet.Options

// Session makes room for a picture, with the default Options or those given. What the U-Net needs is
// allocated by the first Generate that has as many conditions.
func (m *TextStyle) Session(options ...Options) *Session {
	return &Session{model: m, options: options, unets: make(map[int]*unet.Session)}
}

// Measure starts a new profile of the U-Net, or ends measuring.
func (s *Session) Measure(on bool) {
	s.measure = on
	for _, u := range s.unets {
		u.Program().Measure(on)
	}
}

// Profile returns what each op of the U-Net took since Measure.
func (s *Session) Profile() program.Profile {
	var all program.Profile
	for _, batch := range slices.Sorted(maps.Keys(s.unets)) {
		all = append(all, s.unets[batch].Program().Profile()...)
	}
	return all
}

// Step is a finished step of a picture: X is what there is, X0 a preview of what it will become.
type Step struct{ sampler.Step }

// Done says whether the picture is finished.
func (s Step) Done() bool { return s.Index == s.Count-1 }

// Picture returns X as a picture: values from -1 to 1 become 0 to 255.
func (s Step) Picture() *image.RGBA { return picture(s.X) }

// Preview returns X0 as a picture.
func (s Step) Preview() *image.RGBA { return picture(s.X0) }

// Generate makes a picture, step by step: a range over it runs the model, and leaving the loop
// ends it. An error is the last thing that comes; if it is that ctx was canceled, which is looked
// at between any two ops of the model, errors.Is finds it. It is an error where another goroutine uses
// the session.
func (s *Session) Generate(ctx context.Context, r Request) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		var run run
		err := s.use(func() (err error) {
			run, err = s.prepare(ctx, r)
			return err
		})
		if err != nil {
			yield(Step{}, err)
			return
		}
		predict := func(ctx context.Context, out, x tensor.NHWC, p sampler.Point) error {
			return s.use(func() error { return run.predict(ctx, out, x, p) })
		}
		for step, err := range sampler.StepsFrom(ctx, predict, run.x, run.points, run.first, run.method) {
			if !yield(Step{step}, err) || err != nil {
				return
			}
		}
	}
}

// use calls f, unless somebody else uses the session.
func (s *Session) use(f func() error) error {
	if s.busy.Swap(true) {
		return errors.New("pipeline: the session is in use")
	}
	defer s.busy.Store(false)
	return f()
}

// run is what the steps of a request need.
type run struct {
	x       tensor.NHWC // at points[first]
	predict sampler.Predictor
	points  []sampler.Point
	first   int
	method  sampler.Method
}

// prepare checks a request and binds the U-Net to its conditions.
func (s *Session) prepare(ctx context.Context, r Request) (run, error) {
	m := s.model
	r, err := m.complete(r)
	if err != nil {
		return run{}, err
	}
	plan, first, err := m.plan(r)
	if err != nil {
		return run{}, err
	}
	conds, err := m.conditions(ctx, r)
	if err != nil {
		return run{}, err
	}
	predict, err := s.predictor(r, conds)
	if err != nil {
		return run{}, err
	}
	noise := sampler.NewGenerator(r.Seed)
	x := tensor.Make(1, m.Size, m.Size, channels)
	noise.Noise(x)
	if r.From == nil {
		plan.Begin(x)
	} else {
		from, err := Fit(r.From, m.Size)
		if err != nil {
			return run{}, err
		}
		clean := tensor.Make(1, m.Size, m.Size, channels)
		values(clean, from)
		sampler.AddNoise(x, clean, x, plan.Points[first])
	}
	return run{x, predict, plan.Points, first, sampler.WithNoise(plan.Method, noise)}, nil
}

// predictor returns the U-Net led away from the first condition, towards those of a request's mix.
func (s *Session) predictor(r Request, conds []cond.Cond) (sampler.Predictor, error) {
	g := sampler.Guidance{Rescale: r.Rescale, Interval: r.Interval}
	var plain []cond.Cond // that the plain prediction is made of
	for i, p := range r.Mix {
		scale := r.Guidance * p.Weight
		g.Scales = append(g.Scales, scale)
		if scale > 0 {
			plain = append(plain, conds[1+i])
		}
	}
	if err := g.Validate(); err != nil {
		return nil, fmt.Errorf("pipeline: %w", err)
	}
	if slices.Equal(g.Scales, []float64{1}) {
		return s.bind(plain)
	}
	if plain == nil {
		plain = conds[:1]
	}
	all, err := s.bind(conds)
	if err == nil && r.Interval != (sampler.Interval{}) {
		g.Plain, err = s.bind(plain)
	}
	if err != nil {
		return nil, err
	}
	return g.Predictor(all), nil
}

// bind returns the U-Net under conditions, one for each image of a batch.
func (s *Session) bind(conds []cond.Cond) (sampler.Predictor, error) {
	u := s.unets[len(conds)]
	if u == nil {
		var err error
		if u, err = s.model.UNet.Session(len(conds), s.model.Size, s.model.Size, s.options...); err != nil {
			return nil, fmt.Errorf("pipeline: %w", err)
		}
		u.Program().Measure(s.measure)
		s.unets[len(conds)] = u
	}
	bound, err := u.Bind(conds...)
	if err != nil {
		return nil, fmt.Errorf("pipeline: %w", err)
	}
	return func(ctx context.Context, out, x tensor.NHWC, p sampler.Point) error {
		return bound.Forward(ctx, out, x, p.T)
	}, nil
}
