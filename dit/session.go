package dit

import (
	"context"

	"github.com/lanewise/lanewise/internal/denoiser"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// Session is a model's program and memory for one shape. It has one user at a time; a model can
// have many sessions.
type Session struct {
	model   *Model
	run     *denoiser.Run
	vectors tensor.Mat // of the run in progress: what is added to the time embeddings of each image, of all embeddings
}

// Session prepares the model for batch images of height × width, multiples of Config.Patch.
func (m *Model) Session(batch, height, width int) (*Session, error) {
	c := &m.Config
	run, err := denoiser.New(denoiser.Model{
		Name: "dit", InChannels: c.InChannels, OutChannels: c.OutChannels, Tokens: []int{c.ContextDim},
		Check: m.check, See: m.tokens, Projector: m.projector,
	}, batch, height, width)
	if err != nil {
		return nil, err
	}
	if p := c.Patch; height%p != 0 || width%p != 0 {
		return nil, run.Errorf("images of %d×%d, want multiples of the patches of %d×%d", height, width, p, p)
	}
	if err := m.patches.Check(height, width); err != nil {
		return nil, run.Errorf("images of %d×%d: %w", height, width, err)
	}
	s := &Session{model: m, run: run, vectors: tensor.MakeMat(batch, m.vectors())}
	s.build()
	return s, nil
}

// vectors is how many values an image is conditioned on besides time and captions.
func (m *Model) vectors() int {
	if m.Config.Sizes {
		return m.Config.Width()
	}
	return m.VectorDim()
}

// Program returns the session's program, to observe or measure its ops.
func (s *Session) Program() *program.Program { return s.run.Program }

// Forward writes to out what the model says about the noisy images x at time t, in training steps.
//
// out holds as many images as the session, x as many or a divisor: image i of the batch is image
// i mod x.N of x, so that guidance runs one x with several conditions at once. x has
// Config.InChannels less those of cond.Cond's Concat. out may be x where it has as many channels.
//
// Once bound, Forward neither allocates nor fails, but for operands that do not fit, a session in
// use, and a context that is canceled: that is looked at between ops, and leaves out as it was.
func (b *Bound) Forward(ctx context.Context, out, x tensor.NHWC, t float64) error {
	return b.forward(ctx, out, x, denoiser.All(t))
}

// ForwardEach is Forward with a time for each image of the batch.
func (b *Bound) ForwardEach(ctx context.Context, out, x tensor.NHWC, times []float64) error {
	return b.forward(ctx, out, x, denoiser.Each(times))
}

// forward runs the program once.
func (b *Bound) forward(ctx context.Context, out, x tensor.NHWC, at denoiser.Times) error {
	s := b.session
	if err := s.run.Begin(b.inputs, out, x, at); err != nil {
		return err
	}
	copy(s.vectors.Data, b.vectors.Data)
	err := s.run.Program.Run(ctx)
	s.run.End()
	return err
}
