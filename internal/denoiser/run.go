package denoiser

import (
	"fmt"

	"github.com/lanewise/lanewise/tensor"
)

// Times are those of the images of a batch: one for All, or one for Each.
type Times struct {
	all  float64
	each []float64
	many bool
}

// All is one time for all images.
func All(t float64) Times { return Times{all: t} }

// Each is a time for each image.
func Each(times []float64) Times { return Times{each: times, many: true} }

// Begin makes the session that of b, and sets what the run reads and writes: x holds as many images as the
// batch or a divisor of it, out as many as the batch. A model without an output has none. It is an error,
// and nothing has begun, where operands do not fit, the model does not know a time, or the session is
// in use. End has to follow. Neither allocates.
func (r *Run) Begin(b *Binding, out, x tensor.NHWC, at Times) error {
	if err := r.checkTimes(at); err != nil {
		return r.Errorf("%w", err)
	}
	if c := r.InChannels - b.channels; x.H != r.Height || x.W != r.Width || x.C != c || x.N < 1 || r.Batch%x.N != 0 {
		return r.Errorf("x is %s, want n×%d×%d×%d with n a divisor of %d", x.Shape(), r.Height, r.Width, c, r.Batch)
	}
	x.Check(r.names.x)
	if r.OutChannels > 0 {
		if want := (tensor.NHWC{N: r.Batch, H: r.Height, W: r.Width, C: r.OutChannels}); !out.SameShape(want) {
			return r.Errorf("out is %s, want %s", out.Shape(), want.Shape())
		}
		out.Check(r.names.out)
	}
	if r.busy.Swap(true) {
		return r.Errorf("the session is in use")
	}
	r.bound, r.X, r.Out = b, x, out
	for i := range r.Times {
		r.Times[i] = at.all
	}
	copy(r.Times, at.each)
	for i, p := range r.prompts {
		p.KV = b.prompts[i]
	}
	return nil
}

// End gives the session free.
func (r *Run) End() {
	r.bound, r.X, r.Out = nil, tensor.NHWC{}, tensor.NHWC{}
	for _, p := range r.prompts {
		p.KV = nil
	}
	r.busy.Store(false)
}

// checkTimes returns an error unless the model knows the times of all images.
func (r *Run) checkTimes(at Times) error {
	if !at.many {
		return r.checkTime(at.all)
	}
	if len(at.each) != r.Batch {
		return fmt.Errorf("%d times for a batch of %d", len(at.each), r.Batch)
	}
	for _, t := range at.each {
		if err := r.checkTime(t); err != nil {
			return err
		}
	}
	return nil
}

// checkTime returns an error unless the model knows a time.
func (r *Run) checkTime(t float64) error {
	if t-t != 0 {
		return fmt.Errorf("time %v", t)
	}
	if r.CheckTime == nil {
		return nil
	}
	return r.CheckTime(t)
}

// ReadInput fills dst, which has all channels of the input, with the run's x, repeated to the batch, and
// what stands behind its channels.
func (r *Run) ReadInput(dst tensor.NHWC) {
	x := dst.Channels(0, r.X.C)
	for n := 0; n < dst.N; n += r.X.N {
		tensor.Copy(x.Images(n, n+r.X.N), r.X)
	}
	for n, behind := range r.bound.concat {
		to := dst.Channels(r.X.C, dst.C).Images(n, n+1)
		if behind.Data != nil {
			tensor.Copy(to, behind)
			continue
		}
		for p := range to.H * to.W {
			clear(to.Tokens().Row(p))
		}
	}
}
