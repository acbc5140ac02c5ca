package gemm

import (
	"fmt"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// Packed is a weight matrix laid out for one Set: panels of NR output columns, each panel k × NR
// values with k outermost, columns beyond the last zero. It is immutable and may be shared.
type Packed struct {
	In, Out int  // columns of a and of dst
	GLU     bool // a panel of values and a panel of gates alternate, and Out counts pairs

	taps  int // the chain of an output element is taps × In values long
	set   *kernels.Set
	data  []float32
	zeros []float32 // In values: a row of padding, a mean of zero
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
	p.data = tensor.Aligned(p.panels() * p.panelLen())
	p.zeros = make([]float32, p.In)
	e.For(p.panels(), engine.Scratch{Floats: max(packBlock, taps) * p.set.GEMM.NR}, &packing{p, w})
	return p
}

// Zeros returns In zeros: a row of padding.
func (p *Packed) Zeros() []float32 { return p.zeros }

// Taps returns how many segments of In values the chain of an output element has.
func (p *Packed) Taps() int { return p.taps }

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

func (p *Packed) panelLen() int { return p.taps * p.In * p.set.GEMM.NR }

func (p *Packed) panel(i int) []float32 {
	n := p.panelLen()
	return p.data[i*n : (i+1)*n : (i+1)*n]
}

// packing is the job of filling panels, one a tile.
type packing struct {
	p *Packed
	w tensor.Mat
}

// packBlock is how many k values of a panel are transposed at a time: with 32 columns, 64 KiB, which
// a second-level cache holds while the taps are sorted.
const packBlock = 512

// Tile fills panel i: by transposition, and for several taps, whose rows of NR values come out
// with the taps innermost, by sorting these.
func (j *packing) Tile(w *engine.Worker, i int) {
	p := j.p
	nr, taps := p.set.GEMM.NR, p.taps
	dst := p.panel(i)
	unit, half := i/p.halves(), i%p.halves()
	row := half*p.Out + unit*nr
	a := &w.Args.ToLanes
	*a = kernels.ToLanesArgs{Rows: min(nr, p.Out-unit*nr), SrcStride: j.w.Stride, Scale: 1}
	channels := max(1, packBlock/taps)
	for c0 := 0; c0 < p.In; c0 += channels {
		c1 := min(c0+channels, p.In)
		a.Src, a.Cols = j.w.Data[row*j.w.Stride+c0*taps:], (c1-c0)*taps
		if taps == 1 {
			a.Dst = dst[c0*nr:]
			w.Set.ToLanes(a)
			continue
		}
		a.Dst = w.Floats()
		w.Set.ToLanes(a)
		for k := range a.Cols {
			c, tap := c0+k/taps, k%taps
			copy(dst[(tap*p.In+c)*nr:][:nr], a.Dst[k*nr:])
		}
	}
	*a = kernels.ToLanesArgs{}
}
