package norm

import (
	"fmt"
	"math"
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
// no account. Sums are taken in float64.
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
	j.apply = resize(j.apply, 2*batch*src.Cols)
	for n := range batch {
		scales, shifts := j.applied(n)
		for c := range scales {
			gamma, beta := a.at(c)
			if scale.Data != nil {
				gain := float64(1 + scale.Data[n*scale.Stride+c])
				gamma *= gain
				beta = float64(beta*gain) + float64(shift.Data[n*shift.Stride+c])
			}
			scales[c], shifts[c] = float32(gamma), float32(beta)
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

// layerJob is one call of Layer, Ada or RMS.
type layerJob struct {
	dst, src tensor.Mat
	eps      float32
	rms      bool
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
	if j.rms {
		scales, shifts := j.applied(n)
		for r := range src.Rows {
			rms(dst.Row(r), src.Row(r), scales, shifts, j.eps)
		}
		return
	}
	args := &w.Args.LayerNorm
	*args = kernels.LayerNormArgs{
		Rows: src.Rows, Cols: src.Cols, Src: src.Data, SrcStride: src.Stride,
		Eps: j.eps, Dst: dst.Data, DstStride: dst.Stride,
	}
	args.Scale, args.Shift = j.applied(n)
	w.Set.LayerNorm(args)
}

// rms fills dst with a row of RMS. A square is exact in float64, so that its addition is the same with
// and without a fused multiply-add.
func rms(dst, src, scales, shifts []float32, eps float32) {
	var lanes [4]float64 // chains of additions that do not wait for each other
	c := 0
	for ; c+len(lanes) <= len(src); c += len(lanes) {
		for l := range lanes {
			v := float64(src[c+l])
			lanes[l] += v * v
		}
	}
	for l := range len(src) - c {
		v := float64(src[c+l])
		lanes[l] += v * v
	}
	sum := (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
	inverse := 1 / math.Sqrt(sum/float64(len(src))+float64(eps))
	for c, v := range src {
		x := float32(float64(v) * inverse)
		dst[c] = float32(float64(x)*float64(scales[c]) + float64(shifts[c]))
	}
}
