package denoiser

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/tensor"
)

// Binding is what contexts and maps come to, image by image of a session.
type Binding struct {
	prompts  [][]attention.KV // for each of the program's prompts
	concat   []tensor.NHWC    // one image each, or nothing; nil if no image has any
	channels int              // of concat
}

// Bind checks conditions, each of which is for as many images of the batch, and makes the keys and values of
// their contexts. It reads all of a condition for its checks, and keeps Concat.
func (r *Run) Bind(conds []cond.Cond) (*Binding, error) {
	if len(conds) == 0 || r.Batch%len(conds) != 0 {
		return nil, r.Errorf("%d conditions for a batch of %d", len(conds), r.Batch)
	}
	images := r.Batch / len(conds)
	b := &Binding{}
	for i := range conds {
		if err := r.check(&conds[i], images); err != nil {
			return nil, r.Errorf("condition %d: %w", i, err)
		}
		if behind := conds[i].Concat; behind.Data != nil {
			if b.channels != 0 && behind.C != b.channels {
				return nil, r.Errorf("condition %d: concat of %d channels beside one of %d", i, behind.C, b.channels)
			}
			b.channels = behind.C
		}
	}
	if b.channels > 0 {
		b.concat = make([]tensor.NHWC, r.Batch)
		for i := range b.concat {
			b.concat[i] = Image(conds[i/images].Concat, i%images)
		}
	}
	b.prompts = r.prompt(conds)
	return b, nil
}

// Image returns image i of t, which may be one for all, or nothing.
func Image(t tensor.NHWC, i int) tensor.NHWC {
	if t.Data == nil {
		return t
	}
	return t.Images(i%t.N, i%t.N+1)
}

// check returns an error unless so many of the session's images can be conditioned on c.
func (r *Run) check(c *cond.Cond, images int) error {
	if err := r.Check(c, images); err != nil {
		return err
	}
	for i := range c.Context {
		if err := r.checkContext(&c.Context[i]); err != nil {
			return fmt.Errorf("context %d: %w", i, err)
		}
	}
	for _, v := range []struct {
		name string
		data []float32
	}{{"vector", c.Vector}, {"pooled", c.Pooled}, {"guidance", c.Guidance}} {
		if at := notFinite(v.data); at >= 0 {
			return fmt.Errorf("%s is %v at value %d", v.name, v.data[at], at)
		}
	}
	for i, v := range c.Sizes {
		if v-v != 0 {
			return fmt.Errorf("size %d is %v", i, v)
		}
	}
	return r.checkConcat(c.Concat, images)
}

// checkContext returns an error unless the model can attend to x.
func (r *Run) checkContext(x *cond.Context) error {
	x.Tokens.Check(r.Name + ": tokens")
	if last := len(r.Tokens) - 1; x.Slot < 0 || x.Slot > last {
		return fmt.Errorf("slot %d, which the model has not, want 0 to %d: its own and one for each adapter", x.Slot, last)
	}
	switch columns := r.Tokens[x.Slot]; {
	case x.Tokens.Rows < 1 || x.Tokens.Cols != columns:
		return fmt.Errorf("%d tokens of %d values, want at least 1 of %d", x.Tokens.Rows, x.Tokens.Cols, columns)
	case x.Mask != nil && len(x.Mask) != x.Tokens.Rows:
		return fmt.Errorf("mask of %d values for %d tokens", len(x.Mask), x.Tokens.Rows)
	case slices.ContainsFunc(x.Mask, func(v float32) bool { return v != v || v > math.MaxFloat32 }):
		return errors.New("mask with a value that is NaN or +Inf")
	case x.Scale-x.Scale != 0:
		return fmt.Errorf("scale %v", x.Scale)
	}
	for i := range x.Tokens.Rows {
		if at := notFinite(x.Tokens.Row(i)); at >= 0 {
			return fmt.Errorf("token %d is %v at value %d", i, x.Tokens.Row(i)[at], at)
		}
	}
	return nil
}

// checkConcat returns an error unless maps can be put behind the session's input.
func (r *Run) checkConcat(maps tensor.NHWC, images int) error {
	if maps.Data == nil {
		return nil
	}
	maps.Check(r.Name + ": concat")
	most := r.InChannels - 1
	if maps.H != r.Height || maps.W != r.Width || maps.C < 1 || maps.C > most || maps.N != 1 && maps.N != images {
		return fmt.Errorf("concat is %s, want n×%d×%d×c with n 1 or %d and c from 1 to %d", maps.Shape(), r.Height, r.Width, images, most)
	}
	return Finite("concat", maps)
}

// Finite returns an error that names the first value of images that is NaN or infinite.
func Finite(name string, t tensor.NHWC) error {
	rows := t.Tokens()
	for r := range rows.Rows {
		if at := notFinite(rows.Row(r)); at >= 0 {
			n, y, x := r/(t.H*t.W), r/t.W%t.H, r%t.W
			return fmt.Errorf("%s is %v at channel %d of image %d, row %d, column %d", name, rows.Row(r)[at], at, n, y, x)
		}
	}
	return nil
}

// notFinite returns the index of the first value that is NaN or infinite, −1 if there is none.
func notFinite(v []float32) int { return slices.IndexFunc(v, func(x float32) bool { return x-x != 0 }) }
