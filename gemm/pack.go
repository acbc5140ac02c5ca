package gemm

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// Packed is a weight matrix laid out for one Set: panels of NR output columns, the last one as wide
// as it has to be in whole vectors, each panel k × width values with k outermost and columns beyond
// the last zero. It is immutable and may be shared.
//
// Its memory holds float32, or a format of 16 bits where that represents every weight; engine.Storage
// says which, and results do not.
type Packed struct {
	In, Out int  // columns of a and of dst
	GLU     bool // a panel of values and a panel of gates alternate, and Out counts pairs

	taps   int // the chain of an output element is taps × In values long
	set    *kernels.Set
	data   []float32        // nil where half holds the panels
	half   []uint16         // nil where data does
	format kernels.HalfType // of half
	zeros  []float32        // In values: a row of padding, a mean of zero
}

// Pack lays out w, out × in as PyTorch stores the weight of a linear layer.
func Pack(e *engine.Engine, w tensor.Mat) *Packed { return pack(e, w, 1, false) }

// PackGLU lays out the weight of a gated linear unit: w is 2c × in, the c rows of the value and
// then the c rows of the gate. Mul computes value·act(gate), c columns.
func PackGLU(e *engine.Engine, w tensor.Mat) *Packed {
	if w.Rows%2 != 0 {
		panic(fmt.Sprintf("gemm: gated weights of %d rows", w.Rows))
	}
	return pack(e, w, 1, true)
}

// PackTaps lays out the weight of a convolution, out × (in·taps) with taps innermost, as PyTorch
// stores out × in × kh × kw. The chain of k runs over the taps outermost and channels within: what
// Product multiplies rows of several segments with.
func PackTaps(e *engine.Engine, w tensor.Mat, taps int) *Packed {
	if taps < 1 || w.Cols%taps != 0 {
		panic(fmt.Sprintf("gemm: weights of %d columns for %d taps", w.Cols, taps))
	}
	return pack(e, w, taps, false)
}

func pack(e *engine.Engine, w tensor.Mat, taps int, glu bool) *Packed {
	w.Check("gemm: weights")
	p := &Packed{In: w.Cols / taps, Out: w.Rows, GLU: glu, taps: taps, set: e.Set()}
	if glu {
		p.Out /= 2
	}
	size, compact := p.offset(p.units()), false
	if e.Storage() == engine.Compact {
		p.format, compact = halfType(e, w)
	}
	if compact {
		p.half = unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(tensor.Aligned((size+1)/2)))), size)
	} else {
		p.data = tensor.Aligned(size)
	}
	p.zeros = make([]float32, p.In)
	e.For(p.panels(), engine.Scratch{Floats: max(packBlock, taps) * p.set.GEMM.NR}, &packing{p, w})
	return p
}

// Equal says whether p and q are the same weights, laid out in the same way.
func (p *Packed) Equal(q *Packed) bool {
	return p.In == q.In && p.Out == q.Out && p.GLU == q.GLU && p.taps == q.taps && p.set == q.set && p.format == q.format &&
		slices.Equal(p.data, q.data) && slices.Equal(p.half, q.half)
}

// Zeros returns In zeros: a row of padding.
func (p *Packed) Zeros() []float32 { return p.zeros }

// Taps returns how many segments of In values the chain of an output element has.
func (p *Packed) Taps() int { return p.taps }

// Joined returns the same weights as of a chain of segments n times as long, each what n taps in
// turn were: for rows of A in which the channels of n taps lie side by side.
func (p *Packed) Joined(n int) *Packed {
	if n < 1 || p.taps%n != 0 {
		panic(fmt.Sprintf("gemm: %d taps joined by %d", p.taps, n))
	}
	q := *p
	q.In, q.taps = p.In*n, p.taps/n
	q.zeros = make([]float32, q.In)
	return &q
}

// halves is how many panels make a unit of output columns.
func (p *Packed) halves() int {
	if p.GLU {
		return 2
	}
	return 1
}

// units is how many groups of NR output columns there are.
func (p *Packed) units() int { return (p.Out + p.set.GEMM.NR - 1) / p.set.GEMM.NR }

func (p *Packed) panels() int { return p.units() * p.halves() }

// chain is how many values the chain of an output element has.
func (p *Packed) chain() int { return p.taps * p.In }

// columns is how many output columns a unit has, and width how wide its panels are.
func (p *Packed) columns(unit int) int { return min(p.set.GEMM.NR, p.Out-unit*p.set.GEMM.NR) }

func (p *Packed) width(unit int) int { return p.set.GEMM.Width(p.columns(unit)) }

// offset is where the panels of a unit begin.
func (p *Packed) offset(unit int) int {
	g := &p.set.GEMM
	return p.chain() * p.halves() * g.Width(min(unit*g.NR, p.Out))
}

// span returns where k values k0 up to k1 of a panel begin and end.
func (p *Packed) span(unit, half, k0, k1 int) (from, to int) {
	w := p.width(unit)
	panel := p.offset(unit) + half*p.chain()*w
	return panel + k0*w, panel + k1*w
}

// packing is the job of filling panels, one a tile.
type packing struct {
	p *Packed
	w tensor.Mat
}

// packBlock is how many k values of a panel are transposed at a time: with 64 columns, 64 KiB, which
// a second-level cache holds while the taps are sorted.
const packBlock = 256

// Tile fills panel i: by transposition in place, or where values are narrowed, or have to be sorted
// since they come out with the taps innermost, by way of scratch.
func (j *packing) Tile(w *engine.Worker, i int) {
	p := j.p
	unit, half := i/p.halves(), i%p.halves()
	first, columns, width, taps := half*p.Out+unit*p.set.GEMM.NR, p.columns(unit), p.width(unit), p.taps
	from, _ := p.span(unit, half, 0, p.chain())
	channels := max(1, packBlock/taps)
	for c0 := 0; c0 < p.In; c0 += channels {
		c1 := min(c0+channels, p.In)
		if taps == 1 && p.data != nil {
			j.transpose(w, p.data[from+c0*width:], width, first, columns, c0, c1)
			continue
		}
		rows := w.Floats()
		j.transpose(w, rows, width, first, columns, c0*taps, c1*taps)
		for k := range (c1 - c0) * taps {
			c, tap := c0+k/taps, k%taps
			p.store(from+(tap*p.In+c)*width, rows[k*width:][:width])
		}
	}
}

// transpose lays columns k0 up to k1 of rows from row on into the columns of dst, which is width
// wide.
func (j *packing) transpose(w *engine.Worker, dst []float32, width, row, rows, k0, k1 int) {
	a := &w.Args.ToLanes
	for lane := 0; lane < width; lane += w.Set.Queries {
		*a = kernels.ToLanesArgs{
			Rows: min(rows-lane, w.Set.Queries), Cols: k1 - k0, Lanes: min(width-lane, w.Set.Queries), Scale: 1,
			Src: j.w.Data[(row+lane)*j.w.Stride+k0:], SrcStride: j.w.Stride,
			Dst: dst[lane:], DstStride: width,
		}
		w.Set.ToLanes(a)
	}
	*a = kernels.ToLanesArgs{}
}
