package conv

import (
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/winograd"
	"github.com/lanewise/lanewise/tensor"
)

// transformed holds the weights of a Winograd algorithm at its points: for every phase, unit and point
// a matrix of channels × columns, laid out as gemm.Packed's panels are.
type transformed struct {
	w      *Packed
	kind   winograd.Kind
	phases int
	data   []float32
}

// transform computes them, in float64 and rounded once.
func (p *Packed) transform(e *engine.Engine, a Algorithm) *transformed {
	kind, _ := a.fast()
	t := &transformed{w: p, kind: kind, phases: 1}
	if a.phased() {
		t.phases = 4
	}
	t.data = tensor.Aligned(t.phases * t.size())
	const rows = 32 // of a panel, in a task
	parts := (p.In + rows - 1) / rows
	panel := p.KH * p.KW * rows * e.Set().GEMM.NR
	e.For(p.panels.Units()*parts, engine.Scratch{Floats: panel}, engine.Func(func(w *engine.Worker, task int) {
		unit, part := task/parts, task%parts
		t.fill(w, unit, part*rows, min((part+1)*rows, p.In))
	}))
	return t
}

// size is how many values a phase has.
func (t *transformed) size() int {
	n := t.kind.Transform().Points
	return n * n * t.w.In * t.columns(t.w.panels.Units())
}

// columns is how many columns the units before one have, in whole vectors.
func (t *transformed) columns(unit int) int {
	if unit == 0 {
		return 0
	}
	return (unit-1)*t.w.panels.Width(0) + t.w.panels.Width(unit-1)
}

// panel returns rows k0 up to k1 of the matrix of a phase, unit and point.
func (t *transformed) panel(phase, unit, point, k0, k1 int) []float32 {
	n, width, in := t.kind.Transform().Points, t.w.panels.Width(unit), t.w.In
	from := phase*t.size() + n*n*in*t.columns(unit) + point*in*width
	return t.data[from+k0*width : from+k1*width]
}

// fill transforms channels k0 up to k1 of a unit.
func (t *transformed) fill(w *engine.Worker, unit, k0, k1 int) {
	x := t.kind.Transform()
	width, panels, scratch := t.w.panels.Width(unit), t.w.panels, w.Floats()
	var rows [9][]float32 // of the taps
	for tap := range rows {
		rows[tap] = panels.Panel(w, scratch[tap*(k1-k0)*width:], unit, tap*t.w.In+k0, tap*t.w.In+k1)
	}
	var points [64][]float32
	for phase := range t.phases {
		for a := range x.Points * x.Points {
			points[a] = t.panel(phase, unit, a, k0, k1)
		}
		for i := range (k1 - k0) * width {
			var taps [9]float64
			for tap := range taps {
				taps[tap] = float64(rows[tap][i])
			}
			if t.phases > 1 {
				taps = phaseTaps(&taps, phase)
			}
			var u [64]float64
			x.Weights(u[:], taps[:x.Taps*x.Taps])
			for a, v := range u[:x.Points*x.Points] {
				points[a][i] = float32(v)
			}
		}
	}
}

// phaseTaps sums 3 × 3 taps to the 2 × 2 of a phase.
func phaseTaps(g *[9]float64, phase int) (sums [9]float64) {
	for ky := range 3 {
		for kx := range 3 {
			sums[phaseTap(phase, ky, kx)] += g[ky*3+kx]
		}
	}
	return sums
}
