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
// with the row's mean and (biased) variance. Its error does not grow with a mean that is large beside the
// spread (docs/norm.md).
func Layer(e *engine.Engine, dst, src tensor.Mat, a Affine) {
	layer(e, dst, src, 1, a, tensor.Mat{}, tensor.Mat{}, false)
}

// Ada is Layer followed by ·(1 + scale) + shift with a row of scale and shift for each of batch
// images, among which the rows of src are divided evenly and in order.
func Ada(e *engine.Engine, dst, src tensor.Mat, batch int, a Affine, scale, shift tensor.Mat) {
	checkModulation("norm: scale", scale, batch, src.Cols)
	checkModulation("norm: shift", shift, batch, src.Cols)
	layer(e, dst, src, batch, a, scale, shift, false)
}

// RMS divides each row by the root of its mean square (Zhang & Sennrich 2019, "Root Mean Square Layer
// Normalization"), which is Layer for rows whose mean is 0:
//
//	dst = src/√(mean of src² + a.Eps)·a.Scale[c] + a.Shift[c]
//
// followed, where scale and shift have Data, by ·(1 + scale) + shift as in Ada; otherwise batch is of
// no account.
func RMS(e *engine.Engine, dst, src tensor.Mat, batch int, a Affine, scale, shift tensor.Mat) {
	if scale.Data == nil && shift.Data == nil {
		batch = 1
	} else {
		checkModulation("norm: scale", scale, batch, src.Cols)
		checkModulation("norm: shift", shift, batch, src.Cols)
	}
	layer(e, dst, src, batch, a, scale, shift, true)
}

func layer(e *engine.Engine, dst, src tensor.Mat, batch int, a Affine, scale, shift tensor.Mat, rms bool) {
	a.check("norm", src.Cols)
	if a.Moments != nil {
		panic("norm: moments of channels for a norm of rows")
	}
	if batch <= 0 || src.Rows%batch != 0 {
		panic(fmt.Sprintf("norm: %d rows of %d images", src.Rows, batch))
	}
	dst.Check("norm: dst")
	src.Check("norm: src")
	if dst.Rows != src.Rows || dst.Cols != src.Cols {
		panic(fmt.Sprintf("norm: src %d×%d, dst %d×%d", src.Rows, src.Cols, dst.Rows, dst.Cols))
	}
	if src.Rows*src.Cols == 0 {
		return
	}
	j := layerJobs.Get().(*layerJob)
	j.dst, j.src, j.eps, j.rms = dst, src, a.Eps, rms
	j.rows = src.Rows / batch
	switch {
	case scale.Data == nil:
		j.affine(a)
	case a.Scale == nil && a.Shift == nil:
		j.plus, j.scale, j.shift = 1, scale, shift
	default:
		j.fold(a, scale, shift)
	}
	j.tileRows = tileRows(src, e.Workers())
	e.For(batch*j.tiles(), engine.Scratch{}, j)
	j.dst, j.src, j.scale, j.shift = tensor.Mat{}, tensor.Mat{}, tensor.Mat{}, tensor.Mat{}
	layerJobs.Put(j)
}

// tileRows is how many rows make a tile: about four tiles to a worker, but neither so small that
// handing it out shows nor so large that it takes over 50 µs; and even, since kernels take two rows
// at a time.
func tileRows(m tensor.Mat, workers int) int {
	const least, most, perWorker = 4 << 10, 64 << 10, 4
	values := min(max(m.Rows*m.Cols/(perWorker*workers), least), most)
	return max((values/m.Cols+1)&^1, 2)
}

var layerJobs = sync.Pool{New: func() any { return new(layerJob) }}

// layerJob is one call of Layer, Ada or RMS.
type layerJob struct {
	dst, src tensor.Mat
	eps      float32
	rms      bool
	rows     int // in an image
	tileRows int // in a tile, except the last of an image

	// What follows is (plus + scale)·x + shift, in a row for each image, or in one for all.
	plus         float32
	scale, shift tensor.Mat

	folded, zeros []float32 // memory
}

// affine applies a to all images alike.
func (j *layerJob) affine(a Affine) {
	c := j.src.Cols
	row := func(v []float32) tensor.Mat {
		if v == nil {
			j.zeros = resize(j.zeros, c)
			v = j.zeros
		}
		return tensor.Mat{Rows: 1, Cols: c, Data: v}
	}
	j.plus, j.scale, j.shift = 0, row(a.Scale), row(a.Shift)
	if a.Scale == nil {
		j.plus = 1
	}
}

// fold applies a and then ·(1 + scale) + shift: one scale and one shift, each rounded once.
func (j *layerJob) fold(a Affine, scale, shift tensor.Mat) {
	images, c := scale.Rows, scale.Cols
	j.folded = resize(j.folded, 2*images*c)
	part := func(i int) tensor.Mat {
		return tensor.Mat{Rows: images, Cols: c, Stride: c, Data: j.folded[i*images*c:][:images*c]}
	}
	j.plus, j.scale, j.shift = 0, part(0), part(1)
	for n := range images {
		f := fold{rstd: 1, gamma: a.Scale, beta: a.Shift, gain: scale.Row(n), offset: shift.Row(n)}
		f.write(j.scale.Row(n), j.shift.Row(n))
	}
}

// tiles is how many an image has.
func (j *layerJob) tiles() int { return (j.rows + j.tileRows - 1) / j.tileRows }

// Tile normalises a few rows of one image.
func (j *layerJob) Tile(w *engine.Worker, tile int) {
	n, t := tile/j.tiles(), tile%j.tiles()
	r0, r1 := n*j.rows+t*j.tileRows, n*j.rows+min((t+1)*j.tileRows, j.rows)
	src, dst := j.src.Slice(r0, r1), j.dst.Slice(r0, r1)
	image := n
	if j.scale.Rows == 1 {
		image = 0
	}
	args := &w.Args.LayerNorm
	*args = kernels.LayerNormArgs{
		Rows: src.Rows, Cols: src.Cols, Src: src.Data, SrcStride: src.Stride,
		Scale: j.scale.Row(image), Shift: j.shift.Row(image), Plus: j.plus, Eps: j.eps, RMS: j.rms,
		Dst: dst.Data, DstStride: dst.Stride,
	}
	w.Set.LayerNorm(args)
}
