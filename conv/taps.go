package conv

import (
	"unsafe"

	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/tensor"
)

// input is the image that an implicit multiplication reads.
type input struct {
	Geometry
	src    tensor.NHWC
	pro    gemm.Prologue
	panels *gemm.Packed
	oh, ow int  // size of the output
	vh, vw int  // size of the image that the taps see: src's, or that of the enlarged one
	mr     int  // rows of a full tile
	copied bool // taps point into a window of the image in the worker's scratch
	joined bool // which has zeros left and right, and no gap from pixel to pixel: a row of taps is one segment
	stride int  // between pixels of the window
}

// joinedChannels is how many channels a pixel may have for the taps of a kernel row to be read as
// one segment. To say where every tap is takes as long as copying some hundred channels, once for
// each group of columns, does; with 128 of 16 × 16 pixels it is 1 % of the time.
const joinedChannels = 128

// joins says whether the taps of a kernel row are read as one segment.
func (p *Packed) joins() bool {
	return p.KW > 1 && !p.Upsample && p.In > 0 && p.In <= joinedChannels
}

// newInput describes the input of a convolution of src to oh × ow pixels, enlarged to that size if
// g says so, for multiplication by panels.
func newInput(src tensor.NHWC, pro gemm.Prologue, panels *gemm.Packed, g Geometry, oh, ow int, joined bool) input {
	in := input{
		Geometry: g, src: src, pro: pro, panels: panels, oh: oh, ow: ow, vh: src.H, vw: src.W,
		joined: joined, copied: src.C > 0 && (joined || pro.Active()),
	}
	if g.Upsample {
		in.vh, in.vw = oh, ow
	}
	in.stride = gemm.RowStride(src.C)
	if joined {
		in.stride = src.C
	}
	return in
}

// view is where the pixels of the image lie for one task.
type view struct {
	data          []float32
	stride, width int
	y, x          int // the pixel at data[0]; y counts the rows of all images
}

// taps are the segments that a product's rows have: the taps of the input's geometry, or a part of
// them, or its rows of joined taps.
type taps struct {
	in *input
	Geometry
}

// point says where the taps of a chunk are for each output pixel of the block.
func (t *taps) point(b *gemm.Block, c gemm.Chunk, v view) {
	if c.K == 0 {
		return
	}
	in := t.in
	zeros := &in.panels.Zeros()[0]
	base := zeros
	if len(v.data) > 0 {
		base = &v.data[c.From]
	}
	y, x := b.Row/in.ow, b.Row%in.ow // of the output, y over all images
	n := y / in.oh
	y -= n * in.oh
	for tile := range b.Tiles {
		r0, r1 := b.TileRows(tile)
		pointers := b.Pointers(tile, c)
		for r := r0; r < r1; {
			run := min(r1-r, in.ow-x)
			t.pointRun(pointers[r-r0:], run, n, y, x, c, v, base, zeros)
			if r, x = r+run, x+run; x == in.ow {
				y, x = y+1, 0
				if y == in.oh {
					n, y = n+1, 0
				}
			}
		}
	}
}

// pointRun does it for a run of pixels from (n, y, x) on, in one row of the output and in one tile. base
// is the view's first pixel.
func (t *taps) pointRun(pointers []*float32, run, n, y, x int, c gemm.Chunk, v view, base, zeros *float32) {
	in, g := t.in, &t.Geometry
	const size = int(unsafe.Sizeof(*base))
	step := g.Stride * v.stride * size
	top, left := y*g.Stride-g.Top, x*g.Stride-g.Left
	ky, kx := c.Tap/g.KW, c.Tap%g.KW
	inside := in.joined || !g.Upsample && left >= 0 && left+(run-1)*g.Stride+g.KW <= in.vw
	for s := range c.Taps {
		to, sy, sx := pointers[s*in.mr:][:run], top+ky, left+kx
		if kx++; kx == g.KW {
			ky, kx = ky+1, 0
		}
		if uint(sy) >= uint(in.vh) {
			for i := range to {
				to[i] = zeros
			}
			continue
		}
		if g.Upsample {
			sy = sy * in.src.H / in.vh
		}
		row := (n*in.src.H+sy-v.y)*v.width - v.x
		if inside {
			at := (row + sx) * v.stride * size
			for ; len(to) >= 2; to = to[2:] { // the garbage collector is asked once for both
				to[0] = (*float32)(unsafe.Add(unsafe.Pointer(base), at))
				to[1] = (*float32)(unsafe.Add(unsafe.Pointer(base), at+step))
				at += 2 * step
			}
			if len(to) > 0 {
				to[0] = (*float32)(unsafe.Add(unsafe.Pointer(base), at))
			}
			continue
		}
		for i := range to {
			to[i] = zeros
			if at := sx + i*g.Stride; uint(at) < uint(in.vw) {
				if g.Upsample {
					at = at * in.src.W / in.vw
				}
				to[i] = (*float32)(unsafe.Add(unsafe.Pointer(base), (row+at)*v.stride*size))
			}
		}
	}
}

// Taps returns the range of taps that output pixels r0 up to r1 read, as gemm.Taps does: without those
// kernel rows that lie above or below the image for all of them.
func (t *taps) Taps(r0, r1 int) (from, to, until int) {
	in := t.in
	first, last := r0/in.ow, (r1-1)/in.ow // rows of the output, over all images
	n := first / in.oh
	if last/in.oh > n {
		return 0, t.KH * t.KW, r1
	}
	first, last = first-n*in.oh, last-n*in.oh
	k0, k1 := max(0, t.Top-last*t.Stride), min(t.KH, in.vh+t.Top-first*t.Stride)
	if k0 > 0 || k1 < t.KH {
		return k0 * t.KW, k1 * t.KW, r1
	}
	whole := min((in.vh+t.Top-t.KH)/t.Stride+1, in.oh) // rows up to the first that reads below the image
	return 0, t.KH * t.KW, (n*in.oh + whole) * in.ow
}
