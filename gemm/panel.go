package gemm

import (
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/tensor"
)

// Operators that multiply in an order of their own read panels by these methods. A unit is a panel of
// up to NR output columns; k counts along the chain, taps outermost.

// Units returns how many panels there are; of weights of PackGLU, pairs of them.
func (p *Packed) Units() int { return p.units() }

// Columns returns how many output columns a unit has.
func (p *Packed) Columns(unit int) int { return p.columns(unit) }

// Width returns how many values a row of a unit's panel has: Columns in whole vectors.
func (p *Packed) Width(unit int) int { return p.width(unit) }

// Half says whether the weights are kept in a format of 16 bits.
func (p *Packed) Half() bool { return p.half != nil }

// Panel returns rows k0 up to k1 of a unit's panel, Width values each: in place, or where they are of
// half width in scratch, which has room for them.
func (p *Packed) Panel(w *engine.Worker, scratch []float32, unit, k0, k1 int) []float32 {
	return p.operand(w, scratch, unit, 0, k0, k1)
}

// Memory returns where rows k0 up to k1 of a unit's panel lie, for a kernel that asks for it ahead and
// does not read it.
func (p *Packed) Memory(unit, k0, k1 int) []float32 { return p.memory(unit, 0, k0, k1) }

// Sums returns weights of len(taps) taps, each the sum of those taps of p that taps lists, added in
// float64 in this order and rounded once. They are kept as float32. p has no gates.
func (p *Packed) Sums(e *engine.Engine, taps [][]int) *Packed {
	if p.GLU || p.set != e.Set() {
		panic("gemm: sums of taps of gated weights, or of another Set's")
	}
	q := &Packed{In: p.In, Out: p.Out, taps: len(taps), set: p.set, zeros: p.zeros}
	q.data = tensor.Aligned(q.offset(q.units()))
	parts := (p.In + packBlock - 1) / packBlock
	e.For(p.units()*parts, engine.Scratch{Floats: p.taps * packBlock * p.set.GEMM.NR}, engine.Func(func(w *engine.Worker, task int) {
		unit, c0 := task/parts, task%parts*packBlock
		c1 := min(c0+packBlock, p.In)
		n := (c1 - c0) * p.width(unit)
		rows := make([][]float32, p.taps)
		for tap := range rows {
			rows[tap] = p.Panel(w, w.Floats()[tap*n:], unit, tap*p.In+c0, tap*p.In+c1)
		}
		for tap, list := range taps {
			from, to := q.span(unit, 0, tap*q.In+c0, tap*q.In+c1)
			for i := range q.data[from:to] {
				var sum float64
				for _, of := range list {
					sum += float64(rows[of][i])
				}
				q.data[from+i] = float32(sum)
			}
		}
	}))
	return q
}
