package dit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// Session is a model's program and memory for one shape. It has one user at a time; a model can
// have many sessions.
type Session struct {
	model                *Model
	batch, height, width int

	program *program.Program
	prompts []*blocks.Prompt

	// What the program reads on a run, and where it writes.
	busy    atomic.Bool
	bound   *Bound
	x, out  tensor.NHWC
	times   []float64
	vectors tensor.Mat // what is added to the time embeddings: of each image, of all embeddings
}

// maxPixels is the most pixels in all images of a session. It keeps sizes far from overflow.
const maxPixels = 1 << 26

// Session prepares the model for batch images of height × width, multiples of Config.Patch.
func (m *Model) Session(batch, height, width int) (*Session, error) {
	if batch < 1 || height < 1 || width < 1 || batch > maxPixels || height > maxPixels/batch || width > maxPixels/batch/height {
		return nil, fmt.Errorf("dit: session for %d images of %d×%d, want at least 1 pixel and at most %d in all", batch, height, width, maxPixels)
	}
	if p := m.Config.Patch; height%p != 0 || width%p != 0 {
		return nil, fmt.Errorf("dit: images of %d×%d, want multiples of the patches of %d×%d", height, width, p, p)
	}
	if err := m.patches.Check(height, width); err != nil {
		return nil, fmt.Errorf("dit: images of %d×%d: %w", height, width, err)
	}
	s := &Session{model: m, batch: batch, height: height, width: width, times: make([]float64, batch)}
	s.vectors = tensor.MakeMat(batch, m.vectors())
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
func (s *Session) Program() *program.Program { return s.program }

// Forward writes to out what the model says about the noisy images x at time t, in training steps.
//
// out holds as many images as the session, x as many or a divisor: image i of the batch is image
// i mod x.N of x, so that guidance runs one x with several conditions at once. x has
// Config.InChannels less those of cond.Cond's Concat. out may be x where it has as many channels.
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
		return fmt.Errorf("dit: %d times for a batch of %d", len(times), b.session.batch)
	}
	if err := b.begin(out, x); err != nil {
		return err
	}
	copy(b.session.times, times)
	return b.run(ctx)
}

// begin makes the session this bound's, and its input and output those given.
func (b *Bound) begin(out, x tensor.NHWC) error {
	s, c := b.session, &b.session.model.Config
	channels := c.InChannels - b.concatChannels
	switch {
	case x.H != s.height || x.W != s.width || x.C != channels || x.N < 1 || s.batch%x.N != 0:
		return fmt.Errorf("dit: x is %s, want n×%d×%d×%d with n a divisor of %d", x.Shape(), s.height, s.width, channels, s.batch)
	case out.N != s.batch || out.H != s.height || out.W != s.width || out.C != c.OutChannels:
		return fmt.Errorf("dit: out is %s, want %d×%d×%d×%d", out.Shape(), s.batch, s.height, s.width, c.OutChannels)
	}
	x.Check("dit: x")
	out.Check("dit: out")
	if s.busy.Swap(true) {
		return errBusy
	}
	s.bound, s.x, s.out = b, x, out
	copy(s.vectors.Data, b.vectors.Data)
	for i, p := range s.prompts {
		p.KV = b.prompts[i]
	}
	return nil
}

var errBusy = errors.New("dit: the session is in use")

// run runs the program, and gives the session free.
func (b *Bound) run(ctx context.Context) error {
	s := b.session
	err := s.checkTimes()
	if err == nil {
		err = s.program.Run(ctx)
	}
	s.bound, s.x, s.out = nil, tensor.NHWC{}, tensor.NHWC{}
	s.busy.Store(false)
	return err
}

// checkTimes returns an error where a time is not finite.
func (s *Session) checkTimes() error {
	for _, t := range s.times {
		if math.IsNaN(t) || math.IsInf(t, 0) {
			return fmt.Errorf("dit: time %v", t)
		}
	}
	return nil
}

// readInput fills dst with the session's x, repeated to the batch, and what stands behind its channels.
func (s *Session) readInput(dst tensor.NHWC) {
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
}
