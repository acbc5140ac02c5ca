package arm64

// The constants of the logistic functions in kernels/act.go.
const (
	logisticCut    = -expMax
	quickScale     = float32(1.702)
	geluTanhLinear = float32(1.5957691216057308)
	geluTanhCubic  = float32(0.07135481282820226)
)

// cut sets x = max(x, logisticCut).
func (a *activation) cut(tmp vectors) { each(a.FMAX, a.hold(logisticCut, tmp), a.x, a.x) }

// over sets x = x/(1 + e^v).
func (a *activation) over(v vectors) {
	n, z, t := a.temp[1], a.temp[2], a.temp[3]
	a.exp(v, n, z, t)
	each(a.FADD, a.hold(1, t), z, z)
	each(a.FDIV, z, a.x, a.x)
}

func (a *activation) silu() {
	v := a.temp[0]
	a.cut(v)
	each2(a.FNEG, a.x, v)
	a.over(v)
}

func (a *activation) sigmoid() {
	v := a.temp[0]
	each2(a.FNEG, a.x, v)
	a.fill(1, a.x)
	a.over(v)
}

func (a *activation) quickGELU() {
	v, t := a.temp[0], a.temp[1]
	a.cut(v)
	each(a.FMUL, a.hold(-quickScale, t), a.x, v)
	a.over(v)
}

func (a *activation) geluTanh() {
	v, s, t := a.temp[0], a.temp[1], a.temp[2]
	a.cut(v)
	each(a.FMUL, a.x, a.x, s)
	a.fill(-geluTanhLinear, v)
	each(a.FMLA, a.hold(-geluTanhCubic, t), s, v)
	each(a.FMUL, a.x, v, v)
	a.over(v)
}
