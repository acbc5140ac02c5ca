package conv

import (
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/tensor"
)

// window is a rectangle of src: rows y0 up to y1, counted over all images, and columns x0 up to
// x1, some of which may lie beside the image.
type window struct{ y0, y1, x0, x1 int }

func (w window) pixels() int { return max(0, w.y1-w.y0) * max(0, w.x1-w.x0) }

// window returns the part of src that output pixels r0 up to r1 read.
func (in *input) window(r0, r1 int) window {
	first, last := r0/in.ow, (r1-1)/in.ow // rows of the output, over all images
	y0, _ := in.rows(first)
	_, y1 := in.rows(last)
	x0, x1 := 0, in.ow-1 // columns of the output
	if first == last {
		x0, x1 = r0%in.ow, (r1-1)%in.ow
	}
	if in.joined {
		return window{y0, y1, x0*in.Stride - in.Left, x1*in.Stride - in.Left + in.KW}
	}
	if first != last {
		return window{y0, y1, 0, in.src.W}
	}
	x0, _ = in.span(x0, in.KW, in.Left, in.src.W, in.vw)
	_, x1 = in.span(x1, in.KW, in.Left, in.src.W, in.vw)
	return window{y0, y1, x0, x1}
}

// rows returns the range of src rows, over all images, that row y of the output reads.
func (in *input) rows(y int) (y0, y1 int) {
	n := y / in.oh
	y0, y1 = in.span(y%in.oh, in.KH, in.Top, in.src.H, in.vh)
	return n*in.src.H + y0, n*in.src.H + y1
}

// span returns the range of src's size pixels along one axis that output pixel i reads: k taps
// from i·Stride−before on, of an image that the taps see as seen pixels.
func (in *input) span(i, k, before, size, seen int) (p0, p1 int) {
	p0 = i*in.Stride - before
	p1 = min(max(p0+k, 0), seen)
	p0 = min(max(p0, 0), seen)
	if p0 == p1 { // zeros alone
		return p0 * size / max(seen, 1), p0 * size / max(seen, 1)
	}
	if in.Upsample {
		p0, p1 = p0*size/seen, (p1-1)*size/seen+1
	}
	return p0, p1
}

// scratch is how many values the windows of a product's blocks need.
func (in *input) scratch(p *gemm.Product) int {
	if !in.copied {
		return 0
	}
	most := in.stride
	for b := range p.Blocks() {
		most = max(most, in.window(p.BlockRange(b)).pixels()*in.stride)
	}
	return most
}

// view returns where the pixels are that a block reads: src, or a window of it that is copied to the
// block's scratch, through the prologue.
func (in *input) view(w *engine.Worker, b *gemm.Block) view {
	if !in.copied {
		return view{data: in.src.Data, stride: in.src.Stride, width: in.src.W}
	}
	win := in.window(b.Row, b.Row+b.Rows)
	in.load(w, b.Scratch, win)
	return view{data: b.Scratch, stride: in.stride, width: win.x1 - win.x0, y: win.y0, x: win.x0}
}

// load copies a window of src, through the prologue; what lies beside the image becomes zero.
func (in *input) load(w *engine.Worker, to []float32, win window) {
	width := win.x1 - win.x0
	x0 := min(max(win.x0, 0), in.src.W)
	x1 := min(max(win.x1, x0), in.src.W)
	for y := win.y0; y < win.y1; y++ {
		row := to[(y-win.y0)*width*in.stride:][:width*in.stride]
		if x0 == x1 {
			clear(row)
			continue
		}
		clear(row[:(x0-win.x0)*in.stride])
		clear(row[(x1-win.x0)*in.stride:])
		pixel := y*in.src.W + x0
		src := tensor.Mat{Rows: x1 - x0, Cols: in.src.C, Stride: in.src.Stride, Data: in.src.Data[pixel*in.src.Stride:]}
		dst := tensor.Mat{Rows: x1 - x0, Cols: in.src.C, Stride: in.stride, Data: row[(x0-win.x0)*in.stride:]}
		if !in.pro.Active() && src.Stride == src.Cols && dst.Stride == src.Cols {
			copy(dst.Data[:dst.Rows*dst.Cols], src.Data)
			continue
		}
		in.pro.Apply(w, dst, src, pixel, in.src.N*in.src.H*in.src.W, 0, in.panels)
	}
}
