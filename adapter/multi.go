package adapter

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync/atomic"

	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/tensor"
)

// MultiT2I is several T2I-Adapters whose features are added, each with a weight and a picture of its own:
// diffusers' MultiAdapter. It is immutable and safe for concurrent use.
//
// It comes to the same as a condition with a residual of each, Scale being its weight, but costs
// one addition in every step instead of several.
type MultiT2I struct {
	Adapters []*T2I // in the order of Forward's pictures
}

// NewMultiT2I puts adapters together whose features have the same sizes and channels.
func NewMultiT2I(adapters ...*T2I) (*MultiT2I, error) {
	if len(adapters) == 0 {
		return nil, errors.New("adapter: no adapters")
	}
	first := &adapters[0].Config
	for i, a := range adapters {
		c := &a.Config
		if c.Factor != first.Factor || !slices.Equal(c.Channels, first.Channels) || !slices.Equal(a.pools(), adapters[0].pools()) {
			return nil, fmt.Errorf("adapter: adapter %d is a %s of factor %d with channels %v, whose features are not those of adapter 0, a %s of factor %d with channels %v",
				i, c.Type, c.Factor, c.Channels, first.Type, first.Factor, first.Channels)
		}
	}
	return &MultiT2I{slices.Clone(adapters)}, nil
}

// pools says which levels halve the size.
func (a *T2I) pools() []bool {
	pools := make([]bool, len(a.body))
	for i := range a.body {
		pools[i] = a.body[i].pool
	}
	return pools
}

// LoadMultiT2I reads adapters from directories of fsys as diffusers stores those of a MultiAdapter: name,
// name_1, name_2, and so on until there is none.
func LoadMultiT2I(e *engine.Engine, fsys fs.FS, name string) (*MultiT2I, error) {
	var adapters []*T2I
	for dir := name; ; dir = fmt.Sprintf("%s_%d", name, len(adapters)) {
		if _, err := fs.Stat(fsys, dir); err != nil && (len(adapters) == 0 || !errors.Is(err, fs.ErrNotExist)) {
			return nil, fmt.Errorf("adapter: %w", err)
		} else if err != nil {
			return NewMultiT2I(adapters...)
		}
		sub, err := fs.Sub(fsys, dir)
		if err != nil {
			return nil, fmt.Errorf("adapter: %w", err)
		}
		a, err := LoadT2I(e, sub)
		if err != nil {
			return nil, fmt.Errorf("adapter: %s: %w", dir, err)
		}
		adapters = append(adapters, a)
	}
}

// MultiT2ISession is what T2ISession is, for several adapters. It has one user at a time.
type MultiT2ISession struct {
	sessions []*T2ISession
	busy     atomic.Bool
	levels   []tensor.NHWC
}

// Session prepares every adapter for batch pictures of height × width pixels, with the default Options
// or those given, which hold for each.
func (m *MultiT2I) Session(batch, height, width int, options ...Options) (*MultiT2ISession, error) {
	s := new(MultiT2ISession)
	for _, a := range m.Adapters {
		one, err := a.Session(batch, height, width, options...)
		if err != nil {
			return nil, err
		}
		s.sessions = append(s.sessions, one)
	}
	for _, level := range s.sessions[0].levels {
		s.levels = append(s.levels, tensor.Make(level.N, level.H, level.W, level.C))
	}
	return s, nil
}

// Forward makes the sum of the features of all adapters, each of its pictures and times its weight.
// Without weights they are those of a mean. Otherwise it is T2ISession.Forward.
func (s *MultiT2ISession) Forward(ctx context.Context, pictures []tensor.NHWC, weights []float64) (cond.Residual, error) {
	if s.busy.Swap(true) {
		return cond.Residual{}, errBusy
	}
	defer s.busy.Store(false)
	n := len(s.sessions)
	if len(pictures) != n || weights != nil && len(weights) != n {
		return cond.Residual{}, fmt.Errorf("adapter: %d pictures and %d weights for %d adapters", len(pictures), len(weights), n)
	}
	for i, one := range s.sessions {
		weight := 1 / float32(n)
		if weights != nil {
			weight = float32(weights[i])
		}
		if weight-weight != 0 {
			return cond.Residual{}, fmt.Errorf("adapter: weight %v", weight)
		}
		r, err := one.Forward(ctx, pictures[i])
		if err != nil {
			return cond.Residual{}, err
		}
		for l, level := range r.Levels {
			sum := s.levels[l].Data
			for j, v := range level.Data {
				if i == 0 {
					sum[j] = 0
				}
				sum[j] += float32(weight * v)
			}
		}
	}
	return cond.Residual{Levels: s.levels}, nil
}
