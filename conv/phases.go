package conv

import (
	"sync"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/tensor"
)

// An image that is enlarged twofold by nearest pixels holds every pixel four times, so that of 3 × 3 taps no
// more than 2 × 2 differ in what they read. Which, depends on whether an output pixel's row and
// column are even or odd, its phase: each phase is a convolution of the small image by sums of taps,
// whose pixels are every second one of every second row of dst.

// phaseGeometry is where the taps of a phase, py·2 + px, lie in the small image: in rows y−1 and y
// for even rows of dst, y and y+1 for odd ones, and columns alike.
func phaseGeometry(phase int) Geometry {
	py, px := phase/2, phase%2
	return Geometry{KH: 2, KW: 2, Stride: 1, Top: 1 - py, Left: 1 - px, Bottom: py, Right: px}
}

// phaseTap says which of a phase's taps, in order of rows, reads the pixel that a tap of the 3 × 3 reads.
func phaseTap(phase, ky, kx int) int {
	py, px := phase/2, phase%2
	return (ky+1-py)/2*2 + (kx+1-px)/2
}

// sumPhases returns the weights of the phases.
func (p *Packed) sumPhases(e *engine.Engine) *[4]*gemm.Packed {
	var sums [4]*gemm.Packed
	for phase := range sums {
		taps := make([][]int, 4)
		for ky := range 3 {
			for kx := range 3 {
				at := phaseTap(phase, ky, kx)
				taps[at] = append(taps[at], ky*3+kx)
			}
		}
		sums[phase] = p.panels.Sums(e, taps)
	}
	return &sums
}

// phased computes Apply's sum by phases, on operands that Apply has checked.
func (w *Packed) phased(e *engine.Engine, dst, src tensor.NHWC, pro gemm.Prologue, ep gemm.Epilogue) {
	ep.Check(dst.Tokens())
	moments := ep.Moments
	ep.Moments = nil
	j := phaseJobs.Get().(*phaseJob)
	work := false
	for phase := range j.products {
		p := &j.products[phase]
		work = p.BeginPlaced(e, dst.Tokens(), w.phases[phase], ep, gemm.Placement{
			Rows: src.N * src.H * src.W, Run: src.W,
			First: phase/2*dst.W + phase%2, Jump: 2 * dst.W, Step: 2,
		})
		j.taps[phase] = taps{&j.in, phaseGeometry(phase)}
		p.Spare(&j.taps[phase])
	}
	if work {
		p := &j.products[0]
		j.in = newInput(src, pro, w.panels, Same(3), src.H, src.W, false)
		j.in.mr = p.MR()
		p.Run(e, j.in.scratch(p), j)
		if moments != nil {
			gatherMoments(e, dst, moments)
		}
	}
	*j = phaseJob{}
	phaseJobs.Put(j)
}

var phaseJobs = sync.Pool{New: func() any { return new(phaseJob) }}

// phaseJob is one call of phased: four products of the same size, and so with the same tasks.
type phaseJob struct {
	products [4]gemm.Product
	in       input // as the phases see it together
	taps     [4]taps
}

// Tile does one task of every phase, since they read the same pixels.
func (j *phaseJob) Tile(w *engine.Worker, task int) {
	var v view
	for phase := range j.products {
		p := &j.products[phase]
		b := p.Block(w, task)
		if phase == 0 {
			v = j.in.view(w, &b)
		}
		for i := range p.Chunks() {
			c := p.Chunk(i)
			j.taps[phase].point(&b, c, v)
			p.Multiply(w, &b, c)
		}
	}
}
