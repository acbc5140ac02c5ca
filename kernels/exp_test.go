package kernels

import (
	"math"
	"testing"
)

// The bounds that exp.go states, over floats of both signs from 2⁻²⁵ (below it all are within half
// a unit of 1) to beyond where results under- and overflow. All 560 million of them take a minute;
// the step takes every thousandth, in another residue class for each exponent.
func TestExpWithinBound(t *testing.T) {
	const first, last, step = 0x33000000, 0x43200000, 1013
	for _, f := range []struct {
		name  string
		got   func(float32) float32
		want  func(float64) float64
		bound float64
	}{
		{"exp2", exp2, math.Exp2, 0.88},
		{"exp", exp, math.Exp, 0.90},
	} {
		worst, at := 0.0, float32(0)
		for sign := range uint32(2) {
			for b := uint32(first); b < last; b += step {
				x := math.Float32frombits(b | sign<<31)
				if u := units(f.got(x), f.want(float64(x))); !(u <= worst) {
					worst, at = u, x
				}
			}
		}
		if !(worst <= f.bound) {
			t.Errorf("%s(%g) = %g, off by %.3f units of the last place; the bound is %.2f", f.name, at, f.got(at), worst, f.bound)
		}
		t.Logf("%s: at most %.3f units of the last place, at %g", f.name, worst, at)
	}
}

// units is the distance of got from want in units of want's last float32 place.
func units(got float32, want float64) float64 {
	if got == float32(want) && math.IsInf(float64(got), 0) {
		return 0
	}
	_, exponent := math.Frexp(want)
	return math.Abs(float64(got)-want) / math.Ldexp(1, max(exponent-24, -149))
}

func TestExpAtTheEdges(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	tiny := float32(math.SmallestNonzeroFloat32)
	for _, c := range []struct {
		name    string
		f       func(float32) float32
		x, want float32
	}{
		{"exp2", exp2, 0, 1},
		{"exp2", exp2, float32(math.Copysign(0, -1)), 1},
		{"exp2", exp2, tiny, 1},
		{"exp2", exp2, 127, 0x1p127},
		{"exp2", exp2, 128, inf},
		{"exp2", exp2, 129.5, inf},
		{"exp2", exp2, inf, inf},
		{"exp2", exp2, -126, 0x1p-126},
		{"exp2", exp2, -149, tiny},
		{"exp2", exp2, -150, 0},
		{"exp2", exp2, -1e30, 0},
		{"exp2", exp2, -inf, 0},
		{"exp2", exp2, nan, nan},
		{"exp", exp, 0, 1},
		{"exp", exp, -tiny, 1},
		{"exp", exp, 88.8, inf},
		{"exp", exp, 1e30, inf},
		{"exp", exp, inf, inf},
		{"exp", exp, -103.97, tiny},
		{"exp", exp, -104, 0},
		{"exp", exp, -1e30, 0},
		{"exp", exp, -inf, 0},
		{"exp", exp, nan, nan},
	} {
		if got := c.f(c.x); got != c.want && (got == got || c.want == c.want) {
			t.Errorf("%s(%g) = %g, want %g", c.name, c.x, got, c.want)
		}
	}
}
