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
// Those that are x times the logistic function of a u that grows with x are x/(1 + e^−u) with u cut
// below where e^−u is +Inf. So results that are smaller than 4e−37 become −0.
//
// The others that tend to x on one side and to 0 on the other are max(x, 0) − |x|·tail(|x|), in
// which nothing cancels and the tail has its own relative accuracy. There |x| is cut where the tail
// is 0.

const tailCut = -expMin

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

// millsNum and millsDen are the coefficients, rising, of Mills' ratio over √(2π), which is
// e^(m²/2)·Φ(−m), times e^(δm²): 2ln2 is bellStep·(1 + 2δ) in 17 bits, so that n·bellStep is exact for
// |n| ≤ 127, and 2ⁿ·e^(−r/2 − δr) = e^(−m²/2 − δm²) for m² = r − n·bellStep. The rational function is
// minimax in relative error for m·Φ(−m) ≥ 2⁻¹⁷, within 2⁻²⁴·⁶, and in absolute error below, where
// its relative error grows to 2⁻¹³. All coefficients are positive, so that nothing cancels.
//
// bellPoly is minimax for e^(−r/2 − δr) with |r| ≤ ln 2 and its first coefficient held at 1, within
// 2⁻²³·³. All were rounded to float32 one after the other.
var (
	millsNum = [4]float32{0.5, 0x1.51aadep-2, 0x1.a0a9e4p-4, 0x1.aa5e54p-7}
	millsDen = [5]float32{1, 0x1.75178p+0, 0x1.bb8b04p-1, 0x1.04854p-2, 0x1.0b4fep-5}
	bellPoly = [6]float32{1, -0x1.00001ep-1, 0x1.fffe52p-4, -0x1.555ac4p-6, 0x1.573a7cp-9, -0x1.0fb6dep-12}
)

const (
	bellStep = float32(0x1.62e4p0)
	bellCut  = 13.27 // where n is −127, which makes the tail 0
)

// gelu is max(x, 0) − m·Φ(−m) with m = |x| and Φ(−m) = 2ⁿ·bell(r)·num(m)/den(m). It is within 6.5 ulp
// of results down to −2⁻¹⁷, and from there within 2⁻³⁸ and 2⁻¹² of the truth; below 4e−39 it is 0.
func gelu(x float32) float32 {
	m := atMost(math.Float32frombits(math.Float32bits(x)&^(1<<31)), bellCut)
	w := fma(float32(m*(-0.5*log2e)), m, magic+bias)
	n := w - (magic + bias)
	r := fma(m, m, float32(n*bellStep))
	num, den, p := millsNum[3], millsDen[4], bellPoly[5]
	for k := 2; k >= 0; k-- {
		num = fma(num, m, millsNum[k])
	}
	for k := 3; k >= 0; k-- {
		den = fma(den, m, millsDen[k])
	}
	for k := 4; k >= 0; k-- {
		p = fma(p, r, bellPoly[k])
	}
	return fma(-float32(m*num)/den, float32(p*biased2(w)), relu(x))
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

// mish is x·n/(n + 2) with n = eˣ(eˣ + 2), divided by e²ˣ where x is positive; within 4.7 ulp,
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
