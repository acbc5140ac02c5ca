package unet

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// Session is a model's program and memory for one shape. It has one user at a time; a model can
// have many sessions.
type Session struct {
	session
	model *Model
	out   tensor.NHWC // of the run in progress
}

// session is what the sessions of U-Nets and ControlNets have in common.
type session struct {
	trunk                *trunk
	batch, height, width int
	shapes               shapes

	program *program.Program
	prompts []*blocks.Prompt

	// What the program reads on a run.
	busy  atomic.Bool
	bound *binding
	x     tensor.NHWC
	times []float64
}

// Session prepares the model for batch images of height × width.
func (m *Model) Session(batch, height, width int) (*Session, error) {
	s := &Session{model: m}
	if err := s.prepare(&m.trunk, batch, height, width); err != nil {
		return nil, err
	}
	s.build()
	return s, nil
}

// maxPixels is the most pixels in all images of a session. It keeps sizes far from overflow.
const maxPixels = 1 << 26

// prepare fills in all but the program.
func (s *session) prepare(t *trunk, batch, height, width int) (err error) {
	if batch < 1 || height < 1 || width < 1 || batch > maxPixels || height > maxPixels/batch || width > maxPixels/batch/height {
		return t.errorf("session for %d images of %d×%d, want at least 1 pixel and at most %d in all", batch, height, width, maxPixels)
	}
	s.trunk, s.batch, s.height, s.width = t, batch, height, width
	s.times = make([]float64, batch)
	s.shapes, err = t.shapes(height, width)
	return err
}

// Program returns the session's program, to observe or measure its ops.
func (s *session) Program() *program.Program { return s.program }

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
	if err := b.begin(out, x); err != nil {
		return err
	}
	for i := range b.session.times {
		b.session.times[i] = t
	}
	return b.run(ctx)
}

// ForwardEach is Forward with a time for each image of the batch.
func (b *Bound) ForwardEach(ctx context.Context, out, x tensor.NHWC, times []float64) error {
	if len(times) != b.session.batch {
		return fmt.Errorf("unet: %d times for a batch of %d", len(times), b.session.batch)
	}
	if err := b.begin(out, x); err != nil {
		return err
	}
	copy(b.session.times, times)
	return b.run(ctx)
}

// begin makes the session this bound's, and its input and output those given.
func (b *Bound) begin(out, x tensor.NHWC) error {
	s := b.session
	if c := s.model.Config.OutChannels; out.N != s.batch || out.H != s.height || out.W != s.width || out.C != c {
		return fmt.Errorf("unet: out is %s, want %d×%d×%d×%d", out.Shape(), s.batch, s.height, s.width, c)
	}
	out.Check("unet: out")
	if err := s.begin(b.binding, x); err != nil {
		return err
	}
	s.out = out
	return nil
}

// run runs the program, and gives the session free.
func (b *Bound) run(ctx context.Context) error {
	err := b.session.run(ctx)
	b.session.out = tensor.NHWC{}
	b.session.end()
	return err
}

// begin makes the session a binding's, and x its input.
func (s *session) begin(b *binding, x tensor.NHWC) error {
	if c := s.trunk.config.InChannels - b.concatChannels; x.H != s.height || x.W != s.width || x.C != c || x.N < 1 || s.batch%x.N != 0 {
		return s.trunk.errorf("x is %s, want n×%d×%d×%d with n a divisor of %d", x.Shape(), s.height, s.width, c, s.batch)
	}
	x.Check("unet: x")
	if s.busy.Swap(true) {
		return s.trunk.errorf("the session is in use")
	}
	s.bound, s.x = b, x
	for i, p := range s.prompts {
		p.KV = b.prompts[i]
	}
	return nil
}

// run checks the session's times and runs the program.
func (s *session) run(ctx context.Context) error {
	for _, t := range s.times {
		if err := s.trunk.config.checkTime(t); err != nil {
			return s.trunk.errorf("%w", err)
		}
	}
	return s.program.Run(ctx)
}

// end gives the session free.
func (s *session) end() {
	s.bound, s.x = nil, tensor.NHWC{}
	for _, p := range s.prompts {
		p.KV = nil
	}
	s.busy.Store(false)
}

// readInput fills dst with the session's x, repeated to the batch, and what is put behind its channels.
func (s *session) readInput(dst tensor.NHWC) {
	x := dst.Channels(0, s.x.C)
	for n := 0; n < dst.N; n += s.x.N {
		tensor.Copy(x.Images(n, n+s.x.N), s.x)
	}
	for n, behind := range s.bound.concat {
		to := dst.Channels(s.x.C, dst.C).Images(n, n+1)
		if behind.Data != nil {
			tensor.Copy(to, behind)
			continue
		}
		for p := range to.H * to.W {
			clear(to.Tokens().Row(p))
		}
	}
	if s.trunk.config.CenterInput {
		for i, v := range dst.Data {
			dst.Data[i] = float32(2*v) - 1
		}
	}
}

// writeOutput fills the session's out.
func (s *Session) writeOutput(src tensor.NHWC) {
	tensor.Copy(s.out, src)
	if !s.model.Config.DivideByTime {
		return
	}
	for n := range s.out.N {
		rows := s.out.Images(n, n+1).Tokens()
		t := float32(s.times[n])
		for r := range rows.Rows {
			row := rows.Row(r)
			for c := range row {
				row[c] /= t
			}
		}
	}
}
