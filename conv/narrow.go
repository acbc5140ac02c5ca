package conv

import (
	"sync"
	"unsafe"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// The last convolution of a model has few output channels, which leave most lanes of a vector empty. Its taps
// go into lanes beside them: every pixel of the image is multiplied by the weights of all taps at
// once, and an output pixel is the sum of what its taps' pixels made of it. The order of its sum is
// another than Apply's, a chain over the channels for each tap, added in the order of taps to the
// bias; whether it is, depends on the weights' shape alone.

// narrowOut is how many output channels there may be at most, and narrowIn how many input channels
// at least. Beyond 4 a vector of 8 holds as much of the output as of taps; few channels make the
// sums over taps dear.
const (
	narrowOut = 4
	narrowIn  = 16
)

// narrowRoom is how many products of a task wait to be added, in values, a quarter of a second-level cache
// or a few rows of a wide image; narrowTasks tasks for each worker even out their ends, at the
// price of rows that two of them multiply.
const (
	narrowRoom  = 128 << 10
	narrowTasks = 2
)

// spreads says whether taps go into lanes.
func (p *Packed) spreads() bool {
	return p.KH*p.KW > 1 && p.Stride == 1 && !p.Upsample && p.Out > 0 && p.Out <= narrowOut && p.In >= narrowIn
}

// packSpread lays out the weights w, as Pack takes them, with a column for each tap and output channel.
func (p *Packed) packSpread(e *engine.Engine, w []float32) *gemm.Packed {
	n := p.KH * p.KW
	m := tensor.MakeMat(n*p.Out, p.In)
	for o := range p.Out {
		for c := range p.In {
			for tap := range n {
				m.Row(tap*p.Out + o)[c] = w[(o*p.In+c)*n+tap]
			}
		}
	}
	return gemm.Pack(e, m)
}

// narrow is one call of Apply with taps in lanes.
type narrow struct {
	w      *Packed
	in     input
	dst    tensor.NHWC
	ep     gemm.Epilogue
	images int // that the epilogue speaks of
	rows   int // of dst, over all images, in a task
	room   int // for products
	mr, nr int
}

var narrows = sync.Pool{New: func() any { return new(narrow) }}

// sumTaps is Apply with taps in lanes, on operands that Apply has checked.
func (w *Packed) sumTaps(e *engine.Engine, dst, src tensor.NHWC, pro gemm.Prologue, ep gemm.Epilogue) {
	ep.Check(dst.Tokens())
	if dst.N*dst.H*dst.W == 0 {
		return
	}
	j := narrows.Get().(*narrow)
	g := &e.Set().GEMM
	j.w, j.dst, j.ep, j.images, j.mr, j.nr = w, dst, ep, ep.Images(), g.MR, g.NR
	j.in = newInput(src, pro, w.spread, w.Geometry, dst.H, dst.W, false)
	total, line := dst.N*dst.H, max(1, src.W*w.spread.Out)
	j.rows = max(1, min(narrowRoom/line-(w.KH-1), (total+narrowTasks*e.Workers()-1)/(narrowTasks*e.Workers())))
	lines := j.rows + (w.KH-1)*(j.rows/dst.H+2) // of src, in as many images as a task touches
	j.room = lines * line
	window := 0
	if j.in.copied {
		window = lines * src.W * j.in.stride
	}
	e.For((total+j.rows-1)/j.rows, engine.Scratch{
		Floats:   j.room + 2*dst.W*w.Out + w.In*j.nr + window,
		Pointers: (lines*src.W + j.mr - 1) / j.mr * j.mr,
	}, j)
	if ep.Moments != nil {
		gatherMoments(e, dst, ep.Moments)
	}
	*j = narrow{}
	narrows.Put(j)
}

// Tile computes some rows of dst, image by image.
func (j *narrow) Tile(w *engine.Worker, task int) {
	for y := task * j.rows; y < min((task+1)*j.rows, j.dst.N*j.dst.H); {
		end := min((task+1)*j.rows, (y/j.dst.H+1)*j.dst.H)
		j.compute(w, y, end)
		y = end
	}
}

// compute does rows y0 up to y1 of dst, counted over all images, of one image.
func (j *narrow) compute(w *engine.Worker, y0, y1 int) {
	out, width := j.w.Out, j.dst.W*j.w.Out
	f := w.Floats()
	products, f := f[:j.room], f[j.room:]
	start, sums, f := f[:width], f[width:2*width], f[2*width:]
	wide, scratch := f[:j.w.In*j.nr], f[j.w.In*j.nr:]

	image := y0 / j.dst.H
	win := window{x1: j.in.src.W}
	win.y0, _ = j.in.rows(y0)
	_, win.y1 = j.in.rows(y1 - 1)
	if win.pixels() > 0 {
		j.multiply(w, products, wide, scratch, win)
	}
	clear(start)
	per := j.dst.N * j.dst.H / j.images // rows of dst of an image of the epilogue
	for y := y0; y < y1; y++ {
		group := y / per
		if bias := j.bias(group); bias != nil && (y == y0 || y%per == 0) {
			for x := range j.dst.W {
				copy(start[x*out:(x+1)*out], bias)
			}
		}
		copy(sums, start)
		top := y - image*j.dst.H - j.w.Top
		for tap := range j.w.KH * j.w.KW {
			sy, left := top+tap/j.w.KW, tap%j.w.KW-j.w.Left
			x0, x1 := max(0, -left), min(j.dst.W, j.in.src.W-left)
			if uint(sy) >= uint(j.in.src.H) || x0 >= x1 {
				continue
			}
			from := ((image*j.in.src.H+sy-win.y0)*j.in.src.W + x0 + left) * j.w.spread.Out
			a := &w.Args.Activate
			*a = kernels.ActivateArgs{
				Rows: x1 - x0, Cols: out, Src: sums[x0*out:], SrcStride: out, Dst: sums[x0*out:], DstStride: out,
				Add: products[from+tap*out:], AddStride: j.w.spread.Out,
			}
			w.Set.Activate(a)
		}
		j.store(w, sums, y, group)
	}
	w.Args.Activate = kernels.ActivateArgs{}
}

// multiply fills products with those of the window's pixels and all taps.
func (j *narrow) multiply(w *engine.Worker, products, wide, scratch []float32, win window) {
	v := view{data: j.in.src.Data, stride: j.in.src.Stride}
	first := win.y0 * j.in.src.W
	if j.in.copied {
		j.in.load(w, scratch, win)
		v, first = view{data: scratch, stride: j.in.stride}, 0
	}
	pointers, n := w.Pointers(), win.pixels()
	base, step := unsafe.Pointer(unsafe.SliceData(v.data)), uintptr(v.stride)*unsafe.Sizeof(v.data[0])
	for i := range n {
		pointers[i] = (*float32)(unsafe.Add(base, uintptr(first+i)*step))
	}
	t, p := &w.Args.Tile, j.w.spread
	for unit := range p.Units() {
		*t = kernels.TileArgs{
			Rows: n, Cols: p.Columns(unit), Segments: 1, K: j.w.In, A: pointers, AStride: j.mr,
			B: p.Panel(w, wide, unit, 0, j.w.In), BStride: p.Width(unit),
			Dst: products[unit*j.nr:], DstStride: p.Out,
		}
		w.Set.GEMM.Tile(t)
	}
	*t = kernels.TileArgs{}
}

// bias returns what the sums of an image of the epilogue start from, nil for zeros.
func (j *narrow) bias(image int) []float32 {
	if j.ep.ImageBias.Data != nil {
		return j.ep.ImageBias.Row(image)
	}
	return j.ep.Bias
}

// store takes the sums of a row of dst, through the epilogue, to it.
func (j *narrow) store(w *engine.Worker, sums []float32, y, image int) {
	row := y * j.dst.W
	a := &w.Args.Activate
	*a = kernels.ActivateArgs{
		Rows: j.dst.W, Cols: j.w.Out, Act: j.ep.Act, Src: sums, SrcStride: j.w.Out,
		Dst: j.dst.Data[row*j.dst.Stride:], DstStride: j.dst.Stride,
	}
	if j.ep.Gate.Data != nil {
		a.Value, a.ValueStride = j.ep.Gate.Row(image), 0
	}
	if j.ep.Add.Data != nil {
		a.Add, a.AddStride = j.ep.Add.Data[row*j.ep.Add.Stride:], j.ep.Add.Stride
	}
	w.Set.Activate(a)
}
