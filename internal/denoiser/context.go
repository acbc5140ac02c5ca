package denoiser

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/tensor"
)

// place is where a context enters: the n-th of a condition in its slot. Contexts of one place share a
// softmax.
type place struct{ slot, n int }

// entry is the context that a condition has at a place, with the tokens that keys and values are made of.
type entry struct {
	tokens tensor.Mat // no rows where the condition has none
	mask   []float32
	scale  float32
}

// prompt makes keys and values of all contexts, for each of the program's prompts.
func (r *Run) prompt(conds []cond.Cond) [][]attention.KV {
	if len(r.prompts) == 0 {
		return nil
	}
	prompts := make([][]attention.KV, len(r.prompts))
	entries := r.entries(conds)
	places := slices.SortedFunc(maps.Keys(entries), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.slot, b.slot), cmp.Compare(a.n, b.n))
	})
	for _, p := range places {
		keys := longest(entries[p])
		masked, unmasked := r.maskOf(entries[p], keys, true), r.maskOf(entries[p], keys, false)
		for i, prompt := range r.prompts {
			project := r.Projector(p.slot, prompt.Layer)
			if project == nil {
				continue
			}
			inner := prompt.Layer.Inner
			kv := attention.KV{K: tensor.MakeMat(r.Batch*keys, inner), V: tensor.MakeMat(r.Batch*keys, inner), Mask: masked}
			if prompt.Layer.Unmasked {
				kv.Mask = unmasked
			}
			r.project(kv, entries[p], keys, project)
			prompts[i] = append(prompts[i], kv)
		}
	}
	return prompts
}

// entries sorts contexts by their places, and puts what each condition has there in order of the
// conditions. There is always a place for the text, so that a layer always has keys.
func (r *Run) entries(conds []cond.Cond) map[place][]entry {
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
				e.tokens = r.see(c, e.tokens)
			}
			if own := e.tokens.Rows - len(e.mask); e.mask != nil && own > 0 { // the model's, before those given
				e.mask = append(make([]float32, own), e.mask...)
			}
			entries[p][i] = e
		}
		if counts[0] == 0 {
			entries[place{}][i].tokens = r.see(c, tensor.Mat{})
		}
	}
	return entries
}

// see returns what layers see of tokens of slot 0.
func (r *Run) see(c *cond.Cond, tokens tensor.Mat) tensor.Mat {
	if r.See == nil {
		return tokens
	}
	return r.See(c, tokens)
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
// and −Inf for keys that it has no tokens for. It is nothing where there is neither.
func (r *Run) maskOf(entries []entry, keys int, own bool) tensor.Mat {
	masked := func(e entry) bool { return own && e.mask != nil }
	if !slices.ContainsFunc(entries, func(e entry) bool { return masked(e) || e.tokens.Rows < keys }) {
		return tensor.Mat{}
	}
	mask := tensor.MakeMat(r.Batch, keys)
	for i := range r.Batch {
		e := entries[i*len(entries)/r.Batch]
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
func (r *Run) project(kv attention.KV, entries []entry, keys int, project func(tensor.Mat) attention.KV) {
	images := r.Batch / len(entries)
	for c, e := range entries {
		if e.tokens.Rows == 0 {
			continue
		}
		one := project(e.tokens)
		if e.scale != 0 && e.scale != 1 {
			for t := range one.V.Rows {
				row := one.V.Row(t)
				for i := range row {
					row[i] *= e.scale
				}
			}
		}
		for i := c * images; i < (c+1)*images; i++ {
			for t := range e.tokens.Rows {
				copy(kv.K.Row(i*keys+t), one.K.Row(t))
				copy(kv.V.Row(i*keys+t), one.V.Row(t))
			}
		}
	}
}
