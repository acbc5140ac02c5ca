package conv

import (
	"sync"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/tensor"
)

// direct computes Apply's sum as it is written: an implicit matrix multiplication over all taps and
// channels, on operands that Apply has checked.
func (w *Packed) direct(e *engine.Engine, dst, src tensor.NHWC, pro gemm.Prologue, ep gemm.Epilogue) {
	if w.pointwise() {
		gemm.Mul(e, dst.Tokens(), src.Tokens(), w.panels, pro, ep)
		return
	}
	if w.spread != nil && dst.N%ep.Images() == 0 {
		w.sumTaps(e, dst, src, pro, ep)
		return
	}
	j := jobs.Get().(*job)
	panels := w.panels
	j.taps = taps{&j.in, w.Geometry}
	if w.joined != nil {
		panels, j.taps.KW = w.joined, 1
	}
	if j.Begin(e, dst.Tokens(), panels, ep) {
		j.in = newInput(src, pro, panels, w.Geometry, dst.H, dst.W, w.joined != nil)
		j.in.mr = j.MR()
		j.Spare(&j.taps)
		j.Run(e, j.in.scratch(&j.Product), j)
	}
	*j = job{}
	jobs.Put(j)
}

var jobs = sync.Pool{New: func() any { return new(job) }}

// job is one call of direct.
type job struct {
	gemm.Product
	in   input
	taps taps
}

// Tile does one task.
func (j *job) Tile(w *engine.Worker, task int) {
	b := j.Block(w, task)
	v := j.in.view(w, &b)
	for i := range j.Chunks() {
		c := j.Chunk(i)
		j.taps.point(&b, c, v)
		j.Multiply(w, &b, c)
	}
}
