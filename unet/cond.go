package unet

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/tensor"
)

// Cond is what an image is conditioned on besides time: one field for every place where a
// condition can enter, whose zero value is that nothing does. What makes conditions (a text
// encoder, say) is no part of the model.
type Cond struct {
	// Context is what cross-attention attends to. A model with cross-attention wants one, any
	// other none.
	Context []Context
	// Class is the label of a model with classes, from 0 up to Config.Classes; 0 otherwise.
	Class int
}

// Context is a sequence of tokens, such as a text encoder's hidden states.
type Context struct {
	// Tokens are tokens × Config.ContextDim.
	Tokens tensor.Mat
	// Mask is added to the scores of the tokens, one value for each; nil is none. Diffusers' masks
	// add −10000 to tokens that are masked. All contexts of a batch have one or none has.
	Mask []float32
	// Scale weighs what is attended to; 0 means 1.
	Scale float32
}

// Bound is a session with its conditions checked and the keys and values of their contexts
// projected. A session can be bound several times, and its bounds run in turns.
type Bound struct {
	session *Session
	prompts [][]attention.KV // for each of the session's prompts
	labels  []int
}

// Bind checks conditions and projects their contexts. There is one for each image of the batch, or
// one for each of as many equal runs of images: with a batch of 4, Bind(uncond, cond) conditions
// two images on each. Tokens are read now and not kept.
func (s *Session) Bind(conds ...Cond) (*Bound, error) {
	if len(conds) == 0 || s.batch%len(conds) != 0 {
		return nil, fmt.Errorf("unet: %d conditions for a batch of %d", len(conds), s.batch)
	}
	for i := range conds {
		if err := s.model.checkCond(&conds[i], &conds[0]); err != nil {
			return nil, fmt.Errorf("unet: condition %d: %w", i, err)
		}
	}
	b := &Bound{session: s, labels: make([]int, s.batch), prompts: make([][]attention.KV, len(s.prompts))}
	images := s.batch / len(conds) // of each condition
	for i := range b.labels {
		b.labels[i] = conds[i/images].Class
	}
	for c := range conds[0].Context {
		first := &conds[0].Context[c]
		n := first.Tokens.Rows
		tokens := tensor.MakeMat(s.batch*n, first.Tokens.Cols)
		var mask tensor.Mat
		if first.Mask != nil {
			mask = tensor.MakeMat(s.batch, n)
		}
		for i := range s.batch {
			from := &conds[i/images].Context[c]
			for r := range n {
				copy(tokens.Row(i*n+r), from.Tokens.Row(r))
			}
			if first.Mask != nil {
				copy(mask.Row(i), from.Mask)
			}
		}
		for i, p := range s.prompts {
			kv := p.Layer.Project(s.model.engine, tokens)
			kv.Mask, kv.Scale = mask, first.Scale
			b.prompts[i] = append(b.prompts[i], kv)
		}
	}
	return b, nil
}

// checkCond returns an error unless the model can be conditioned on c, in a batch with first.
func (m *Model) checkCond(c, first *Cond) error {
	contexts := 0
	if m.Config.Attends() {
		contexts = 1
	}
	if len(c.Context) != contexts {
		return fmt.Errorf("%d contexts, want %d", len(c.Context), contexts)
	}
	for i, t := range c.Context {
		t.Tokens.Check("unet: tokens")
		switch {
		case t.Tokens.Rows < 1 || t.Tokens.Cols != m.Config.ContextDim:
			return fmt.Errorf("context of %d tokens of %d values, want at least 1 of %d", t.Tokens.Rows, t.Tokens.Cols, m.Config.ContextDim)
		case t.Tokens.Rows != first.Context[i].Tokens.Rows:
			return fmt.Errorf("context of %d tokens, want %d as in condition 0", t.Tokens.Rows, first.Context[i].Tokens.Rows)
		case (t.Mask == nil) != (first.Context[i].Mask == nil):
			return errors.New("context with a mask beside one without")
		case t.Mask != nil && len(t.Mask) != t.Tokens.Rows:
			return fmt.Errorf("mask of %d values for %d tokens", len(t.Mask), t.Tokens.Rows)
		case slices.ContainsFunc(t.Mask, func(v float32) bool { return v != v || v > math.MaxFloat32 }):
			return errors.New("mask with a value that is NaN or +Inf")
		case t.Scale-t.Scale != 0:
			return fmt.Errorf("context with scale %v", t.Scale)
		case t.Scale != first.Context[i].Scale:
			return fmt.Errorf("context with scale %v, want %v as in condition 0", t.Scale, first.Context[i].Scale)
		}
		for r := range t.Tokens.Rows {
			for c, v := range t.Tokens.Row(r) {
				if v-v != 0 { // NaN or infinite
					return fmt.Errorf("token %d is %v at value %d", r, v, c)
				}
			}
		}
	}
	switch classes := m.Config.Classes; {
	case classes == 0 && c.Class != 0:
		return fmt.Errorf("class %d, but the model has no classes", c.Class)
	case classes > 0 && (c.Class < 0 || c.Class >= classes):
		return fmt.Errorf("class %d of %d, want 0 to %d", c.Class, classes, classes-1)
	}
	return nil
}
