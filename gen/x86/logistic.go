package x86

import (
	"math"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A logistic emits y/(1 + e^−ρx) as kernels/logistic.go states it, operation by operation.
type logistic struct {
	log2e, ln2 float32
	poly       []float32
	low, high  float32
}

// The constants of kernels/logistic.go.
var (
	logisticUnit  = logistic{log2e, ln2hi, expPoly, -89, 88}
	logisticQuick = logistic{float32(1.702 * math.Log2E), 0x1.a10754p-2, []float32{1, 0x1.b3b646p+0,
		0x1.72ca76p+0, 0x1.a4b83p-1, 0x1.660cdep-2, 0x1.e9b3fp-4, 0x1.13431ep-5}, -52.2, 51.5}
)

const (
	biasedMagic    = roundMagic + 127
	geluTanhLinear = float32(1.5957691216057308)
	geluTanhCubic  = float32(0.07135481282820226)
)

// constants are those to keep in registers, first those that no instruction takes from memory. The
// ones that a register is filled with, and then overwritten, are cheapest from memory.
func (l *logistic) constants() []float32 {
	return append([]float32{l.low, l.high, biasedMagic, l.ln2}, l.poly[:6]...)
}

// denominator sets d = 1 + e^−ρu for u ≥ l.low or NaN; v, which may be u, w and n are clobbered.
func (l *logistic) denominator(a *activation, u, v, w, n, d []reg.VecPhysical) {
	top := len(l.poly) - 1
	a.each(func(i int) { a.VMINPS(u[i], a.held(l.high, w[i]), v[i]) })
	a.fill(w, l.log2e)
	a.each(func(i int) { a.VFNMADD213PS(a.fixed(biasedMagic), v[i], w[i]) })
	a.each(func(i int) { a.VSUBPS(a.fixed(biasedMagic), w[i], n[i]) })
	a.each(func(i int) { a.VFNMSUB231PS(a.fixed(l.ln2), n[i], v[i]) })
	a.fill(d, l.poly[top])
	for k := top - 1; k >= 0; k-- {
		a.each(func(i int) { a.VFMADD213PS(a.fixed(l.poly[k]), v[i], d[i]) })
	}
	a.each(func(i int) { a.VPSLLD(U8(23), w[i], w[i]) })
	a.each(func(i int) { a.VFMADD213PS(a.fixed(1), w[i], d[i]) })
}

// times emits x·l(x).
func (l *logistic) times(a *activation) {
	v, w, n, d := a.temp[0], a.temp[1], a.temp[2], a.temp[3]
	a.each(func(i int) { a.VMAXPS(a.x[i], a.held(l.low, v[i]), a.x[i]) })
	l.denominator(a, a.x, v, w, n, d)
	a.each(func(i int) { a.VDIVPS(d[i], a.x[i], a.x[i]) })
}

func (a *activation) silu()      { logisticUnit.times(a) }
func (a *activation) quickGELU() { logisticQuick.times(a) }

func (a *activation) sigmoid() {
	w, n, d := a.temp[0], a.temp[1], a.temp[2]
	a.each(func(i int) { a.VMAXPS(a.x[i], a.held(logisticUnit.low, w[i]), a.x[i]) })
	logisticUnit.denominator(a, a.x, a.x, w, n, d)
	a.fill(a.x, 1)
	a.each(func(i int) { a.VDIVPS(d[i], a.x[i], a.x[i]) })
}

func (a *activation) geluTanh() {
	v, w, n, d := a.temp[0], a.temp[1], a.temp[2], a.temp[3]
	low := logisticUnit.low
	a.each(func(i int) { a.VMAXPS(a.x[i], a.held(low, v[i]), a.x[i]) })
	a.each(func(i int) { a.VMULPS(a.x[i], a.x[i], n[i]) })
	a.fill(v, geluTanhCubic)
	a.each(func(i int) { a.VFMADD213PS(a.fixed(geluTanhLinear), n[i], v[i]) })
	a.each(func(i int) { a.VMULPS(a.x[i], v[i], v[i]) })
	a.each(func(i int) { a.VMAXPS(v[i], a.held(low, w[i]), v[i]) })
	logisticUnit.denominator(a, v, v, w, n, d)
	a.each(func(i int) { a.VDIVPS(d[i], a.x[i], a.x[i]) })
}
