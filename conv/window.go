package conv

import (
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/tensor"
)

// window is a rectangle of src: rows y0 up to y1, counted over all images, and columns x0 up to
// x1.
type window struct{ y0, y1, x0, x1 int }

func (w window) pixels() int { return max(0, w.y1-w.y0) * max(0, w.x1-w.x0) }

// window returns the part of src that output pixels r0 up to r1 read.
func (j *job) window(r0, r1 int) window {
	first, last := r0/j.ow, (r1-1)/j.ow // rows of the output, over all images
	y0, _ := j.rows(first)
	_, y1 := j.rows(last)
	win := window{y0, y1, 0, j.src.W}
	if first == last {
		win.x0, _ = j.span(r0%j.ow, j.w.KW, j.w.Left, j.src.W, j.vw)
		_, win.x1 = j.span((r1-1)%j.ow, j.w.KW, j.w.Left, j.src.W, j.vw)
	}
	return win
}

// rows returns the range of src rows, over all images, that row y of the output reads.
func (j *job) rows(y int) (y0, y1 int) {
	n := y / j.oh
	y0, y1 = j.span(y%j.oh, j.w.KH, j.w.Top, j.src.H, j.vh)
	return n*j.src.H + y0, n*j.src.H + y1
}

// span returns the range of src's size pixels along one axis that output pixel i reads: k taps
// from i·Stride−before on, of an image that the taps see as seen pixels.
func (j *job) span(i, k, before, size, seen int) (p0, p1 int) {
	p0 = i*j.w.Stride - before
	p1 = min(max(p0+k, 0), seen)
	p0 = min(max(p0, 0), seen)
	if p0 == p1 { // zeros alone
		return p0 * size / max(seen, 1), p0 * size / max(seen, 1)
	}
	if j.w.Upsample {
		p0, p1 = p0*size/seen, (p1-1)*size/seen+1
	}
	return p0, p1
}

// load copies a window of src to scratch, through the prologue.
func (j *job) load(w *engine.Worker, to []float32, win window) {
	width := win.x1 - win.x0
	if width <= 0 {
		return
	}
	for y := win.y0; y < win.y1; y++ {
		pixel := y*j.src.W + win.x0
		src := tensor.Mat{Rows: width, Cols: j.src.C, Stride: j.src.Stride, Data: j.src.Data[pixel*j.src.Stride:]}
		dst := tensor.Mat{Rows: width, Cols: j.src.C, Stride: j.stride, Data: to[(y-win.y0)*width*j.stride:]}
		j.pro.Apply(w, dst, src, pixel, j.src.N*j.src.H*j.src.W, 0, j.w.panels)
	}
}
