package unet

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/tensor"
)

// binding is what conditions come to, image by image of a session.
type binding struct {
	prompts [][]attention.KV // for each of the session's prompts

	// What joins the time embedding; nil is nothing, for all images or one.
	class, pooled, guidance [][]float32

	concat         []tensor.NHWC // one image each, or nothing; nil if no image has any
	concatChannels int

	// What is added to each skip, the middle and each level, for each image.
	skips, levels [][][]term
	mid           [][]term
}

// bind checks conditions, each of which is for as many images of the batch, and computes what depends on
// them alone.
func (s *session) bind(conds []cond.Cond) (*binding, error) {
	t := s.trunk
	if len(conds) == 0 || s.batch%len(conds) != 0 {
		return nil, t.errorf("%d conditions for a batch of %d", len(conds), s.batch)
	}
	images := s.batch / len(conds)
	b := &binding{}
	for i := range conds {
		if err := s.check(&conds[i], images); err != nil {
			return nil, t.errorf("condition %d: %w", i, err)
		}
		if behind := conds[i].Concat; behind.Data != nil {
			if b.concatChannels != 0 && behind.C != b.concatChannels {
				return nil, t.errorf("condition %d: concat of %d channels beside one of %d", i, behind.C, b.concatChannels)
			}
			b.concatChannels = behind.C
		}
	}
	for i := range conds {
		class, pooled := t.class(&conds[i]), t.pooled(&conds[i])
		for range images {
			b.class = append(b.class, slices.Clone(class))
			b.pooled = append(b.pooled, pooled)
			b.guidance = append(b.guidance, slices.Clone(conds[i].Guidance))
		}
	}
	if b.concatChannels > 0 {
		b.concat = make([]tensor.NHWC, s.batch)
		for i := range b.concat {
			b.concat[i] = imageOf(conds[i/images].Concat, i%images)
		}
	}
	s.bindResiduals(b, conds)
	s.bindContexts(b, conds)
	return b, nil
}

// imageOf returns image i of t, which may be one for all, or nothing.
func imageOf(t tensor.NHWC, i int) tensor.NHWC {
	if t.Data == nil {
		return t
	}
	return t.Images(i%t.N, i%t.N+1)
}

// place is where a context enters: the n-th of a condition in its slot. Contexts of one place share a
// softmax.
type place struct{ slot, n int }

// entry is the context that a condition has at a place, with the tokens that keys and values are made of.
type entry struct {
	tokens tensor.Mat // no rows where the condition has none
	mask   []float32
	scale  float32
}

// entries sorts contexts by their places, and puts what each condition has there in order of the
// conditions. There is always a place for the text, so that a layer always has keys.
func (t *trunk) entries(conds []cond.Cond) map[place][]entry {
	entries := map[place][]entry{{}: make([]entry, len(conds))}
	for i := range conds {
		c := &conds[i]
		counts := make(map[int]int)
		for _, context := range c.Context {
			p := place{context.Slot, counts[context.Slot]}
			counts[context.Slot]++
			if entries[p] == nil {
				entries[p] = make([]entry, len(conds))
			}
			e := entry{context.Tokens, context.Mask, context.Scale}
			if p.slot == 0 {
				e.tokens = t.tokens(c, e.tokens)
			}
			if own := e.tokens.Rows - len(e.mask); e.mask != nil && own > 0 { // an image's tokens, before those given
				e.mask = append(make([]float32, own), e.mask...)
			}
			entries[p][i] = e
		}
		if counts[0] == 0 && t.config.ContextKind.ofImage() {
			entries[place{}][i].tokens = t.tokens(c, tensor.Mat{})
		}
	}
	return entries
}

// bindContexts makes keys and values of all contexts.
func (s *session) bindContexts(b *binding, conds []cond.Cond) {
	b.prompts = make([][]attention.KV, len(s.prompts))
	if len(s.prompts) == 0 {
		return
	}
	entries := s.trunk.entries(conds)
	places := slices.SortedFunc(maps.Keys(entries), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.slot, b.slot), cmp.Compare(a.n, b.n))
	})
	for _, p := range places {
		keys := longest(entries[p])
		masked, unmasked := s.maskOf(entries[p], keys, true), s.maskOf(entries[p], keys, false)
		for i, prompt := range s.prompts {
			project := s.trunk.projector(p.slot, prompt.Layer)
			if project == nil {
				continue
			}
			kv := attention.KV{K: tensor.MakeMat(s.batch*keys, prompt.Layer.Inner), V: tensor.MakeMat(s.batch*keys, prompt.Layer.Inner), Mask: masked}
			if prompt.Layer.Unmasked {
				kv.Mask = unmasked
			}
			s.project(kv, entries[p], keys, project)
			b.prompts[i] = append(b.prompts[i], kv)
		}
	}
}

// longest returns how many keys each image has for the contexts of a place: as many as the longest has
// tokens, and at least one.
func longest(entries []entry) int {
	keys := 1
	for _, e := range entries {
		keys = max(keys, e.tokens.Rows)
	}
	return keys
}

// maskOf returns the mask of the keys of a place, for each image: that of its context, if it is asked for,
// and −Inf for keys that it has no tokens for.
func (s *session) maskOf(entries []entry, keys int, own bool) tensor.Mat {
	masked := func(e entry) bool { return own && e.mask != nil }
	if !slices.ContainsFunc(entries, func(e entry) bool { return masked(e) || e.tokens.Rows < keys }) {
		return tensor.Mat{}
	}
	mask := tensor.MakeMat(s.batch, keys)
	for i := range s.batch {
		e := entries[i*len(entries)/s.batch]
		row := mask.Row(i)
		if masked(e) {
			copy(row, e.mask)
		}
		for k := e.tokens.Rows; k < keys; k++ {
			row[k] = float32(math.Inf(-1))
		}
	}
	return mask
}

// project fills the keys and values of all images with those of the contexts of a place. The scale of a
// context is that of its values.
func (s *session) project(kv attention.KV, entries []entry, keys int, project func(tensor.Mat) attention.KV) {
	images := s.batch / len(entries)
	for c, e := range entries {
		if e.tokens.Rows == 0 {
			continue
		}
		one := project(e.tokens)
		if e.scale != 0 && e.scale != 1 {
			for r := range one.V.Rows {
				row := one.V.Row(r)
				for i := range row {
					row[i] *= e.scale
				}
			}
		}
		for i := c * images; i < (c+1)*images; i++ {
			for r := range e.tokens.Rows {
				copy(kv.K.Row(i*keys+r), one.K.Row(r))
				copy(kv.V.Row(i*keys+r), one.V.Row(r))
			}
		}
	}
}
