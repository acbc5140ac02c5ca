package portable_test

import (
	"math"
	"math/big"
)

// The references: power series in arithmetic of as many bits as the argument needs.

// precision is that of the series; reducing an argument as large as 2¹⁰²⁴ takes wide.
const (
	precision = 240
	wide      = 1400
)

var (
	pi  = bigPi()
	ln2 = bigLog(number(2), nil)
)

func number(x float64) *big.Float { return new(big.Float).SetPrec(wide).SetFloat64(x) }

// bigPi is Machin's 16·atan(1/5) - 4·atan(1/239).
func bigPi() *big.Float {
	atan := func(inverse int64) *big.Float {
		n := new(big.Float).SetPrec(wide).SetInt64(inverse)
		square := new(big.Float).Mul(n, n)
		power := new(big.Float).Quo(number(1), n)
		sum := number(0)
		for k := int64(0); power.MantExp(nil) > -wide; k++ {
			term := new(big.Float).Quo(power, number(float64(2*k+1)))
			if k%2 == 0 {
				sum.Add(sum, term)
			} else {
				sum.Sub(sum, term)
			}
			power.Quo(power, square)
		}
		return sum
	}
	a, b := atan(5), atan(239)
	return a.Sub(a.Mul(a, number(16)), b.Mul(b, number(4)))
}

// bigSin is sin x, and with quarter 1 cos x, by the series of x less the nearest whole turns.
func bigSin(x float64, quarter int) *big.Float {
	v := number(x)
	half := new(big.Float).Quo(pi, number(2))
	v.Add(v, new(big.Float).Mul(half, number(float64(quarter))))
	turns, _ := new(big.Float).Add(new(big.Float).Quo(v, new(big.Float).Mul(pi, number(2))), number(math.Copysign(0.5, x))).Int(nil)
	whole := new(big.Float).SetPrec(wide).SetInt(turns)
	v.Sub(v, whole.Mul(whole, new(big.Float).Mul(pi, number(2))))
	v.SetPrec(precision + 80)
	square := new(big.Float).Mul(v, v)
	term, sum := new(big.Float).Set(v), new(big.Float).Set(v)
	for k := 2; term.Sign() != 0 && term.MantExp(nil) > sum.MantExp(nil)-precision-80; k += 2 {
		term.Mul(term, square)
		term.Quo(term, number(-float64(k*(k+1))))
		sum.Add(sum, term)
	}
	return sum
}

// bigExp is eˣ by the series of x/2³², squared 32 times.
func bigExp(x float64) *big.Float {
	v := number(x)
	v.SetPrec(precision+80).SetMantExp(v, -32)
	term, sum := number(1).SetPrec(precision+80), number(1).SetPrec(precision+80)
	for k := 1; term.Sign() != 0 && term.MantExp(nil) > -precision-80; k++ {
		term.Mul(term, v)
		term.Quo(term, number(float64(k)))
		sum.Add(sum, term)
	}
	for range 32 {
		sum.Mul(sum, sum)
	}
	return sum
}

// bigLog is log x = k·log 2 + 2·atanh((m-1)/(m+1)), x = 2ᵏ·m; log 2 itself is that of m = 2.
func bigLog(x, log2 *big.Float) *big.Float {
	m, k := new(big.Float).SetPrec(wide).Set(x), 0
	if log2 != nil {
		k = x.MantExp(m)
		if m.Cmp(number(math.Sqrt2/2)) < 0 {
			m.Mul(m, number(2))
			k--
		}
	}
	m.SetPrec(precision + 80)
	s := new(big.Float).Quo(new(big.Float).Sub(m, number(1)), new(big.Float).Add(m, number(1)))
	s.SetPrec(precision + 80)
	square := new(big.Float).Mul(s, s)
	sum, power := new(big.Float).Set(s), new(big.Float).Set(s)
	for n := 3; power.Sign() != 0 && power.MantExp(nil) > sum.MantExp(nil)-precision-80; n += 2 {
		power.Mul(power, square)
		sum.Add(sum, new(big.Float).Quo(power, number(float64(n))))
	}
	sum.Mul(sum, number(2))
	if log2 != nil {
		sum.Add(sum, new(big.Float).Mul(log2, number(float64(k))))
	}
	return sum
}

// ulps is |got-want| in units of the last place of want's float64 (2⁻¹⁰⁷⁴ where that is subnormal).
func ulps(got float64, want *big.Float) float64 {
	w, _ := want.Float64()
	unit := math.Abs(w) - math.Nextafter(math.Abs(w), 0)
	if w == 0 {
		unit = math.SmallestNonzeroFloat64
	}
	d := new(big.Float).Sub(number(got), want)
	d.Quo(d.Abs(d), number(unit))
	v, _ := d.Float64()
	return v
}
