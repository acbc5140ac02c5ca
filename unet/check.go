package unet

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/tensor"
)

// check returns an error unless the session can be conditioned on c, for so many of its images.
func (s *session) check(c *cond.Cond, images int) error {
	if err := s.trunk.checkContexts(c); err != nil {
		return err
	}
	if err := s.trunk.checkVectors(c); err != nil {
		return err
	}
	if err := s.checkConcat(c.Concat, images); err != nil {
		return err
	}
	for i := range c.Residual {
		if err := s.checkResidual(&c.Residual[i], images); err != nil {
			return fmt.Errorf("residual %d: %w", i, err)
		}
	}
	return nil
}

// checkContexts returns an error unless there is a place for all contexts of c.
func (t *trunk) checkContexts(c *cond.Cond) error {
	k := &t.config
	attends := k.Attends() || k.PooledKind == PooledTokens
	switch {
	case !attends && len(c.Context) > 0:
		return fmt.Errorf("%d contexts, but the model has no cross-attention", len(c.Context))
	case attends && len(c.Context) == 0 && !k.ContextKind.ofImage():
		return errors.New("0 contexts, want tokens for cross-attention")
	case k.PooledKind == PooledTokens && ownTokens(c).Rows == 0:
		return errors.New("no context in slot 0, whose tokens are pooled")
	}
	for i := range c.Context {
		if err := t.checkContext(&c.Context[i]); err != nil {
			return err
		}
	}
	return nil
}

// checkContext returns an error unless there is a place for x.
func (t *trunk) checkContext(x *cond.Context) error {
	x.Tokens.Check(t.name + ": tokens")
	if x.Slot < 0 || x.Slot > len(t.slots) {
		return fmt.Errorf("context of slot %d, want 0 to %d: one for each adapter besides the model's own", x.Slot, len(t.slots))
	}
	width := t.config.ContextDim
	if x.Slot > 0 {
		width = t.slots[x.Slot-1].width
	}
	switch {
	case width == 0:
		return errors.New("context of slot 0, but the model makes its tokens of an image")
	case x.Tokens.Rows < 1 || x.Tokens.Cols != width:
		return fmt.Errorf("context of %d tokens of %d values, want at least 1 of %d", x.Tokens.Rows, x.Tokens.Cols, width)
	case x.Mask != nil && len(x.Mask) != x.Tokens.Rows:
		return fmt.Errorf("mask of %d values for %d tokens", len(x.Mask), x.Tokens.Rows)
	case slices.ContainsFunc(x.Mask, func(v float32) bool { return v != v || v > math.MaxFloat32 }):
		return errors.New("mask with a value that is NaN or +Inf")
	case x.Scale-x.Scale != 0:
		return fmt.Errorf("context with scale %v", x.Scale)
	}
	for r := range x.Tokens.Rows {
		if at, v := notFinite(x.Tokens.Row(r)); at >= 0 {
			return fmt.Errorf("token %d is %v at value %d", r, v, at)
		}
	}
	return nil
}

// checkVectors returns an error unless there is a place for all that joins the time embedding.
func (t *trunk) checkVectors(c *cond.Cond) error {
	k := &t.config
	switch {
	case k.ClassKind == NoClass && c.Class != 0:
		return fmt.Errorf("class %d, but the model has no classes", c.Class)
	case k.ClassKind == ClassTable && (c.Class < 0 || c.Class >= k.Classes):
		return fmt.Errorf("class %d of %d, want 0 to %d", c.Class, k.Classes, k.Classes-1)
	case k.ClassKind >= ClassVector && c.Class != 0:
		return fmt.Errorf("class %d, but the model's class is a vector", c.Class)
	case k.ClassKind == ClassTable && c.Class != 0 && c.Vector != nil:
		return fmt.Errorf("class %d beside a vector that stands for one", c.Class)
	case k.ClassKind == ClassTime:
		if err := k.checkTime(float64(c.Class)); err != nil {
			return fmt.Errorf("class %d: %w", c.Class, err)
		}
	}
	if k.ClassKind != ClassTable || c.Vector != nil { // in place of a label
		if len(c.Vector) != k.VectorDim {
			return fmt.Errorf("vector of %d values, want %d", len(c.Vector), k.VectorDim)
		}
	}
	if n := k.PooledDim - k.SizeDim*len(c.Sizes); k.PooledKind == PooledSizes && len(c.Pooled) != n {
		return fmt.Errorf("pooled of %d values and %d sizes, want %d values with so many sizes: %d in all with %d for each size",
			len(c.Pooled), len(c.Sizes), n, k.PooledDim, k.SizeDim)
	}
	if k.PooledKind != PooledSizes {
		switch {
		case len(c.Pooled) != k.PooledDim:
			return fmt.Errorf("pooled of %d values, want %d", len(c.Pooled), k.PooledDim)
		case len(c.Sizes) > 0:
			return fmt.Errorf("%d sizes, want none", len(c.Sizes))
		}
	}
	for i, size := range c.Sizes {
		if size-size != 0 {
			return fmt.Errorf("size %d is %v", i, size)
		}
	}
	if c.Guidance != nil && len(c.Guidance) != k.GuidanceDim {
		return fmt.Errorf("guidance of %d values, want %d", len(c.Guidance), k.GuidanceDim)
	}
	for _, v := range []struct {
		name string
		data []float32
	}{{"vector", c.Vector}, {"pooled", c.Pooled}, {"guidance", c.Guidance}} {
		if at, x := notFinite(v.data); at >= 0 {
			return fmt.Errorf("%s is %v at value %d", v.name, x, at)
		}
	}
	return nil
}

