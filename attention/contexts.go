package attention

import (
	"math"
	"slices"
)

// Several contexts are summed without a second pass over what is summed. With O a context's weighed values
// and s the sums of their weights, what is wanted is Σ f·O for the factors f = Scale/s. A context that is
// one block of keys has its s before any value is weighed. It adds its O to what the contexts before it
// have left, brought to its own factor by
//
//	alpha = f before/f
//
// which multiplies what was weighed just as the alpha of an online softmax does. Contexts of several
// blocks, whose s is not known before the end, go first; a second such context is added to the result in
// memory.

// foldable bounds the scales of contexts that are added so, since quotients of extreme factors would
// overflow.
const foldable = 1 << 32

// folds says whether a context can be added to others before it.
func (j *job) folds(c *KV) bool {
	scale := math.Abs(float64(c.Scale))
	return c.K.Rows/j.Batch <= maxBlock && 1.0/foldable <= scale && scale <= foldable
}

// fold puts the contexts in order: those first that cannot be added to others.
func (j *job) fold() {
	for i := range j.kv {
		j.order = append(j.order, i)
	}
	if !j.Joint {
		slices.SortStableFunc(j.order, func(a, b int) int { return rank(j.folds(&j.kv[a])) - rank(j.folds(&j.kv[b])) })
	}
}

func rank(last bool) int {
	if last {
		return 1
	}
	return 0
}

// settle sets the factors that a tile's weighed values are still to be multiplied by, for a context whose
// sums are complete; a query all of whose keys are taken out has the factor 0.
func (s *tileState) settle(scale float32) {
	for l, sum := range s.sum {
		s.factor[l] = 0
		if sum != 0 {
			s.factor[l] = scale / sum
		}
	}
}

// resettle is settle for a context that is added to others: it sets what brings their values to the new
// factors as well. Where all keys are taken out nothing changes.
func (s *tileState) resettle(scale float32) {
	for l, sum := range s.sum {
		before := s.factor[l]
		s.alpha[l] = 1
		if sum != 0 {
			s.factor[l] = scale / sum
			s.alpha[l] = before / s.factor[l]
		}
	}
}
