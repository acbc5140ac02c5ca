package arm64

import "math"

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

// over sets x = x/(1 + e^−ρu) for u ≥ l.low or NaN; u is clobbered, as are the temporaries from the
// second on.
func (l *logistic) over(a *activation, u vectors) {
	w, n, d, t := a.temp[1], a.temp[2], a.temp[3], a.temp[4]
	each(a.FMIN, a.hold(l.high, t), u, u)
	// w = magic − u·log2e, in whose low bits n + 127 is the integer.
	a.fill(biasedMagic, w)
	each(a.FMLS, a.hold(l.log2e, t), u, w)
	each(a.FSUB, a.hold(biasedMagic, t), w, n)
	// u = −r = n·ln2 + u
	each(a.FMLA, a.hold(l.ln2, t), n, u)
	a.hornerMinus(l.poly, u, d, t)
	// t = d·2ⁿ + 1
	for i := range w {
		a.VSHL(23, w[i], w[i])
	}
	a.fill(1, t)
	each(a.FMLA, w, d, t)
	each(a.FDIV, t, a.x, a.x)
}

// atLeast sets v = max(u, c); tmp is clobbered.
func (a *activation) atLeast(c float32, u, v, tmp vectors) { each(a.FMAX, a.hold(c, tmp), u, v) }

// times emits x·l(x).
func (l *logistic) times(a *activation) {
	u, t := a.temp[0], a.temp[1]
	a.atLeast(l.low, a.x, a.x, t)
	each2(a.VMOV, a.x, u)
	l.over(a, u)
}

func (a *activation) silu()      { logisticUnit.times(a) }
func (a *activation) quickGELU() { logisticQuick.times(a) }

func (a *activation) sigmoid() {
	u, t := a.temp[0], a.temp[1]
	a.atLeast(logisticUnit.low, a.x, u, t)
	a.fill(1, a.x)
	logisticUnit.over(a, u)
}

func (a *activation) geluTanh() {
	u, s, t := a.temp[0], a.temp[1], a.temp[2]
	a.atLeast(logisticUnit.low, a.x, a.x, t)
	each(a.FMUL, a.x, a.x, s)
	// u = x·(linear + x²·cubic)
	a.fill(geluTanhLinear, u)
	each(a.FMLA, a.hold(geluTanhCubic, t), s, u)
	each(a.FMUL, a.x, u, u)
	a.atLeast(logisticUnit.low, u, u, t)
	logisticUnit.over(a, u)
}
