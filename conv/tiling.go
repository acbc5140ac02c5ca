package conv

import (
	"math"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/internal/winograd"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// tiling is how a fast convolution is cut into tasks, and where a task keeps what. Nothing of it changes
// a bit of the result.
type tiling struct {
	key        tilingKey
	x          *winograd.Transform
	step       int // pixels that the taps see from tile to tile
	top, left  int // of them before the image
	phases     int // 4, or 1 where there are none
	apart      int // pixels of dst between two of a tile: 2 with phases
	n, h, w    int // images, and the size of a phase of them
	rows, cols int // tiles of an image

	blocksN, blocksY, blocksX int // blocks along each axis
	units, groups             int // units of all phases, and groups of them
	most                      int // tiles of a block

	vStride, vPoint, vPiece int // of V: from tile to tile, from point to point
	mStride, mPoint         int // of M
	wPoint                  int // of weights that are made
	made                    int // channels of a unit whose weights are made at a time
	windowStride            int
	rowPointers             int // pointers to the rows of a matrix of V
	room                    room
}

// room is where the parts of a worker's scratch end.
type room struct{ v, m, chains, weights, wide, window, staged, temp, total int }

// tilingKey is what a tiling depends on besides the weights.
type tilingKey struct {
	n, h, w, workers int
	window, staged   bool // whether there are a prologue and an activation
}

// tilingOf returns the tiling of a convolution to dst on e. The last one is kept: a layer of a session has
// the same every time.
func (w *Packed) tilingOf(e *engine.Engine, dst tensor.NHWC, window, staged bool) *tiling {
	key := tilingKey{dst.N, dst.H, dst.W, e.Workers(), window, staged}
	last := w.tiling.Load()
	if last == nil || last.key != key {
		last = w.tile(e, dst, key)
		w.tiling.Store(last)
	}
	return last
}

// tile makes a tiling.
func (w *Packed) tile(e *engine.Engine, dst tensor.NHWC, key tilingKey) *tiling {
	kind, _ := w.plan.Algorithm.fast()
	j := &tiling{key: key, x: kind.Transform(), phases: 1, apart: 1, top: w.Top, left: w.Left, n: dst.N, h: dst.H, w: dst.W}
	j.step = j.x.Outputs
	j.rows, j.cols = ceil(dst.H, j.step), ceil(dst.W, j.step)
	if w.plan.Algorithm.phased() {
		j.phases, j.apart = 4, 2
		j.h, j.w = dst.H/2, dst.W/2
		// The phases of odd rows and columns begin a pixel earlier: see place.
		j.rows, j.cols = (j.h+j.step)/j.step, (j.w+j.step)/j.step
	}
	g := &e.Set().GEMM
	j.units = j.phases * w.panels.Units()
	j.cut(g, w)

	points := j.x.Points * j.x.Points
	n, each := pieces(w.In)
	j.vStride = each
	j.vPoint = offSet(j.most * j.vStride)
	j.vPiece = points * j.vPoint
	j.mStride = g.NR
	j.mPoint = offSet(j.most * j.mStride)
	j.rowPointers = ceil(j.most, g.MR) * g.MR
	r := &j.room
	r.v = n * j.vPiece
	r.m = r.v + points*j.mPoint
	r.chains = r.m
	if w.stored == nil {
		// Weights that are made take up to five eighths of the second-level cache: a piece of the channels, or
		// parts of one, which cost another M.
		parts := ceil(8*points*each*g.NR, 5*cacheValues(g))
		j.made = ceil(ceil(each, parts), even) * even
		j.wPoint = offSet(j.made * g.NR)
		if n > 1 && j.made < each {
			r.chains += points * j.mPoint
		}
	}
	r.weights = r.chains + points*j.wPoint
	r.wide = r.weights
	if w.stored == nil && w.panels.Half() {
		r.wide += j.x.Taps * j.x.Taps * j.made * g.NR
	}
	r.window = r.wide
	if key.window {
		j.windowStride = gemm.RowStride(w.In)
		high, wide := j.side(ceil(j.rows, j.blocksY)), j.side(ceil(j.cols, j.blocksX))
		r.window += high * wide * j.windowStride
	}
	r.staged = r.window
	if key.staged {
		r.staged += j.most * j.x.Outputs * j.x.Outputs * g.NR
	}
	r.temp = r.staged + kernels.WinogradTemp
	r.total = r.temp
	return j
}

// side is how many pixels the taps of so many tiles in a row see.
func (j *tiling) side(tiles int) int { return tiles*j.step + j.x.Points - j.step }

// cacheValues is how many values the second-level cache holds: see kernels.GEMM.KC.
func cacheValues(g *kernels.GEMM) int { return g.KC * 8 * 64 }

// offSet is n values or a little more: rows that are so far apart do not fall into one set of a cache.
func offSet(n int) int { return gemm.RowStride(n) }

// cut chooses blocks and groups: those with which the worker that has most to do has least. What a task costs
// is counted in multiply-adds of a row of a product:
//
//   - rows of V in whole tiles of the kernel, and beside them, where weights are made, as many rows as that
//     takes; where they are stored at least as many rows as hide the way of the weights from a third-level
//     cache behind the arithmetic;
//   - the transforms of pixels, for each value of V and M;
//   - with a prologue, the window that it is applied to, which overlaps those of other blocks;
//   - what surrounds a task.
//
// All were measured on an Intel server core with AVX-512, where a line of weights takes 7 cycles to make and
// as long as 32 rows to fetch.
//
// A block's V stays in the second-level cache where weights are stored. Where they are made it may be eight
// times as large, so that they are made less often (four times as large costs 6 % with 640 channels): what
// stays there is a piece of the weights, and V is read in order, from a third-level cache as fast.
func (j *tiling) cut(g *kernels.GEMM, w *Packed) {
	const (
		madeRows, storedRows = 12, 32
		transformCost        = 16
		prologueCost         = 40
		taskCost             = 200 << 10
		most                 = 128 // tiles of a block
	)
	points := j.x.Points * j.x.Points
	room := cacheValues(g)
	if w.stored == nil {
		room *= 8
	}
	limit := min(max(room/(points*w.In), storedRows), most)
	least, best := math.Inf(1), *j
	try := func(bn, by, bx int) {
		tiles := ceil(j.n, bn) * ceil(j.rows, by) * ceil(j.cols, bx)
		if tiles > limit {
			return
		}
		rows := ceil(tiles, g.MR) * g.MR
		if w.stored == nil {
			rows += madeRows
		} else {
			rows = max(rows, storedRows)
		}
		blocks := bn * by * bx
		for groups := 1; groups <= min(j.units, 4*j.key.workers); groups++ {
			columns := ceil(j.units, groups) * g.NR
			task := taskCost + float64(points)*(float64(rows*w.In*columns)+float64(transformCost*tiles*(w.In+columns)))
			if j.key.window {
				high, wide := j.side(ceil(j.rows, by)), j.side(ceil(j.cols, bx))
				task += float64(prologueCost * w.In * ceil(j.n, bn) * high * wide)
			}
			if cost := task * float64(ceil(blocks*groups, j.key.workers)); cost < least {
				least = cost
				best.blocksN, best.blocksY, best.blocksX, best.groups = bn, by, bx, groups
			}
		}
	}
	for bn := 1; bn <= j.n; bn++ {
		try(bn, 1, 1)
	}
	for by := 1; by <= j.rows; by = next(j.rows, by) {
		for bx := 1; bx <= j.cols; bx = next(j.cols, bx) {
			try(j.n, by, bx)
		}
	}
	*j = best
	j.most = ceil(j.n, j.blocksN) * ceil(j.rows, j.blocksY) * ceil(j.cols, j.blocksX)
}

// next is the least number of parts that makes them smaller than so many do.
func next(n, parts int) int {
	if parts == n {
		return n + 1
	}
	return ceil(n, ceil(n, parts)-1)
}

// ceil is the quotient, rounded up.
func ceil(n, by int) int { return (n + by - 1) / by }

// tasks is how many tasks there are.
func (j *tiling) tasks() int { return j.blocksN * j.blocksY * j.blocksX * j.groups }

// pointers is how many pointers a task needs.
func (j *tiling) pointers() int {
	tt, mm := j.x.Points*j.x.Points, j.x.Outputs*j.x.Outputs
	return tt*j.rowPointers + j.most*(tt+2*mm)
}

// split returns the phase of a unit of all phases, and the panel that it is.
func (j *tiling) split(unit int) (phase, panel int) {
	n := j.units / j.phases
	return unit / n, unit % n
}

// place returns where in its image pixel (py, px) of a tile goes, if it is in it.
//
// With phases a tile sees rows 5·ty−1 up to 5·ty+5 of the small image. Its outputs are, for phases of even
// rows, whose taps are rows y−1 and y, rows 5·ty up to 5·ty+5 of that phase; for those of odd rows, whose
// taps are y and y+1, rows 5·ty−1 up to 5·ty+4. So all phases share a tile.
func (j *tiling) place(phase, ty, tx, py, px int) (y, x int, ok bool) {
	oddY, oddX := phase/2, phase%2
	y, x = ty*j.step+py-oddY, tx*j.step+px-oddX
	ok = uint(y) < uint(j.h) && uint(x) < uint(j.w)
	return y*j.apart + oddY, x*j.apart + oddX, ok
}

// block is what a task works on.
type block struct {
	tiles         int // in all
	unit, units   int
	n0, y0, x0    int // the first tile, and of how many images, rows and columns
	ns, high, wid int
	phase         int // that outputs point into; −1 before any

	v, m, chains, weights, wide, window, staged, temp []float32
	rows, pixels, outputs, adds                       []*float32
}

// part returns the range of n that part i of parts is.
func part(i, parts, n int) (from, count int) {
	from = i * n / parts
	return from, (i+1)*n/parts - from
}

// block returns the block of a task.
func (j *fast) block(w *engine.Worker, task int) block {
	blocks := j.blocksN * j.blocksY * j.blocksX
	group, at := task/blocks, task%blocks
	b := block{phase: -1}
	b.unit, b.units = part(group, j.groups, j.units)
	b.n0, b.ns = part(at/(j.blocksY*j.blocksX), j.blocksN, j.n)
	b.y0, b.high = part(at/j.blocksX%j.blocksY, j.blocksY, j.rows)
	b.x0, b.wid = part(at%j.blocksX, j.blocksX, j.cols)
	b.tiles = b.ns * b.high * b.wid

	f, r := w.Floats(), &j.room
	b.v, b.m, b.chains = f[:r.v], f[r.v:r.m], f[r.m:r.chains]
	b.weights, b.wide = f[r.chains:r.weights], f[r.weights:r.wide]
	b.window, b.staged, b.temp = f[r.wide:r.window], f[r.window:r.staged], f[r.staged:r.temp]

	p, tt, mm := w.Pointers(), j.x.Points*j.x.Points, j.x.Outputs*j.x.Outputs
	b.rows, p = p[:tt*j.rowPointers], p[tt*j.rowPointers:]
	b.pixels, p = p[:j.most*tt], p[j.most*tt:]
	b.outputs, p = p[:j.most*mm], p[j.most*mm:]
	b.adds = p[:j.most*mm]
	for a := range tt {
		for i := range b.tiles {
			b.rows[a*j.rowPointers+i] = &b.v[a*j.vPoint+i*j.vStride]
		}
	}
	return b
}

// perImage is how many tiles of an image the block has.
func (b *block) perImage() int { return b.high * b.wid }

// tile returns image, row and column of tile i of the block.
func (b *block) tile(i int) (n, ty, tx int) {
	n, i = i/(b.high*b.wid), i%(b.high*b.wid)
	return b.n0 + n, b.y0 + i/b.wid, b.x0 + i%b.wid
}

// inputWindow is the part of src that the tiles of one image read, of which first is one.
func (j *fast) inputWindow(b *block, first int) window {
	n, y, x := b.tile(first)
	y0, y1 := j.seen(y*j.step-j.top, j.side(b.high), j.src.H, j.vh)
	x0, x1 := j.seen(x*j.step-j.left, j.side(b.wid), j.src.W, j.vw)
	return window{n*j.src.H + y0, n*j.src.H + y1, x0, x1}
}

// seen returns the range of size pixels that pixels from on, so many, are of: of an image that the taps see as
// seen pixels.
func (j *fast) seen(from, count, size, seen int) (p0, p1 int) {
	p0, p1 = min(max(from, 0), seen), min(max(from+count, 0), seen)
	if p0 == p1 {
		return 0, 0
	}
	return p0 * size / seen, (p1-1)*size/seen + 1
}

// loadWindow copies a window of src to scratch, through the prologue: all channels of a pixel together,
// whose memory is one piece. (64 at a time, which stay in the first-level cache, take two to three times as
// long.)
func (j *fast) loadWindow(w *engine.Worker, b *block, win window) {
	width := win.x1 - win.x0
	for y := win.y0; y < win.y1; y++ {
		pixel := y*j.src.W + win.x0
		src := tensor.Mat{Rows: width, Cols: j.w.In, Stride: j.src.Stride, Data: j.src.Data[pixel*j.src.Stride:]}
		dst := tensor.Mat{Rows: width, Cols: j.w.In, Stride: j.windowStride, Data: b.window[(y-win.y0)*width*j.windowStride:]}
		j.pro.Apply(w, dst, src, pixel, j.src.N*j.src.H*j.src.W, 0, j.w.panels)
	}
}
