package unet

import (
	"context"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/internal/denoiser"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// Session is a model's program and memory for one shape. It has one user at a time; a model can
// have many sessions.
type Session struct {
	session
	model *Model
}

// session is what the sessions of U-Nets and ControlNets have in common.
type session struct {
	trunk   *trunk
	options Options
	shapes  shapes
	run     *denoiser.Run
	bound   *binding // of the run in progress
}

// Options are the choices that a session is made with. The zero value is the default.
type Options = blocks.Options

// Session prepares the model for batch images of height × width, with the default Options or those
// given.
func (m *Model) Session(batch, height, width int, options ...Options) (*Session, error) {
	s := &Session{model: m}
	if err := s.prepare(&m.trunk, batch, height, width, m.Config.OutChannels, options); err != nil {
		return nil, err
	}
	s.build()
	return s, nil
}

// prepare fills in all but the program. out is how many channels come out.
func (s *session) prepare(t *trunk, batch, height, width, out int, options []Options) (err error) {
	s.trunk = t
	if s.options, err = blocks.Given(options); err != nil {
		return t.errorf("session: %w", err)
	}
	s.run, err = denoiser.New(denoiser.Model{
		Name: t.name, InChannels: t.config.InChannels, OutChannels: out, Tokens: t.tokenWidths(),
		CheckTime: t.config.checkTime, Check: s.check, See: t.tokens, Projector: t.projector,
	}, batch, height, width)
	if err != nil {
		return err
	}
	s.shapes, err = t.shapes(height, width)
	return err
}

// Program returns the session's program, to observe or measure its ops.
func (s *session) Program() *program.Program { return s.run.Program }

// shapes are those of what residuals are added to, without memory: one image each.
type shapes struct {
	skips  []tensor.NHWC // what the way down keeps for the way up, in the order of the way down
	mid    tensor.NHWC   // the output of the middle
	levels []tensor.NHWC // the features that adapters add to, by level
}

// shapes follows images of h × w down.
func (t *trunk) shapes(height, width int) (s shapes, err error) {
	h, w := height, width
	keep := func(channels int) tensor.NHWC {
		one := tensor.NHWC{N: 1, H: h, W: w, C: channels}
		s.skips = append(s.skips, one)
		return one
	}
	last := keep(t.config.Levels[0].Channels)
	for i, lv := range t.config.Levels {
		if h < 1 || w < 1 {
			return s, t.errorf("images of %d×%d are too small: nothing is left at level %d of %d", height, width, i+1, len(t.down))
		}
		for range lv.Layers {
			last = keep(lv.Channels)
		}
		early := last
		if down := t.down[i].down; down != nil {
			h, w = down.Size(h, w)
			last = keep(lv.Channels)
		}
		if !lv.Down.Attention.Crosses() {
			early = last
		}
		s.levels = append(s.levels, early)
	}
	s.mid = last
	return s, nil
}

// Bound is a session with its conditions checked and what depends on them alone computed: the keys and
// values of contexts, the embeddings of classes and of pooled texts and images. A session can be
// bound several times, and its bounds run in turns.
type Bound struct {
	session *Session
	binding *binding
}

// Bind checks conditions and computes what depends on them alone. There is one for each image of the
// batch, or one for each of as many equal runs of images: with a batch of 4, Bind(uncond, cond)
// conditions two images on each. Tokens and vectors are read now and not kept; Concat and Residual are
// kept and read by every Forward.
//
// Conditions of a batch may differ in which contexts they have, how many tokens, masks and scales. An
// image that lacks a context which another has gets nothing of it, and no channels but zeros where
// another has Concat. With that, an image comes out as it would alone.
//
// A Cond has a place for every mechanism, and a model takes what it has a place for: Config says which.
// Anything else is an error that names the condition and what is wrong with it, and so is a value that
// is not finite.
func (s *Session) Bind(conds ...cond.Cond) (*Bound, error) {
	b, err := s.bind(conds)
	if err != nil {
		return nil, err
	}
	return &Bound{s, b}, nil
}

// Forward writes to out what the model says about the noisy images x at time t, in training steps.
//
// out holds as many images as the session, x as many or a divisor: image i of the batch is image
// i mod x.N of x, so that guidance runs one x with several conditions at once. x has
// Config.InChannels less those of Cond.Concat. out may be x.
//
// Once bound, Forward neither allocates nor fails, but for operands that do not fit, a session in
// use, and a context that is canceled: that is looked at between ops, and leaves out as it was.
func (b *Bound) Forward(ctx context.Context, out, x tensor.NHWC, t float64) error {
	return b.session.forward(ctx, b.binding, out, x, denoiser.All(t))
}

// ForwardEach is Forward with a time for each image of the batch.
func (b *Bound) ForwardEach(ctx context.Context, out, x tensor.NHWC, times []float64) error {
	return b.session.forward(ctx, b.binding, out, x, denoiser.Each(times))
}

// forward runs the program once for what is bound.
func (s *session) forward(ctx context.Context, b *binding, out, x tensor.NHWC, at denoiser.Times) error {
	if err := s.run.Begin(b.inputs, out, x, at); err != nil {
		return err
	}
	s.bound = b
	err := s.run.Program.Run(ctx)
	s.bound = nil
	s.run.End()
	return err
}

// readInput fills dst with the run's input.
func (s *session) readInput(dst tensor.NHWC) {
	s.run.ReadInput(dst)
	if s.trunk.config.CenterInput {
		for i, v := range dst.Data {
			dst.Data[i] = float32(2*v) - 1
		}
	}
}

// writeOutput fills the run's output.
func (s *Session) writeOutput(src tensor.NHWC) {
	out := s.run.Out
	tensor.Copy(out, src)
	if !s.model.Config.DivideByTime {
		return
	}
	for n := range out.N {
		rows := out.Images(n, n+1).Tokens()
		t := float32(s.run.Times[n])
		for r := range rows.Rows {
			row := rows.Row(r)
			for c := range row {
				row[c] /= t
			}
		}
	}
}
