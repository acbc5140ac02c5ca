package attention

import (
	"math"

	"github.com/lanewise/lanewise/tensor"
)

// crosses says whether the causal diagonal takes a key of block b out for some query from query on.
func (t *task) crosses(b *block, query int) bool { return t.Causal && b.end-1 > query }

// perKey says whether a mask has one value for each key.
func (t *task) perKey(m tensor.Mat) bool { return m.Rows == t.Batch }

// maskVaries says whether what is added to the scores of block b differs between the run's tiles.
func (t *task) maskVaries(c *KV, b *block) bool {
	return t.crosses(b, t.query) || c.Mask.Data != nil && !t.perKey(c.Mask)
}

// additive fills mask with what is added to the scores of block b for the n queries from query on:
// key by lane, laid out like the scores. It returns nil where there is nothing to add.
func (t *task) additive(c *KV, b *block, query, n int) []float32 {
	mask := t.mask[:(b.end-b.first)*t.lanes]
	switch m := c.Mask; {
	case m.Data == nil:
		if !t.crosses(b, query) {
			return nil
		}
		clear(mask)
	case t.perKey(m):
		for k, v := range m.Row(t.image)[b.first:b.end] {
			for l := range t.lanes {
				mask[k*t.lanes+l] = v
			}
		}
	default:
		clear(mask) // for lanes without a query
		bias := t.bias(m)
		for l := range n {
			for k, v := range bias.Row(query + l)[b.first:b.end] {
				mask[k*t.lanes+l] = v
			}
		}
	}
	if t.crosses(b, query) {
		inf := float32(math.Inf(-1))
		for k := range b.end - b.first {
			for l := range min(n, max(0, b.first+k-query)) { // query + l comes before the key
				mask[k*t.lanes+l] = inf
			}
		}
	}
	return mask
}

// bias cuts the rows of the task's image, and head where there are such, out of a mask with a row
// for every query.
func (t *task) bias(m tensor.Mat) tensor.Mat {
	group := t.image
	if m.Rows != t.q.Rows {
		group = t.image*t.Heads + t.head
	}
	return m.Slice(group*t.queries, (group+1)*t.queries)
}
