package kernels

import "math"

// ActivateArgs asks for an activation, optionally multiplied into values (a gated linear unit)
// and with a residual: for r < Rows and c < Cols,
//
//	y := act(Src[r*SrcStride+c])
//	if Value != nil { y = Value[r*ValueStride+c] * y }
//	if Add != nil   { y = Add[r*AddStride+c] + y }
//	Dst[r*DstStride+c] = y
//
// Dst may be Src, Value or Add. Errors against the exact function are stated beside each
// function's generic form; infinities have their limits and NaN stays NaN.
type ActivateArgs struct {
	Rows, Cols  int // Cols at least 1
	Act         Act
	Src         []float32
	SrcStride   int
	Value       []float32
	ValueStride int
	Add         []float32
	AddStride   int
	Dst         []float32
	DstStride   int
}

// The functions below are the exact order of operations that all makers keep (each a float32
// operation, rounded to nearest even). None of them overflows or meets an infinity with a zero.
//
// Those that are x times the logistic function of a u that grows with x are x/(1 + e^−u) with x cut
// below at −89, where e^−u is +Inf. So results that are smaller than 4e−37 become −0.
//
// The others that tend to x on one side and to 0 on the other are max(x, 0) − |x|·tail(|x|), in
// which nothing cancels and the tail has its own relative accuracy. There |x| is cut at 104, beyond
// which the tail is 0.

const (
	logisticCut = -expMax
	tailCut     = -expMin
)

// actFuncs are the functions by their names.
var actFuncs = [acts]func(float32) float32{
	Identity:  func(x float32) float32 { return x },
	ReLU:      relu,
	SiLU:      silu,
	QuickGELU: quickGELU,
	GELU:      gelu,
	GELUTanh:  geluTanh,
	Sigmoid:   sigmoid,
	Tanh:      tanh,
	Mish:      mish,
	Exp:       exp,
}

// activateGeneric is the contract of ActivateArgs in Go.
func activateGeneric(t *ActivateArgs) {
	act := actFuncs[t.Act]
	for r := range t.Rows {
		dst := t.Dst[r*t.DstStride:][:t.Cols]
		var value, add []float32
		if t.Value != nil {
			value = t.Value[r*t.ValueStride:][:t.Cols]
		}
		if t.Add != nil {
			add = t.Add[r*t.AddStride:][:t.Cols]
		}
		for c, x := range t.Src[r*t.SrcStride:][:t.Cols] {
			y := act(x)
			if value != nil {
				y = float32(value[c] * y)
			}
			if add != nil {
				y = add[c] + y
			}
			dst[c] = y
		}
	}
}

// relu is exact; it keeps NaN and −0.
func relu(x float32) float32 {
	if x < 0 {
		return 0
	}
	return x
}

// magnitude returns min(|x|, tailCut).
func magnitude(x float32) float32 {
	a := math.Float32frombits(math.Float32bits(x) &^ (1 << 31))
	if a > tailCut {
		return tailCut
	}
	return a
}

// sigmoid is within 2.6 ulp; below 2⁻¹²⁸ it is 0.
func sigmoid(x float32) float32 { return logistic(1, x) }

// logistic returns x·σ(u).
func logistic(x, u float32) float32 { return x / (1 + exp(-u)) }

// cut returns max(x, logisticCut).
func cut(x float32) float32 {
	if x < logisticCut {
		return logisticCut
	}
	return x
}

// silu is within 2.6 ulp.
func silu(x float32) float32 {
	x = cut(x)
	return logistic(x, x)
}

const quickScale = float32(1.702)

// quickGELU is within 2.6 ulp for positive x, and for negative within 2.6 + 1.22·|u| ulp with u = 1.702·x,
// since e^−u is as sensitive as that to the last place of u.
func quickGELU(x float32) float32 {
	x = cut(x)
	return logistic(x, float32(x*quickScale))
}

// 2√(2/π) and 0.044715 times that.
const (
	geluTanhLinear = float32(1.5957691216057308)
	geluTanhCubic  = float32(0.07135481282820226)
)

// geluTanh is within 2.6 ulp for positive x, and for negative within 2.6 + 3.5·|u| ulp with
// u = 2√(2/π)(x + 0.044715x³).
func geluTanh(x float32) float32 {
	x = cut(x)
	return logistic(x, float32(x*fma(float32(x*x), geluTanhCubic, geluTanhLinear)))
}

// millsNum and millsDen are the coefficients, rising, of a rational function that is within 2⁻²⁶
// of e^(a²/2)·Φ(−a), Mills' ratio over √(2π), relatively, for 0 ≤ a ≤ 14.5 (beyond, Φ underflows). It
// is minimax but for the rounding of its coefficients, one after the other. All are positive, so
// that nothing cancels.
var (
	millsNum = [5]float32{0.5, 0x1.c019c0p-2, 0x1.7627e6p-3, 0x1.4b4ed2p-5, 0x1.0bc314p-8}
	millsDen = [6]float32{1, 0x1.ac4f0ep+0, 0x1.334768p+0, 0x1.df440cp-2, 0x1.9f4286p-4, 0x1.4f95fep-7}
)

// gelu is max(x, 0) − a·Φ(−a) with a = |x| and Φ(−a) = e^(−a²/2)·num(a)/den(a); within 7.5 ulp.
func gelu(x float32) float32 {
	a := magnitude(x)
	s := float32(a * a)
	low := fma(a, a, -s) // a² = s + low, exactly
	e := exp(float32(-0.5 * s))
	e = fma(float32(-0.5*low), e, e)
	num, den := millsNum[4], millsDen[5]
	for k := 3; k >= 0; k-- {
		num = fma(num, a, millsNum[k])
	}
	for k := 4; k >= 0; k-- {
		den = fma(den, a, millsDen[k])
	}
	return relu(x) - float32(float32(a*e)*num)/den
}

// tanhOdd are the coefficients of P in tanh(a) = a + a³·P(a²), within 2⁻²⁷ for a < tanhSmall.
var tanhOdd = [5]float32{-0x1.555532p-2, 0x1.1106fep-3, -0x1.b83792p-5, 0x1.520a3ap-6, -0x1.756d14p-8}

const tanhSmall = 0.625

// tanh is 1 − 2z/(1 + z) with z = e^−2|x|, and near 0, where that cancels, a polynomial; within
// 1.5 ulp.
func tanh(x float32) float32 {
	a := magnitude(x)
	s := float32(a * a)
	p := tanhOdd[4]
	for k := 3; k >= 0; k-- {
		p = fma(p, s, tanhOdd[k])
	}
	y := fma(float32(a*s), p, a)
	if !(a < tanhSmall) {
		z := exp(-2 * a)
		y = 1 - 2*z/(1+z)
	}
	return math.Float32frombits(math.Float32bits(y) | math.Float32bits(x)&(1<<31))
}

// mish is x·n/(n + 2) with n = eˣ(eˣ + 2), divided by e²ˣ where x is positive; within 4.5 ulp,
// but where eˣ is subnormal.
func mish(x float32) float32 {
	a := magnitude(x)
	z := exp(-a)
	w := 2 * z
	h, g := w, 1+w
	if x < 0 {
		h, g = z+2, 2
	}
	n := float32(z * h)
	return relu(x) - float32(a*n)/(n+g)
}
