package x86

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/lanewise/lanewise/gen/approx"
)

// A logistic emits y/(1 + e^−ρx) as kernels/logistic.go states it, operation by operation.
type logistic struct{ approx.Logistic }

var logisticUnit, logisticQuick = logistic{approx.LogisticUnit}, logistic{approx.LogisticQuick}

// constants are those to keep in registers, first those that no instruction takes from memory. The
// ones that a register is filled with, and then overwritten, are cheapest from memory.
func (l *logistic) constants() []float32 {
	return append([]float32{l.Low, l.High, approx.BiasedMagic, l.Ln2}, l.Poly[:6]...)
}

// denominator sets d = 1 + e^−ρu for u ≥ l.Low or NaN; v, which may be u, and w are clobbered.
func (l *logistic) denominator(a *activation, u, v, w, d []reg.VecPhysical) {
	n := d // until the polynomial begins
	top := len(l.Poly) - 1
	a.each(func(i int) { a.VMINPS(u[i], a.held(l.High, w[i]), v[i]) })
	a.fill(w, l.Log2E)
	a.each(func(i int) { a.VFNMADD213PS(a.fixed(approx.BiasedMagic), v[i], w[i]) })
	a.each(func(i int) { a.VSUBPS(a.fixed(approx.BiasedMagic), w[i], n[i]) })
	a.each(func(i int) { a.VFNMSUB231PS(a.fixed(l.Ln2), n[i], v[i]) })
	a.fill(d, l.Poly[top])
	for k := top - 1; k >= 0; k-- {
		a.each(func(i int) { a.VFMADD213PS(a.fixed(l.Poly[k]), v[i], d[i]) })
	}
	a.each(func(i int) { a.VPSLLD(U8(23), w[i], w[i]) })
	a.each(func(i int) { a.VFMADD213PS(a.fixed(1), w[i], d[i]) })
}

// times emits x·l(x).
func (l *logistic) times(a *activation) {
	v, w, d := a.temp[0], a.temp[1], a.temp[2]
	a.each(func(i int) { a.VMAXPS(a.x[i], a.held(l.Low, v[i]), a.x[i]) })
	l.denominator(a, a.x, v, w, d)
	a.over(d)
}

func (a *activation) silu()      { logisticUnit.times(a) }
func (a *activation) quickGELU() { logisticQuick.times(a) }

func (a *activation) sigmoid() {
	w, d := a.temp[0], a.temp[1]
	a.each(func(i int) { a.VMAXPS(a.x[i], a.held(logisticUnit.Low, w[i]), a.x[i]) })
	logisticUnit.denominator(a, a.x, a.x, w, d)
	a.fill(a.x, 1)
	a.over(d)
}

func (a *activation) geluTanh() {
	v, w, d := a.temp[0], a.temp[1], a.temp[2]
	low := logisticUnit.Low
	a.each(func(i int) { a.VMAXPS(a.x[i], a.held(low, v[i]), a.x[i]) })
	a.each(func(i int) { a.VMULPS(a.x[i], a.x[i], d[i]) })
	a.fill(v, approx.GELUTanhCubic)
	a.each(func(i int) { a.VFMADD213PS(a.fixed(approx.GELUTanhLinear), d[i], v[i]) })
	a.each(func(i int) { a.VMULPS(a.x[i], v[i], v[i]) })
	a.each(func(i int) { a.VMAXPS(v[i], a.held(low, w[i]), v[i]) })
	logisticUnit.denominator(a, v, v, w, d)
	a.over(d)
}
