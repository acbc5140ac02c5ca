package unet

import (
	"errors"
	"fmt"

	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/internal/denoiser"
	"github.com/lanewise/lanewise/tensor"
)

// check returns an error unless there is a place for all of c in the session's model, for so many images.
func (s *session) check(c *cond.Cond, images int) error {
	if err := s.trunk.checkContexts(c); err != nil {
		return err
	}
	if err := s.trunk.checkVectors(c); err != nil {
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
	for _, x := range c.Context {
		if x.Slot == 0 && k.ContextDim == 0 {
			return errors.New("context of slot 0, but the model makes its tokens of an image")
		}
	}
	return nil
}

// tokenWidths returns how wide the tokens are that each slot of contexts takes.
func (t *trunk) tokenWidths() []int {
	widths := []int{t.config.ContextDim}
	for _, s := range t.slots {
		widths = append(widths, s.width)
	}
	return widths
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
	if c.Guidance != nil && len(c.Guidance) != k.GuidanceDim {
		return fmt.Errorf("guidance of %d values, want %d", len(c.Guidance), k.GuidanceDim)
	}
	return nil
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
		if err := denoiser.Finite(p.name, p.got); err != nil {
			return err
		}
	}
	return nil
}
