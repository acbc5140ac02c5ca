package conv

import (
	"sync"
	"unsafe"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/internal/winograd"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// A fast convolution runs over blocks of tiles. A task takes a block and a group of units, a unit being a panel
// of output columns (of each of the four phases, where there are such), and
//
//	transforms the block's t×t pixels to V: piece of channels × point × tile × channel,
//	multiplies, point by point, V by the transformed weights of a unit to M: point × tile × column,
//	transforms M to the m×m pixels of dst, with the epilogue.
//
// V and M are the only transformed data that there is: cut says how large they are.
//
// The sum over channels is cut into pieces of piece values or a little less: each is a chain of fused
// multiply-adds of its own that starts from zero, and their sums are added in rising order. Rounding errors of a
// chain grow with its length, and here, where the transform to outputs amplifies them, they are most of
// all errors: with 1280 channels, pieces of 128 have a third of the error of one chain
// (TestErrors), and a piece of a panel stays in the first-level cache while the tiles pass by.
const piece = 128

// pieces is how the channels are cut: n pieces of each channels, the last one shorter.
func pieces(channels int) (n, each int) {
	n = max(1, ceil(channels, piece))
	return n, ceil(ceil(channels, n), even) * even
}

// even is what lengths of pieces are multiples of, so that they begin at a cache line of V.
const even = 16

// fast is one call of Apply by a Winograd algorithm.
type fast struct {
	tiling
	e        *engine.Engine
	w        *Packed
	kind     winograd.Kind
	stored   *transformed // nil where the transformed weights are made panel by panel
	dst, src tensor.NHWC
	pro      gemm.Prologue
	ep       gemm.Epilogue
	images   int // that the epilogue speaks of
	vh, vw   int // size of the image that the taps see: src's, or that of the enlarged one
}

var fasts = sync.Pool{New: func() any { return new(fast) }}

// winograd is Apply by w's plan, a Winograd algorithm.
func (w *Packed) winograd(e *engine.Engine, dst, src tensor.NHWC, pro gemm.Prologue, ep gemm.Epilogue) {
	ep.Check(dst.Tokens())
	if dst.N*dst.H*dst.W*dst.C == 0 {
		return
	}
	j := fasts.Get().(*fast)
	j.e, j.w, j.dst, j.src, j.pro, j.ep, j.images = e, w, dst, src, pro, ep, ep.Images()
	j.kind, _ = w.plan.Algorithm.fast()
	j.stored = w.stored
	j.vh, j.vw = src.H, src.W
	if w.Upsample && !w.plan.Algorithm.phased() {
		j.vh, j.vw = dst.H, dst.W
	}
	j.tiling = *w.tilingOf(e, dst, pro.Active(), ep.Act != kernels.Identity)
	e.For(j.tasks(), engine.Scratch{Floats: j.room.total, Pointers: j.pointers()}, j)
	if ep.Moments != nil {
		gatherMoments(e, dst, ep.Moments)
	}
	*j = fast{}
	fasts.Put(j)
}

// Tile does one task.
func (j *fast) Tile(w *engine.Worker, task int) {
	b := j.block(w, task)
	j.transformInput(w, &b)
	if j.stored != nil {
		j.multiplyStored(w, &b)
	} else {
		j.multiplyMade(w, &b)
	}
}

// transformInput fills V.
func (j *fast) transformInput(w *engine.Worker, b *block) {
	a := &w.Args.WinogradInput
	*a = kernels.WinogradInputArgs{
		Kind: j.kind, PointStride: j.vPoint, DstStride: j.vStride, Temp: b.temp,
	}
	if !j.pro.Active() {
		j.pointInput(b, 0, b.tiles, view{data: j.src.Data, stride: j.src.Stride, width: j.src.W})
		j.transformTiles(w, b, 0, b.tiles)
	} else {
		for first := 0; first < b.tiles; first += b.perImage() {
			end, win := first+b.perImage(), j.inputWindow(b, first)
			j.pointInput(b, first, end, view{data: b.window, stride: j.windowStride, width: win.x1 - win.x0, y: win.y0, x: win.x0})
			j.loadWindow(w, b, win)
			j.transformTiles(w, b, first, end)
		}
	}
	*a = kernels.WinogradInputArgs{}
}

// inputLimit is how many values of tiles one call transforms, which bounds its time to some 50 µs.
const inputLimit = 16 << 10

// transformTiles transforms tiles first up to end, piece by piece, a few at a time.
func (j *fast) transformTiles(w *engine.Worker, b *block, first, end int) {
	a, tt := &w.Args.WinogradInput, j.x.Points*j.x.Points
	n, each := pieces(j.w.In)
	some := max(1, inputLimit/each)
	for p := range n {
		a.From, a.Cols = p*each, min(each, j.w.In-p*each)
		for i := first; i < end; i += some {
			a.Tiles = min(some, end-i)
			a.Pixels, a.Dst = b.pixels[i*tt:(i+a.Tiles)*tt], b.v[p*j.vPiece+i*j.vStride:]
			w.Set.WinogradInput(a)
		}
	}
}

// pointInput says where the pixels of tiles first up to end are.
func (j *fast) pointInput(b *block, first, end int, v view) {
	zeros := &j.w.panels.Zeros()[0]
	base := unsafe.Pointer(unsafe.SliceData(v.data))
	t, size := j.x.Points, int(unsafe.Sizeof(*zeros))
	enlarged := j.vh != j.src.H || j.vw != j.src.W
	for i := first; i < end; i++ {
		n, ty, tx := b.tile(i)
		top, left := ty*j.step-j.top, tx*j.step-j.left
		at := b.pixels[i*t*t : (i+1)*t*t]
		for y := range t {
			row := at[y*t : (y+1)*t]
			sy := top + y
			if uint(sy) >= uint(j.vh) {
				for x := range row {
					row[x] = zeros
				}
				continue
			}
			if enlarged {
				sy = sy * j.src.H / j.vh
			}
			line := (n*j.src.H+sy-v.y)*v.width - v.x
			for x := range row {
				sx := left + x
				if uint(sx) >= uint(j.vw) {
					row[x] = zeros
					continue
				}
				if enlarged {
					sx = sx * j.src.W / j.vw
				}
				row[x] = (*float32)(unsafe.Add(base, (line+sx)*v.stride*size))
			}
		}
	}
}

// multiplyStored multiplies V by stored weights.
func (j *fast) multiplyStored(w *engine.Worker, b *block) {
	t, points := &w.Args.Tile, j.x.Points*j.x.Points
	n, each := pieces(j.w.In)
	for u := b.unit; u < b.unit+b.units; u++ {
		phase, unit := j.split(u)
		*t = kernels.TileArgs{
			Rows: b.tiles, Cols: j.w.panels.Columns(unit), Segments: 1, AStride: w.Set.GEMM.MR, BStride: j.w.panels.Width(unit),
		}
		for a := range points {
			t.A = b.rows[a*j.rowPointers:]
			for i := range n {
				k0, k1 := i*each, min((i+1)*each, j.w.In)
				t.From, t.K = i*j.vPiece, k1-k0
				t.B = j.stored.panel(phase, unit, a, k0, k1)
				t.Ahead = j.after(b, u, a, k0, k1)
				j.multiply(w, t, b, a, i, true, true)
			}
		}
		*t = kernels.TileArgs{}
		j.transformOutput(w, b, u)
	}
}

// multiply adds to the sums of point a what t multiplies, of piece i of the channels: all of it, its start, its
// end, or a part between. The chain of a piece that takes several calls waits for its end apart from
// the sum of those before it.
func (j *fast) multiply(w *engine.Worker, t *kernels.TileArgs, b *block, a, i int, start, end bool) {
	m := b.m[a*j.mPoint:]
	chain := m
	if i > 0 && !(start && end) {
		chain = b.chains[a*j.mPoint:]
	}
	t.Dst, t.DstStride, t.Init, t.Add = m, j.mStride, nil, nil
	if !start {
		t.Init, t.InitStride = chain, j.mStride
	}
	if !end {
		t.Dst = chain
	} else if i > 0 {
		t.Add, t.AddStride = m, j.mStride
	}
	w.Set.GEMM.Tile(t)
}

// after is the piece of weights that is multiplied as much later as a panel has pieces: of the next point, or of
// the next unit.
func (j *fast) after(b *block, u, a, k0, k1 int) []float32 {
	if a++; a == j.x.Points*j.x.Points {
		a, u = 0, u+1
	}
	if u == b.unit+b.units {
		return nil
	}
	phase, unit := j.split(u)
	return j.stored.panel(phase, unit, a, k0, k1)
}

// multiplyMade multiplies V by weights that it transforms right before: for all points, so many channels of a
// unit at a time that they stay in the second-level cache.
func (j *fast) multiplyMade(w *engine.Worker, b *block) {
	t, points := &w.Args.Tile, j.x.Points*j.x.Points
	n, each := pieces(j.w.In)
	for u := b.unit; u < b.unit+b.units; u++ {
		_, unit := j.split(u)
		columns, width := j.w.panels.Columns(unit), j.w.panels.Width(unit)
		for i := range n {
			end := min((i+1)*each, j.w.In)
			for k0 := i * each; k0 < end; k0 += j.made {
				k1 := min(k0+j.made, end)
				j.makeWeights(w, b, u, k0, k1)
				*t = kernels.TileArgs{
					Rows: b.tiles, Cols: columns, Segments: 1, AStride: w.Set.GEMM.MR, BStride: width,
					From: i*j.vPiece + k0 - i*each, K: k1 - k0,
				}
				for a := range points {
					t.A = b.rows[a*j.rowPointers:]
					t.B = b.weights[a*j.wPoint:][:(k1-k0)*width]
					t.Ahead = j.tapsAfter(b, u, k1, a)
					j.multiply(w, t, b, a, i, k0 == i*each, k1 == end)
				}
			}
		}
		*t = kernels.TileArgs{}
		j.transformOutput(w, b, u)
	}
}

// taps returns the weights that unit u is made of, and which of their units that is.
func (j *fast) taps(u int) (*gemm.Packed, int) {
	phase, unit := j.split(u)
	if j.w.phases != nil {
		return j.w.phases[phase], unit
	}
	return j.w.panels, unit
}

// makeWeights transforms channels k0 up to k1 of unit u.
func (j *fast) makeWeights(w *engine.Worker, b *block, u, k0, k1 int) {
	panels, unit := j.taps(u)
	taps, width := panels.Taps(), panels.Width(unit)
	args := kernels.WinogradWeightsArgs{
		Kind: j.kind, N: (k1 - k0) * width, Dst: b.weights, PointStride: j.wPoint, Temp: b.temp,
	}
	if panels.Half() {
		args.TapStride = args.N
		for tap := range taps {
			panels.Panel(w, b.wide[tap*args.N:], unit, tap*j.w.In+k0, tap*j.w.In+k1)
		}
		args.Taps = b.wide
	} else {
		args.TapStride = j.w.In * width
		args.Taps = panels.Panel(w, nil, unit, k0, taps*j.w.In)
	}
	a := &w.Args.WinogradWeights
	*a = args
	w.Set.WinogradWeights(a)
	*a = kernels.WinogradWeightsArgs{}
}

// tapsAfter is the share that point a asks ahead of the taps that are transformed next: channels of unit u
// from k0 on, or the first of the next unit.
func (j *fast) tapsAfter(b *block, u, k0, a int) []float32 {
	if k0 == j.w.In {
		k0, u = 0, u+1
	}
	if u == b.unit+b.units {
		return nil
	}
	panels, unit := j.taps(u)
	taps, points := panels.Taps(), j.x.Points*j.x.Points
	tap := a * taps / points
	first := ceil(tap*points, taps) // the points that share the tap
	last := ceil((tap+1)*points, taps)
	from, count := part(a-first, last-first, min(j.made, j.w.In-k0))
	from += tap*j.w.In + k0
	return panels.Memory(unit, from, from+count)
}

// transformOutput transforms M, of unit u, to pixels of dst.
func (j *fast) transformOutput(w *engine.Worker, b *block, u int) {
	phase, unit := j.split(u)
	if phase != b.phase {
		j.pointOutput(b, phase)
	}
	column := unit * w.Set.GEMM.NR
	a := &w.Args.WinogradOutput
	mm, staged := j.x.Outputs*j.x.Outputs, j.ep.Act != kernels.Identity
	for first := 0; first < b.tiles; {
		end := min(first+b.perImage(), b.tiles)
		n, _, _ := b.tile(first)
		image := n * j.images / j.dst.N
		*a = kernels.WinogradOutputArgs{
			Kind: j.kind, Tiles: end - first, Cols: j.w.panels.Columns(unit), From: column,
			Src: b.m[first*j.mStride:], PointStride: j.mPoint, SrcStride: j.mStride,
			Dst: b.outputs[first*mm : end*mm], Temp: b.temp,
		}
		switch {
		case j.ep.Bias != nil:
			a.Bias = j.ep.Bias[column:]
		case j.ep.ImageBias.Data != nil:
			a.Bias = j.ep.ImageBias.Row(image)[column:]
		}
		if staged {
			a.From = 0
			w.Set.WinogradOutput(a)
			j.finish(w, b, first, end, image, column, a.Cols)
		} else {
			if j.ep.Gate.Data != nil {
				a.Scale = j.ep.Gate.Row(image)[column:]
			}
			if j.ep.Add.Data != nil {
				a.Add = b.adds[first*mm : end*mm]
			}
			w.Set.WinogradOutput(a)
		}
		first = end
	}
	*a = kernels.WinogradOutputArgs{}
}

// pointOutput says where the pixels of the block's tiles go in a phase: to dst, or on the way to an
// activation to scratch.
func (j *fast) pointOutput(b *block, phase int) {
	b.phase = phase
	m, size := j.x.Outputs, int(unsafe.Sizeof(float32(0)))
	mm := m * m
	dst, dstStep := unsafe.Pointer(unsafe.SliceData(j.dst.Data)), j.dst.Stride*size
	add, addStep := unsafe.Pointer(unsafe.SliceData(j.ep.Add.Data)), j.ep.Add.Stride*size
	for i := range b.tiles {
		n, ty, tx := b.tile(i)
		for py := range m {
			for px := range m {
				at := i*mm + py*m + px
				y, x, ok := j.place(phase, ty, tx, py, px)
				pixel := (n*j.dst.H+y)*j.dst.W + x
				switch {
				case !ok:
					b.outputs[at] = nil
				case j.ep.Act != kernels.Identity:
					b.outputs[at] = &b.staged[at*j.e.Set().GEMM.NR]
				default:
					b.outputs[at] = (*float32)(unsafe.Add(dst, pixel*dstStep))
					if add != nil {
						b.adds[at] = (*float32)(unsafe.Add(add, pixel*addStep))
					}
				}
			}
		}
	}
}

// finish activates what waits in scratch of tiles first up to end of one image, pixel by pixel along their
// rows, on the way to dst.
func (j *fast) finish(w *engine.Worker, b *block, first, end, image, column, cols int) {
	m, nr := j.x.Outputs, w.Set.GEMM.NR
	a := &w.Args.Activate
	*a = kernels.ActivateArgs{Cols: cols, Act: j.ep.Act, SrcStride: nr, DstStride: j.dst.Stride * j.apart, AddStride: j.ep.Add.Stride * j.apart}
	if j.ep.Gate.Data != nil {
		a.Value = j.ep.Gate.Row(image)[column:]
	}
	for i := first; i < end; i++ {
		n, ty, tx := b.tile(i)
		for py := range m {
			px := 0 // the first pixel of the row that there is
			y, x, ok := j.place(b.phase, ty, tx, py, px)
			for ; !ok && px+1 < m; y, x, ok = j.place(b.phase, ty, tx, py, px) {
				px++
			}
			if !ok {
				continue
			}
			a.Rows = 1
			for px+a.Rows < m {
				if _, _, ok := j.place(b.phase, ty, tx, py, px+a.Rows); !ok {
					break
				}
				a.Rows++
			}
			pixel := (n*j.dst.H+y)*j.dst.W + x
			a.Src = b.staged[((i*m+py)*m+px)*nr:]
			a.Dst = j.dst.Data[pixel*j.dst.Stride+column:]
			if j.ep.Add.Data != nil {
				a.Add = j.ep.Add.Data[pixel*j.ep.Add.Stride+column:]
			}
			w.Set.Activate(a)
		}
	}
	*a = kernels.ActivateArgs{}
}