// checkConcat returns an error unless maps can be put behind the session's input.
func (s *session) checkConcat(maps tensor.NHWC, images int) error {
	if maps.Data == nil {
		return nil
	}
	maps.Check(s.trunk.name + ": concat")
	most := s.trunk.config.InChannels - 1
	if maps.H != s.height || maps.W != s.width || maps.C < 1 || maps.C > most || maps.N != 1 && maps.N != images {
		return fmt.Errorf("concat is %s, want n×%d×%d×c with n 1 or %d and c from 1 to %d", maps.Shape(), s.height, s.width, images, most)
	}
	return finite("concat", maps)
}

// checkResidual returns an error unless r is a residual of the session's model.
func (s *session) checkResidual(r *cond.Residual, images int) error {
	if r.Scale-r.Scale != 0 {
		return fmt.Errorf("scale %v", r.Scale)
	}
	if r.Skips != nil && len(r.Skips) != len(s.shapes.skips) {
		return fmt.Errorf("%d skips, want %d", len(r.Skips), len(s.shapes.skips))
	}
	if most := len(s.shapes.levels) + 1; len(r.Levels) > most {
		return fmt.Errorf("%d levels, want at most %d: the model's, and the middle", len(r.Levels), most)
	}
	type part struct {
		name      string
		got, want tensor.NHWC
	}
	parts := []part{{"mid", r.Mid, s.shapes.mid}}
	for i, skip := range r.Skips {
		parts = append(parts, part{fmt.Sprintf("skip %d", i), skip, s.shapes.skips[i]})
	}
	for i, features := range r.Levels {
		want := s.shapes.mid
		if i < len(s.shapes.levels) {
			want = s.shapes.levels[i]
		}
		parts = append(parts, part{fmt.Sprintf("level %d", i), features, want})
	}
	for _, p := range parts {
		if p.got.Data == nil {
			continue
		}
		p.got.Check(s.trunk.name + ": " + p.name)
		whole := p.got.H == p.want.H && p.got.W == p.want.W
		pooled := p.got.H == 1 && p.got.W == 1
		if p.got.C != p.want.C || !whole && !pooled || p.got.N != 1 && p.got.N != images {
			return fmt.Errorf("%s is %s, want n×%d×%d×%d or n×1×1×%d with n 1 or %d", p.name, p.got.Shape(), p.want.H, p.want.W, p.want.C, p.want.C, images)
		}
		if err := finite(p.name, p.got); err != nil {
			return err
		}
	}
	return nil
}

// notFinite returns the first value that is NaN or infinite, and its place; −1 if there is none.
func notFinite(v []float32) (int, float32) {
	for i, x := range v {
		if x-x != 0 {
			return i, x
		}
	}
	return -1, 0
}

// finite returns an error that names the first value of an image that is NaN or infinite.
func finite(name string, t tensor.NHWC) error {
	rows := t.Tokens()
	for r := range rows.Rows {
		if at, v := notFinite(rows.Row(r)); at >= 0 {
			n, y, x := r/(t.H*t.W), r/t.W%t.H, r%t.W
			return fmt.Errorf("%s is %v at channel %d of image %d, row %d, column %d", name, v, at, n, y, x)
		}
	}
	return nil
}
