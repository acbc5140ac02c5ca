package gemm

import "github.com/lanewise/lanewise/engine"

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
