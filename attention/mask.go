package attention

import (
	"math"

	"github.com/lanewise/lanewise/tensor"
)

// masks is what a task adds to scores.
type masks struct {
	perKeys []float32 // of all contexts, a value for each key, times log2 e since the softmax is to base 2
	matrix  []float32 // block × lanes: a mask of scores
	holds   maskOf    // what matrix is of
}

// maskOf says which scores a mask is of.
type maskOf struct{ context, key, tile, head int }

// maskFloats is the memory of masks.
func (j *job) maskFloats() (n int) {
	if j.masked {
		n = j.block * j.lanes
	}
	if j.perKey {
		n += j.keys
	}
	return n
}

// beginMasks has memory for masks, and fills in those that are the same for all queries.
func (t *task) beginMasks(memory []float32) {
	t.holds.context = -1
	if t.masked {
		t.matrix, memory = memory[:t.block*t.lanes], memory[t.block*t.lanes:]
	}
	if !t.perKey {
		return
	}
	t.perKeys = memory[:t.keys]
	to := t.perKeys
	for i := range t.kv {
		c := &t.kv[i]
		keys := c.K.Rows / t.Batch
		if c.Mask.Data != nil && t.isPerKey(c) {
			for k, v := range c.Mask.Row(t.image) {
				to[k] = toBase2(v)
			}
		}
		to = to[keys:]
	}
}

// bias returns what is added to the scores of each key of b, or nil.
func (t *task) bias(b *block) []float32 {
	if c := &t.kv[b.context]; c.Mask.Data == nil || !t.isPerKey(c) {
		return nil
	}
	first := b.first
	for i := range b.context {
		first += t.kv[i].K.Rows / t.Batch
	}
	return t.perKeys[first : first+b.end-b.first]
}

// mask returns what is added to each score of a tile in b, key by lane, or nil.
func (t *task) mask(tile *tile, b *block) []float32 {
	c := &t.kv[b.context]
	crosses := t.Causal && b.end-1 > tile.query // the diagonal takes out a key
	pairs := c.Mask.Data != nil && !t.isPerKey(c)
	if !crosses && !pairs {
		return nil
	}
	matrix := t.matrix[:(b.end-b.first)*tile.lanes]
	of := maskOf{b.context, b.first, tile.index, 0}
	group := t.image
	if pairs && c.Mask.Rows != t.q.Rows {
		of.head = t.head
		group = t.image*t.Heads + t.head
	}
	if of == t.holds {
		return matrix
	}
	t.holds = of
	if pairs {
		rows := c.Mask.Slice(group*t.queries+tile.query, group*t.queries+tile.end).Columns(b.first, b.end)
		t.transpose(matrix, rows, tile.lanes)
	} else {
		clear(matrix)
	}
	if crosses {
		inf := float32(math.Inf(-1))
		for k := range b.end - b.first {
			for l := range min(tile.end-tile.query, max(0, b.first+k-tile.query)) { // query + l comes before the key
				matrix[k*tile.lanes+l] = inf
			}
		}
	}
	return matrix
}

// transpose lays the rows of m, one for each query, into lanes.
func (t *task) transpose(to []float32, m tensor.Mat, lanes int) {
	a := &t.Args.ToLanes
	a.Rows, a.Cols, a.Lanes = m.Rows, m.Cols, lanes
	a.Src, a.SrcStride, a.Scale = m.Data, m.Stride, 1
	a.Dst, a.DstStride = to, lanes
	t.Set.ToLanes(a)
}

// toBase2 returns v·log2 e, finite where v is.
func toBase2(v float32) float32 {
	if math.IsInf(float64(v), 0) {
		return v
	}
	return float32(max(-math.MaxFloat32, min(float64(v)*math.Log2E, math.MaxFloat32)))
}
