// Package activation applies activation functions to matrices by themselves. Most activations of
// a model need no pass of their own: they are part of a product's prologue or epilogue, or of a
// norm.
//
// All functions panic where shapes do not fit, and do not allocate once warm. What each activation
// computes, and how exactly, stands in package kernels.
package activation

import (
	"fmt"
	"sync"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// Apply computes dst = act(src). dst may be src; otherwise the two do not overlap.
func Apply(e *engine.Engine, dst, src tensor.Mat, act kernels.Act) {
	run(e, dst, tensor.Mat{}, src, act)
}

// Gate computes dst = value·act(gate), a gated linear unit. dst may be value or gate; otherwise it
// overlaps neither.
func Gate(e *engine.Engine, dst, value, gate tensor.Mat, act kernels.Act) {
	value.Check("activation: value")
	if value.Rows != gate.Rows || value.Cols != gate.Cols {
		panic(fmt.Sprintf("activation: value %d×%d, gate %d×%d", value.Rows, value.Cols, gate.Rows, gate.Cols))
	}
	run(e, dst, value, gate, act)
}

// Scale computes dst[r][c] = factors[c]·src[r][c], rounded once. dst may be src; otherwise the two do
// not overlap.
func Scale(e *engine.Engine, dst, src tensor.Mat, factors []float32) {
	if len(factors) != src.Cols {
		panic(fmt.Sprintf("activation: %d factors for %d columns", len(factors), src.Cols))
	}
	run(e, dst, tensor.Mat{Rows: src.Rows, Cols: src.Cols, Data: factors}, src, kernels.Identity)
}

func run(e *engine.Engine, dst, value, src tensor.Mat, act kernels.Act) {
	dst.Check("activation: dst")
	src.Check("activation: src")
	if dst.Rows != src.Rows || dst.Cols != src.Cols {
		panic(fmt.Sprintf("activation: src %d×%d, dst %d×%d", src.Rows, src.Cols, dst.Rows, dst.Cols))
	}
	if src.Rows*src.Cols == 0 {
		return
	}
	j := jobs.Get().(*job)
	*j = job{dst: dst, value: value, src: src, act: act, tileRows: tileRows(src, e.Workers())}
	e.For((src.Rows+j.tileRows-1)/j.tileRows, engine.Scratch{}, j)
	*j = job{}
	jobs.Put(j)
}

// tileRows is how many rows make a tile: about four tiles to a worker, but neither so small that
// handing it out shows nor so large that it takes over 50 µs.
func tileRows(m tensor.Mat, workers int) int {
	const least, most, perWorker = 2 << 10, 32 << 10, 4
	values := min(max(m.Rows*m.Cols/(perWorker*workers), least), most)
	return max(values/m.Cols, 1)
}

var jobs = sync.Pool{New: func() any { return new(job) }}

// job is one call of Apply, Gate or Scale.
type job struct {
	dst, value, src tensor.Mat // value is without Data for Apply; that of Scale is one row, at a stride of 0
	act             kernels.Act
	tileRows        int
}

// Tile does a few rows.
func (j *job) Tile(w *engine.Worker, tile int) {
	r0 := tile * j.tileRows
	r1 := min(r0+j.tileRows, j.src.Rows)
	src, dst := j.src.Slice(r0, r1), j.dst.Slice(r0, r1)
	args := &w.Args.Activate
	*args = kernels.ActivateArgs{
		Rows: src.Rows, Cols: src.Cols, Act: j.act,
		Src: src.Data, SrcStride: src.Stride, Dst: dst.Data, DstStride: dst.Stride,
	}
	if j.value.Data != nil {
		args.Value, args.ValueStride = j.value.Slice(r0, r1).Data, j.value.Stride
	}
	w.Set.Activate(args)
}
