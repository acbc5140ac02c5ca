// Package attention computes softmax(q·kᵀ·scale + mask)·v without ever holding the scores.
//
// Queries lie side by side in vector lanes, a tile of them at a time, and blocks of keys pass by:
// scores, an online softmax, and values weighed by it (kernels/attention.go states the algorithm
// and its sources). Keys and values are read where the projections left them, heads interleaved in
// columns. A query sees the keys in rising order, in blocks of one size, so that its result depends neither
// on workers nor batch nor, among assembly kernels, on the instruction set, nor on keys beyond its own that
// a mask takes out.
//
// There are two ways through the operands. Where every context is one block of keys, as the tokens of
// a prompt are, a task takes a tile of queries through all contexts and heads: whole rows of queries
// come in and whole rows of results go out, while keys and values of all heads stay in cache. Where
// keys are many, as in self-attention, a task takes a run of tiles of one head through the keys, block
// by block: then a block stays in cache for all tiles.
package attention

import (
	"fmt"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/tensor"
)

// KV is what queries attend to: the keys and values of one context.
type KV struct {
	// K and V hold Batch·keys rows, as many columns as the queries.
	K, V tensor.Mat
	// Mask is added to the scaled scores; its columns are the keys. It has Batch rows (a value per
	// key), Batch·queries rows (a bias for each pair) or Batch·Heads·queries rows (for each head,
	// image by image). No Data means none.
	//
	// −Inf takes a key out. A large finite value of either sign stays finite, so that where all keys
	// are masked by −math.MaxFloat32 they weigh the same, as in PyTorch; it is added to a finished
	// dot product.
	Mask tensor.Mat
	// Scale weighs this context's result; 0 means 1.
	Scale float32
}

// Shape says how rows and columns divide.
type Shape struct {
	Batch int // images; each has Rows/Batch consecutive rows
	Heads int // each has Cols/Heads consecutive columns
	// Causal takes out, for query i of an image, every key after the i-th.
	Causal bool
	// Joint has all contexts share one softmax, as if their keys stood one behind the other. It excludes
	// Causal, and a KV.Scale.
	Joint bool
	// Scale multiplies the dot products; 0 means 1/√(Cols/Heads).
	Scale float32
}

// Attend fills dst with attention over one or several contexts, each with a softmax of its own unless
// they are Joint, summed: for every image and head, with q, k, v the rows and columns that belong to
// them,
//
//	dst = Σ over kv of kv.Scale · softmax(Scale · q·kᵀ + Mask) · v
//
// A query all of whose keys are taken out by −Inf receives zeros from that context. NaN or +Inf
// among its scores makes its row of that head NaN, and so may a NaN at a key that is taken out. dst
// may be q itself; otherwise it overlaps nothing. Attend panics where shapes do not fit; it does not
// allocate once warm.
func Attend(e *engine.Engine, dst, q tensor.Mat, kv []KV, s Shape) {
	check(dst, q, kv, s)
	if q.Rows == 0 {
		return
	}
	j := jobs.Get().(*job)
	j.plan(e, dst, q, kv, s)
	e.For(j.tasks(), j.scratch(), j)
	j.forget()
	jobs.Put(j)
}

// check panics unless the operands fit together.
func check(dst, q tensor.Mat, kv []KV, s Shape) {
	q.Check("attention: q")
	dst.Check("attention: dst")
	switch {
	case dst.Rows != q.Rows || dst.Cols != q.Cols:
		panic(fmt.Sprintf("attention: dst is %d×%d, q is %d×%d", dst.Rows, dst.Cols, q.Rows, q.Cols))
	case s.Batch < 1 || q.Rows%s.Batch != 0:
		panic(fmt.Sprintf("attention: %d rows of queries for a batch of %d", q.Rows, s.Batch))
	case s.Heads < 1 || q.Cols < 1 || q.Cols%s.Heads != 0:
		panic(fmt.Sprintf("attention: %d columns for %d heads", q.Cols, s.Heads))
	case len(kv) == 0:
		panic("attention: no keys and values")
	case s.Joint && s.Causal:
		panic("attention: several contexts as one, and causal")
	}
	for i, c := range kv {
		c.K.Check("attention: K")
		c.V.Check("attention: V")
		switch {
		case c.K.Cols != q.Cols || c.V.Cols != q.Cols || c.V.Rows != c.K.Rows:
			panic(fmt.Sprintf("attention: context %d has keys %d×%d and values %d×%d for %d columns of queries",
				i, c.K.Rows, c.K.Cols, c.V.Rows, c.V.Cols, q.Cols))
		case c.K.Rows == 0 || c.K.Rows%s.Batch != 0:
			panic(fmt.Sprintf("attention: context %d has %d rows of keys for a batch of %d", i, c.K.Rows, s.Batch))
		case s.Joint && c.Scale != 0 && c.Scale != 1:
			panic(fmt.Sprintf("attention: context %d has scale %v within a softmax of several", i, c.Scale))
		}
		if c.Mask.Data == nil {
			continue
		}
		c.Mask.Check("attention: Mask")
		r := c.Mask.Rows
		if c.Mask.Cols != c.K.Rows/s.Batch || r != s.Batch && r != q.Rows && r != q.Rows*s.Heads {
			panic(fmt.Sprintf("attention: mask of context %d is %d×%d for %d keys; rows may be %d (batch), %d (batch·queries) or %d (batch·heads·queries)",
				i, r, c.Mask.Cols, c.K.Rows/s.Batch, s.Batch, q.Rows, q.Rows*s.Heads))
		}
	}
}
