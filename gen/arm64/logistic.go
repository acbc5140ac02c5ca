package arm64

import "github.com/lanewise/lanewise/gen/approx"

// A logistic emits y/(1 + e^−ρx) as kernels/logistic.go states it, operation by operation.
type logistic struct{ approx.Logistic }

var logisticUnit, logisticQuick = logistic{approx.LogisticUnit}, logistic{approx.LogisticQuick}

// over sets x = x/(1 + e^−ρu) for u ≥ l.Low or NaN; u is clobbered, as are the temporaries from the
// second on.
func (l *logistic) over(a *activation, u vectors) {
	w, n, d, t := a.temp[1], a.temp[2], a.temp[3], a.temp[4]
	each(a.FMIN, a.hold(l.High, t), u, u)
	// w = magic − u·log2e, in whose low bits n + 127 is the integer.
	a.fill(approx.BiasedMagic, w)
	each(a.FMLS, a.hold(l.Log2E, t), u, w)
	each(a.FSUB, a.hold(approx.BiasedMagic, t), w, n)
	// u = −r = n·ln2 + u
	each(a.FMLA, a.hold(l.Ln2, t), n, u)
	a.hornerMinus(l.Poly, u, d, t)
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
	a.atLeast(l.Low, a.x, a.x, t)
	each2(a.VMOV, a.x, u)
	l.over(a, u)
}

func (a *activation) silu()      { logisticUnit.times(a) }
func (a *activation) quickGELU() { logisticQuick.times(a) }

func (a *activation) sigmoid() {
	u, t := a.temp[0], a.temp[1]
	a.atLeast(logisticUnit.Low, a.x, u, t)
	a.fill(1, a.x)
	logisticUnit.over(a, u)
}

func (a *activation) geluTanh() {
	u, s, t := a.temp[0], a.temp[1], a.temp[2]
	a.atLeast(logisticUnit.Low, a.x, a.x, t)
	each(a.FMUL, a.x, a.x, s)
	// u = x·(linear + x²·cubic)
	a.fill(approx.GELUTanhLinear, u)
	each(a.FMLA, a.hold(approx.GELUTanhCubic, t), s, u)
	each(a.FMUL, a.x, u, u)
	a.atLeast(logisticUnit.Low, u, u, t)
	logisticUnit.over(a, u)
}
