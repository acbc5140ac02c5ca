package norm

import (
	"fmt"
	"sync"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// Layer normalises each row over its columns:
//
//	dst = (src − mean)/√(variance + a.Eps)·a.Scale[c] + a.Shift[c]
//
// with the row's mean and (biased) variance.
func Layer(e *engine.Engine, dst, src tensor.Mat, a Affine) {
	a.check("norm", src.Cols)
	if a.Moments != nil {
		panic("norm: moments of channels for a norm of rows")
	}
	layer(e, dst, src, 1, a, tensor.Mat{}, tensor.Mat{})
}

// Ada is Layer without an Affine, followed by ·(1 + scale) + shift with a row of scale and shift
// for each of batch images, among which the rows of src are divided evenly and in order.
func Ada(e *engine.Engine, dst, src tensor.Mat, batch int, scale, shift tensor.Mat, eps float32) {
	if batch <= 0 || src.Rows%batch != 0 {
		panic(fmt.Sprintf("norm: %d rows of %d images", src.Rows, batch))
	}
	checkModulation("norm: scale", scale, batch, src.Cols)
	checkModulation("norm: shift", shift, batch, src.Cols)
	layer(e, dst, src, batch, Affine{Eps: eps}, scale, shift)
}

func layer(e *engine.Engine, dst, src tensor.Mat, batch int, a Affine, scale, shift tensor.Mat) {
	dst.Check("norm: dst")
	src.Check("norm: src")
	if dst.Rows != src.Rows || dst.Cols != src.Cols {
		panic(fmt.Sprintf("norm: src %d×%d, dst %d×%d", src.Rows, src.Cols, dst.Rows, dst.Cols))
	}
	if src.Rows*src.Cols == 0 {
		return
	}
	j := layerJobs.Get().(*layerJob)
	j.dst, j.src, j.eps = dst, src, a.Eps
	j.rows = src.Rows / batch
	j.apply = resize(j.apply, 2*batch*src.Cols)
	for n := range batch {
		scales, shifts := j.applied(n)
		for c := range scales {
			gamma, beta := a.at(c)
			scales[c], shifts[c] = float32(gamma), float32(beta)
			if scale.Data != nil {
				scales[c], shifts[c] = 1+scale.Data[n*scale.Stride+c], shift.Data[n*shift.Stride+c]
			}
		}
	}
	j.tileRows = tileRows(src, e.Workers())
	e.For(batch*j.tiles(), engine.Scratch{}, j)
	j.dst, j.src = tensor.Mat{}, tensor.Mat{}
	layerJobs.Put(j)
}

// tileRows is how many rows make a tile: about four tiles to a worker, but neither so small that
// handing it out shows nor so large that it takes over 50 µs.
func tileRows(m tensor.Mat, workers int) int {
	const least, most, perWorker = 4 << 10, 64 << 10, 4
	values := min(max(m.Rows*m.Cols/(perWorker*workers), least), most)
	return max(values/m.Cols, 1)
}

var layerJobs = sync.Pool{New: func() any { return new(layerJob) }}

// layerJob is one call of Layer or Ada.
type layerJob struct {
	dst, src tensor.Mat
	eps      float32
	rows     int       // in an image
	tileRows int       // in a tile, except the last of an image
	apply    []float32 // images × (scales, shifts) × columns
}

// tiles is how many an image has.
func (j *layerJob) tiles() int { return (j.rows + j.tileRows - 1) / j.tileRows }

// applied returns the scale and shift of image n.
func (j *layerJob) applied(n int) (scales, shifts []float32) {
	c := j.src.Cols
	return j.apply[2*n*c:][:c], j.apply[(2*n+1)*c:][:c]
}

// Tile normalises a few rows of one image.
func (j *layerJob) Tile(w *engine.Worker, tile int) {
	n, t := tile/j.tiles(), tile%j.tiles()
	r0, r1 := n*j.rows+t*j.tileRows, n*j.rows+min((t+1)*j.tileRows, j.rows)
	src, dst := j.src.Slice(r0, r1), j.dst.Slice(r0, r1)
	args := &w.Args.LayerNorm
	*args = kernels.LayerNormArgs{
		Rows: src.Rows, Cols: src.Cols, Src: src.Data, SrcStride: src.Stride,
		Eps: j.eps, Dst: dst.Data, DstStride: dst.Stride,
	}
	args.Scale, args.Shift = j.applied(n)
	w.Set.LayerNorm(args)
}
