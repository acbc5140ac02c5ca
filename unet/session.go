package unet

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
	busy   atomic.Bool
	x, out tensor.NHWC
	times  []float64
	labels []int
}

// maxPixels is the most pixels in all images of a session. It keeps sizes far from overflow.
const maxPixels = 1 << 26

// Session prepares the model for batch images of height × width.
func (m *Model) Session(batch, height, width int) (*Session, error) {
	if batch < 1 || height < 1 || width < 1 || batch > maxPixels || height > maxPixels/batch || width > maxPixels/batch/height {
		return nil, fmt.Errorf("unet: session for %d images of %d×%d, want at least 1 pixel and at most %d in all", batch, height, width, maxPixels)
	}
	h, w := height, width
	for i, level := range m.down {
		if h < 1 || w < 1 {
			return nil, fmt.Errorf("unet: images of %d×%d are too small: nothing is left at level %d of %d", height, width, i+1, len(m.down))
		}
		if level.down != nil {
			h, w = level.down.Size(h, w)
		}
	}
	s := &Session{
		model: m, batch: batch, height: height, width: width,
		times: make([]float64, batch), labels: make([]int, batch),
	}
	s.build()
	return s, nil
}

// Program returns the session's program, to observe or measure its ops.
func (s *Session) Program() *program.Program { return s.program }

// Forward writes to out what the model says about the noisy images x at time t, in training steps.
//
// out holds as many images as the session, x as many or a divisor: image i of the batch is image
// i mod x.N of x, so that guidance runs one x with several conditions at once. out may be x.
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
	s, c := b.session, &b.session.model.Config
	switch {
	case x.H != s.height || x.W != s.width || x.C != c.InChannels || x.N < 1 || s.batch%x.N != 0:
		return fmt.Errorf("unet: x is %s, want n×%d×%d×%d with n a divisor of %d", x.Shape(), s.height, s.width, c.InChannels, s.batch)
	case out.N != s.batch || out.H != s.height || out.W != s.width || out.C != c.OutChannels:
		return fmt.Errorf("unet: out is %s, want %d×%d×%d×%d", out.Shape(), s.batch, s.height, s.width, c.OutChannels)
	}
	x.Check("unet: x")
	out.Check("unet: out")
	if s.busy.Swap(true) {
		return errBusy
	}
	s.x, s.out = x, out
	copy(s.labels, b.labels)
	for i, p := range s.prompts {
		p.KV = b.prompts[i]
	}
	return nil
}

var errBusy = errors.New("unet: the session is in use")

// run runs the program, and gives the session free.
func (b *Bound) run(ctx context.Context) error {
	s := b.session
	err := s.checkTimes()
	if err == nil {
		err = s.program.Run(ctx)
	}
	s.x, s.out = tensor.NHWC{}, tensor.NHWC{}
	s.busy.Store(false)
	return err
}

// checkTimes returns an error where a time is not finite.
func (s *Session) checkTimes() error {
	for _, t := range s.times {
		if math.IsNaN(t) || math.IsInf(t, 0) {
			return fmt.Errorf("unet: time %v", t)
		}
	}
	return nil
}

// readInput fills dst with the session's x, repeated to the batch.
func (s *Session) readInput(dst tensor.NHWC) {
	for n := 0; n < dst.N; n += s.x.N {
		tensor.Copy(dst.Images(n, n+s.x.N), s.x)
	}
	if s.model.Config.CenterInput {
		for i, v := range dst.Data {
			dst.Data[i] = float32(2*v) - 1
		}
	}
}

// writeOutput fills the session's out.
func (s *Session) writeOutput(src tensor.NHWC) { tensor.Copy(s.out, src) }
