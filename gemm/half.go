package gemm

import (
	"sync/atomic"
	"unsafe"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// Weights whose every value is one of a format of 16 bits are kept in that format, in panels of the
// same layout. What a block multiplies with is widened right before, into the worker's scratch,
// and every product is what it would be from float32 storage. Memory halves, and so does the time
// that products of few rows wait for it.
//
// Widening to scratch in the second-level cache takes as long as the multiply-adds of about seven
// rows, in the first-level cache of about two. So blocks of rows are twice as high as for float32,
// which makes that 2.5 % of their time (plan), and up to fewRows rows meet pieces of halfPiece
// values, 16 KiB once wide (runs).
const (
	fewRows   = 80
	halfPiece = 4 << 10
)

// store writes values, a part of the panels from index at on.
func (p *Packed) store(at int, values []float32) {
	if p.data != nil {
		copy(p.data[at:], values)
		return
	}
	p.format.Narrow(p.half[at:][:len(values)], values)
}

// Bytes returns how much memory the weights take.
func (p *Packed) Bytes() int { return 4*len(p.data) + 2*len(p.half) }

// operand returns k values k0 up to k1 of a panel as the kernel wants them: in place, or widened into
// scratch.
func (p *Packed) operand(w *engine.Worker, scratch []float32, unit, half, k0, k1 int) []float32 {
	from, to := p.span(unit, half, k0, k1)
	if p.half == nil {
		return p.data[from:to:to]
	}
	a := &w.Args.Widen
	*a = kernels.WidenArgs{Src: p.half[from:to], Type: p.format, Dst: scratch[:to-from]}
	p.set.GEMM.Widen(a)
	*a = kernels.WidenArgs{}
	return scratch[:to-from]
}

// memory returns where k values k0 up to k1 of a panel lie, for a kernel that asks for it ahead
// and does not read it.
func (p *Packed) memory(unit, half, k0, k1 int) []float32 {
	from, to := p.span(unit, half, k0, k1)
	switch {
	case p.half == nil:
		return p.data[from:to]
	case to-from < 2:
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&p.half[from])), (to-from)/2)
}

// halfType returns the half-width format that represents every value of w exactly, if there is one.
func halfType(e *engine.Engine, w tensor.Mat) (t kernels.HalfType, ok bool) {
	s := survey{w: w}
	e.For(w.Rows, engine.Scratch{}, &s)
	for t := range s.not {
		if !s.not[t].Load() {
			return kernels.HalfType(t), true
		}
	}
	return 0, false
}

// survey is the job of finding the formats that rows are not of, one row a tile.
type survey struct {
	w   tensor.Mat
	not [2]atomic.Bool // by HalfType
}

// Tile looks at row r.
func (s *survey) Tile(_ *engine.Worker, r int) {
	for t := range s.not {
		if not := &s.not[t]; !not.Load() && !kernels.HalfType(t).Holds(s.w.Row(r)) {
			not.Store(true)
		}
	}
}

// wideLen is how much scratch the piece of a panel needs that is widened at a time.
func (p *Product) wideLen() int {
	if p.w.half == nil {
		return 0
	}
	most := p.chunks.longest() * p.chunks.tapsPerPiece * p.w.set.GEMM.NR
	if p.BlockRows() <= fewRows {
		most = min(most, 2*halfPiece) // cutChain's pieces may be that much longer than asked for
	}
	return most
}
