package conv

import (
	"sync"
	"unsafe"

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
	j := jobs.Get().(*job)
	if j.Begin(e, dst.Tokens(), w.panels, ep) {
		j.run(e, dst, src, w, pro)
	}
	*j = job{}
	jobs.Put(j)
}

var jobs = sync.Pool{New: func() any { return new(job) }}

// job is one call of direct.
type job struct {
	gemm.Product
	w      *Packed
	src    tensor.NHWC
	pro    gemm.Prologue
	oh, ow int
	vh, vw int  // size of the image that the taps see: src's, or that of the enlarged one
	copied bool // taps point into a window of the image in the worker's scratch
	stride int  // between pixels of that window
}

func (j *job) run(e *engine.Engine, dst, src tensor.NHWC, w *Packed, pro gemm.Prologue) {
	j.w, j.src, j.pro = w, src, pro
	j.oh, j.ow, j.vh, j.vw = dst.H, dst.W, src.H, src.W
	if w.Upsample {
		j.vh, j.vw = dst.H, dst.W
	}
	scratch := 0
	if j.copied = pro.Active() && src.C > 0; j.copied {
		j.stride = gemm.RowStride(src.C)
		scratch = j.stride
		for b := range j.Blocks() {
			scratch = max(scratch, j.window(j.BlockRange(b)).pixels()*j.stride)
		}
	}
	j.Run(e, scratch, j)
}

// Tile does one task.
func (j *job) Tile(w *engine.Worker, task int) {
	b := j.Block(w, task)
	view := view{data: j.src.Data, stride: j.src.Stride, width: j.src.W}
	if j.copied {
		win := j.window(b.Row, b.Row+b.Rows)
		j.load(w, b.Scratch, win)
		view.data, view.stride, view.width = b.Scratch, j.stride, win.x1-win.x0
		view.y, view.x = win.y0, win.x0
	}
	for i := range j.Chunks() {
		c := j.Chunk(i)
		j.point(&b, c, view)
		j.Multiply(w, &b, c)
	}
}

// view is where the pixels of the image lie for one task.
type view struct {
	data          []float32
	stride, width int
	y, x          int // the pixel at data[0]; y counts the rows of all images
}

// point says where the taps of a chunk are for each output pixel of the block.
func (j *job) point(b *gemm.Block, c gemm.Chunk, v view) {
	if c.K == 0 {
		return
	}
	zeros := &j.w.panels.Zeros()[0]
	base := zeros
	if len(v.data) > 0 {
		base = &v.data[c.From]
	}
	y, x := b.Row/j.ow, b.Row%j.ow // of the output, y over all images
	n := y / j.oh
	y -= n * j.oh
	for t := range b.Tiles {
		r0, r1 := b.TileRows(t)
		pointers := b.Pointers(t, c)
		for r := r0; r < r1; {
			run := min(r1-r, j.ow-x)
			j.pointRun(pointers[r-r0:], run, n, y, x, c, v, base, zeros)
			if r, x = r+run, x+run; x == j.ow {
				y, x = y+1, 0
				if y == j.oh {
					n, y = n+1, 0
				}
			}
		}
	}
}

// pointRun does it for a run of pixels from (n, y, x) on, in one row of the output and in one tile. base
// is the view's first pixel.
func (j *job) pointRun(pointers []*float32, run, n, y, x int, c gemm.Chunk, v view, base, zeros *float32) {
	const size = int(unsafe.Sizeof(*base))
	mr, step := j.MR(), j.w.Stride*v.stride*size
	top, left := y*j.w.Stride-j.w.Top, x*j.w.Stride-j.w.Left
	ky, kx := c.Tap/j.w.KW, c.Tap%j.w.KW
	inside := !j.w.Upsample && left >= 0 && left+(run-1)*j.w.Stride+j.w.KW <= j.vw
	for s := range c.Taps {
		to, sy, sx := pointers[s*mr:][:run], top+ky, left+kx
		if kx++; kx == j.w.KW {
			ky, kx = ky+1, 0
		}
		if uint(sy) >= uint(j.vh) {
			for i := range to {
				to[i] = zeros
			}
			continue
		}
		if j.w.Upsample {
			sy = sy * j.src.H / j.vh
		}
		row := (n*j.src.H+sy-v.y)*v.width - v.x
		if inside {
			at := (row + sx) * v.stride * size
			for i := range to {
				to[i] = (*float32)(unsafe.Add(unsafe.Pointer(base), at))
				at += step
			}
			continue
		}
		for i := range to {
			to[i] = zeros
			if at := sx + i*j.w.Stride; uint(at) < uint(j.vw) {
				if j.w.Upsample {
					at = at * j.src.W / j.vw
				}
				to[i] = (*float32)(unsafe.Add(unsafe.Pointer(base), (row+at)*v.stride*size))
			}
		}
	}
}
