// Package resample changes the size of images: nearest neighbours, interpolation, average pooling, and
// pixels moved into channels, as PyTorch defines them.
package resample

import (
	"fmt"
	"sync"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/tensor"
)

// Nearest resizes src to dst's size: dst[n][y][x] = src[n][⌊y·h/H⌋][⌊x·w/W⌋], for src of h × w and
// dst of H × W pixels. It panics where images or channels differ in number or src has no pixels
// for those of dst. dst does not overlap src.
func Nearest(e *engine.Engine, dst, src tensor.NHWC) {
	check("nearest", dst, src, dst.C == src.C && (src.H*src.W > 0 || dst.H*dst.W == 0))
	run(e, dst, src, 0, nearest)
}

// AveragePool averages windows of k × k pixels that do not overlap. dst has ⌊h/k⌋ rows, or ⌈h/k⌉,
// whose windows at the edge average the pixels inside the image; and so for columns. It panics on
// any other shape. dst does not overlap src.
func AveragePool(e *engine.Engine, dst, src tensor.NHWC, k int) {
	fits := func(to, from int) bool { return to == from/k || to == (from+k-1)/k }
	check("average pool", dst, src, k > 0 && dst.C == src.C && fits(dst.H, src.H) && fits(dst.W, src.W))
	run(e, dst, src, k, averagePool)
}

// PixelUnshuffle moves blocks of k × k pixels into channels: dst[n][y][x][(c·k+i)·k+j] =
// src[n][y·k+i][x·k+j][c]. It panics unless dst has exactly k² times the channels and 1/k of the
// rows and columns. dst does not overlap src.
func PixelUnshuffle(e *engine.Engine, dst, src tensor.NHWC, k int) {
	check("pixel unshuffle", dst, src, k > 0 && dst.C == src.C*k*k && dst.H*k == src.H && dst.W*k == src.W)
	run(e, dst, src, k, pixelUnshuffle)
}

func check(what string, dst, src tensor.NHWC, fits bool) {
	dst.Check("resample: dst")
	src.Check("resample: src")
	if dst.N != src.N || !fits {
		panic(fmt.Sprintf("resample: %s of %s into %s", what, src.Shape(), dst.Shape()))
	}
}

// job fills rows of dst, a few a tile.
type job struct {
	dst, src tensor.NHWC
	k        int
	row      func(j *job, n, y int) // fills row y of image n
	perTile  int
}

var jobs = sync.Pool{New: func() any { return new(job) }}

// tileValues is about how many values of dst a tile fills, some 10 µs of copying.
const tileValues = 16 << 10

func run(e *engine.Engine, dst, src tensor.NHWC, k int, row func(j *job, n, y int)) {
	rows := dst.N * dst.H
	if rows == 0 || dst.W == 0 || dst.C == 0 {
		return
	}
	j := jobs.Get().(*job)
	*j = job{dst, src, k, row, 1 + tileValues/(dst.W*dst.C)}
	e.For((rows+j.perTile-1)/j.perTile, engine.Scratch{}, j)
	*j = job{}
	jobs.Put(j)
}

// Tile fills the rows of one tile.
func (j *job) Tile(_ *engine.Worker, tile int) {
	for r := tile * j.perTile; r < min((tile+1)*j.perTile, j.dst.N*j.dst.H); r++ {
		j.row(j, r/j.dst.H, r%j.dst.H)
	}
}

func nearest(j *job, n, y int) {
	sy := y * j.src.H / j.dst.H
	for x := range j.dst.W {
		copy(j.dst.Pixel(n, y, x), j.src.Pixel(n, sy, x*j.src.W/j.dst.W))
	}
}

func averagePool(j *job, n, y int) {
	for x := range j.dst.W {
		y0, x0 := y*j.k, x*j.k
		y1, x1 := min(y0+j.k, j.src.H), min(x0+j.k, j.src.W)
		dst := j.dst.Pixel(n, y, x)
		clear(dst)
		for sy := y0; sy < y1; sy++ {
			for sx := x0; sx < x1; sx++ {
				for c, v := range j.src.Pixel(n, sy, sx) {
					dst[c] += v
				}
			}
		}
		count := float32((y1 - y0) * (x1 - x0))
		for c := range dst {
			dst[c] /= count
		}
	}
}

func pixelUnshuffle(j *job, n, y int) {
	k := j.k
	for x := range j.dst.W {
		dst := j.dst.Pixel(n, y, x)
		for dy := range k {
			for dx := range k {
				for c, v := range j.src.Pixel(n, y*k+dy, x*k+dx) {
					dst[(c*k+dy)*k+dx] = v
				}
			}
		}
	}
}
