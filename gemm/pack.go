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
	p.data = make([]float32, p.panels()*p.panelLen())
	p.zeros = make([]float32, p.In)
	e.For(p.panels(), engine.Scratch{}, &packing{p, w})
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

// packBlock is how many input channels are transposed at a time: their rows of a panel, 128 bytes
// each for every tap, stay in the first-level cache while the panel's columns are written.
const packBlock = 16

// Tile fills panel i.
func (j *packing) Tile(_ *engine.Worker, i int) {
	p := j.p
	nr, taps := p.set.GEMM.NR, p.taps
	dst := p.panel(i)
	unit, half := i/p.halves(), i%p.halves()
	row := half*p.Out + unit*nr
	columns := min(nr, p.Out-unit*nr)
	for c0 := 0; c0 < p.In; c0 += packBlock {
		c1 := min(c0+packBlock, p.In)
		for r := range columns {
			src := j.w.Row(row + r)[c0*taps : c1*taps]
			if taps == 1 {
				for k, v := range src {
					dst[(c0+k)*nr+r] = v
				}
				continue
			}
			for c := c0; c < c1; c++ {
				for t, v := range src[(c-c0)*taps:][:taps] {
					dst[(t*p.In+c)*nr+r] = v
				}
			}
		}
	}
}
