package pipeline

import (
	"context"
	"fmt"
	"image"
	"iter"
	"math"
	"strings"

	"github.com/lanewise/lanewise/clip"
	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
	"github.com/lanewise/lanewise/unet"
)

// Request is what a picture is made from.
type Request struct {
	Prompt string
	Style  string // one of the model's; empty is no style
	Seed   uint64 // of the noise: that of torch.manual_seed(Seed); torch.randn(1, 3, Size, Size)
	// Steps, Guidance and Sampler have the model's defaults where they are zero. Guidance 1 follows
	// prompt and style plainly, in half the time; more exaggerates them.
	Steps    int
	Guidance float64
	Sampler  string
}

// Session is the memory for making pictures with a model, one at a time. It has one user at a time.
type Session struct {
	model   *TextStyle
	unets   [2]*unet.Session // for a batch of one and of two, made when first needed
	measure bool
}

// Session makes room for a picture. What the U-Net needs is allocated by the first Generate.
func (m *TextStyle) Session() *Session { return &Session{model: m} }

// Measure starts a new profile of the U-Net, or ends measuring.
func (s *Session) Measure(on bool) {
	s.measure = on
	for _, u := range s.unets {
		if u != nil {
			u.Program().Measure(on)
		}
	}
}

// Profile returns what each op of the U-Net took since Measure.
func (s *Session) Profile() program.Profile {
	var all program.Profile
	for _, u := range s.unets {
		if u != nil {
			all = append(all, u.Program().Profile()...)
		}
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
// at between any two ops of the model, errors.Is finds it.
func (s *Session) Generate(ctx context.Context, r Request) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		x, predict, plan, err := s.prepare(ctx, r)
		if err != nil {
			yield(Step{}, err)
			return
		}
		for step, err := range sampler.Steps(ctx, predict, x, plan.Points, plan.Method) {
			if !yield(Step{step}, err) || err != nil {
				return
			}
		}
	}
}

// prepare returns what the steps of a request need: noise, what predicts, and the plan.
func (s *Session) prepare(ctx context.Context, r Request) (x tensor.NHWC, p sampler.Predictor, plan *sampler.Plan, err error) {
	if r.Steps == 0 {
		r.Steps = s.model.Steps
	}
	if r.Guidance == 0 {
		r.Guidance = s.model.Guidance
	}
	if r.Sampler == "" {
		r.Sampler = s.model.Sampler
	}
	schedule, ok := s.model.schedules[strings.ToLower(r.Sampler)]
	switch {
	case !ok:
		err = fmt.Errorf("pipeline: unknown sampler %q (samplers: %s)", r.Sampler, strings.Join(s.model.Samplers(), ", "))
	case math.IsNaN(r.Guidance) || math.IsInf(r.Guidance, 0):
		err = fmt.Errorf("pipeline: guidance %v", r.Guidance)
	default:
		plan, err = schedule.Plan(r.Steps)
	}
	if err != nil {
		return x, nil, nil, err
	}
	conds, err := s.model.conditions(ctx, r)
	if err != nil {
		return x, nil, nil, err
	}
	if p, err = s.predictor(conds, r.Guidance); err != nil {
		return x, nil, nil, err
	}
	x = tensor.Make(1, s.model.Size, s.model.Size, channels)
	sampler.Noise(x, r.Seed)
	plan.Begin(x)
	return x, p, plan, nil
}

// conditions returns what a request conditions the U-Net on, after what guidance leads away from:
// the empty prompt without a style.
func (m *TextStyle) conditions(ctx context.Context, r Request) ([2]cond.Cond, error) {
	label, err := m.Label(r.Style)
	if err != nil {
		return [2]cond.Cond{}, err
	}
	ids := [][]int{m.Words.Encode("").IDs, m.Words.Encode(r.Prompt).IDs}
	text, err := m.Text.Encode(ctx, ids, clip.TextOptions{})
	if err != nil {
		return [2]cond.Cond{}, fmt.Errorf("pipeline: %w", err)
	}
	with := func(i, label int) cond.Cond {
		return cond.Cond{Context: []cond.Context{{Tokens: text.States.Slice(i*text.Tokens, (i+1)*text.Tokens)}}, Class: label}
	}
	return [2]cond.Cond{with(0, m.NoStyle), with(1, label)}, nil
}

// predictor returns the U-Net under the second condition, led away from the first.
func (s *Session) predictor(conds [2]cond.Cond, guidance float64) (sampler.Predictor, error) {
	used := conds[:]
	if guidance == 1 {
		used = conds[1:]
	}
	u := &s.unets[len(used)-1]
	if *u == nil {
		session, err := s.model.UNet.Session(len(used), s.model.Size, s.model.Size)
		if err != nil {
			return nil, fmt.Errorf("pipeline: %w", err)
		}
		session.Program().Measure(s.measure)
		*u = session
	}
	bound, err := (*u).Bind(used...)
	if err != nil {
		return nil, fmt.Errorf("pipeline: %w", err)
	}
	predict := func(ctx context.Context, out, x tensor.NHWC, p sampler.Point) error {
		return bound.Forward(ctx, out, x, p.T)
	}
	if guidance == 1 {
		return predict, nil
	}
	return sampler.Guide(predict, guidance), nil
}

// picture returns the first image of x with values from -1 to 1 as 0 to 255, rounded to the
// nearest, halves to even.
func picture(x tensor.NHWC) *image.RGBA {
	p := image.NewRGBA(image.Rect(0, 0, x.W, x.H))
	for y := range x.H {
		for col := range x.W {
			to := p.Pix[p.PixOffset(col, y):]
			for c, v := range x.Pixel(0, y, col) {
				v = (min(max(v, -1), 1) + 1) * 127.5
				to[c] = uint8(math.RoundToEven(float64(v)))
			}
			to[3] = 0xff
		}
	}
	return p
}
