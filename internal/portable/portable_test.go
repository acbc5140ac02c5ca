package portable_test

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/lanewise/lanewise/internal/portable"
)

// arguments draws from every binade between 2^low and 2^high, both signs, and adds edges and
// their neighbors.
func arguments(n, low, high int, edges ...float64) []float64 {
	r := rand.New(rand.NewPCG(1, 2))
	var xs []float64
	for range n {
		xs = append(xs, math.Ldexp(1+r.Float64(), low+r.IntN(high-low))*float64(1-2*r.IntN(2)))
	}
	for _, x := range edges {
		xs = append(xs, x, -x, math.Nextafter(x, math.Inf(1)), math.Nextafter(x, math.Inf(-1)))
	}
	return xs
}

// multiples are the float64s nearest to multiples of π/4, where a reduction cancels most.
func multiples() []float64 {
	var xs []float64
	for k := 1; k < 400; k++ {
		x, _ := new(big.Float).Mul(pi, number(float64(k)/4)).Float64()
		xs = append(xs, x)
	}
	// 6381956970095103·2⁷⁹⁷ lies closest of all to a multiple of π/2 (Muller).
	return append(xs, math.Ldexp(6381956970095103, 797))
}

var functions = []struct {
	name  string
	f     func(float64) float64
	truth func(float64) *big.Float
	args  []float64
	bits  uint64 // FNV-1a of the results' bits, in order
}{
	{"Exp", portable.Exp, bigExp,
		arguments(4000, -60, 10, 1, 0.5*math.Ln2, 1.5*math.Ln2, 709.78, 708.39, 745.13, 1e-300, 0), 0x67287a0ccd8f3c1d},
	{"Log", portable.Log, func(x float64) *big.Float { return bigLog(number(x), ln2) },
		arguments(4000, -1074, 1023, 1, 2, math.Sqrt2, math.Sqrt2/2, math.MaxFloat64, math.SmallestNonzeroFloat64, 1-0x1p-24), 0xcdb2b1a8a1939c7d},
	{"Sin", portable.Sin, func(x float64) *big.Float { return bigSin(x, 0) },
		arguments(3000, -30, 1023, append(multiples(), 1e-300, math.MaxFloat64, 999, 1<<20)...), 0x76dd3a6204961068},
	{"Cos", portable.Cos, func(x float64) *big.Float { return bigSin(x, 1) },
		arguments(3000, -30, 1023, append(multiples(), 1e-300, math.MaxFloat64, 999, 1<<20)...), 0x3cf5b009d882566e},
}

func TestAccuracy(t *testing.T) {
	for _, fn := range functions {
		t.Run(fn.name, func(t *testing.T) {
			worst, at, n := 0.0, 0.0, 0
			for _, x := range fn.args {
				y := fn.f(x)
				if math.IsNaN(y) || math.IsInf(y, 0) || math.IsInf(x, 0) {
					continue // TestEdges
				}
				n++
				if d := ulps(y, fn.truth(x)); d > worst {
					worst, at = d, x
				}
			}
			if worst > 1 || n < len(fn.args)/3 {
				t.Errorf("%s(%v) is off by %.3f ulp, want at most 1 (of %d results)", fn.name, at, worst, n)
			}
			t.Logf("%d arguments, worst %.4f ulp at %v", n, worst, at)
		})
	}
}

// The same bits on every machine: these hashes were taken on amd64.
func TestBits(t *testing.T) {
	for _, fn := range functions {
		h := fnv.New64a()
		for _, x := range fn.args {
			binary.Write(h, binary.LittleEndian, math.Float64bits(fn.f(x)))
		}
		if h.Sum64() != fn.bits {
			t.Errorf("%s: results hash to %#x, want %#x", fn.name, h.Sum64(), fn.bits)
		}
	}
}

func TestEdges(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		name    string
		f       func(float64) float64
		x, want float64
	}{
		{"Exp", portable.Exp, inf, inf}, {"Exp", portable.Exp, -inf, 0}, {"Exp", portable.Exp, nan, nan},
		{"Exp", portable.Exp, 0, 1}, {"Exp", portable.Exp, 710, inf}, {"Exp", portable.Exp, -746, 0},
		{"Exp", portable.Exp, -745, math.SmallestNonzeroFloat64},
		{"Log", portable.Log, inf, inf}, {"Log", portable.Log, -1, nan}, {"Log", portable.Log, nan, nan},
		{"Log", portable.Log, 0, -inf}, {"Log", portable.Log, 1, 0}, {"Log", portable.Log, -inf, nan},
		{"Sin", portable.Sin, inf, nan}, {"Sin", portable.Sin, -inf, nan}, {"Sin", portable.Sin, nan, nan}, {"Sin", portable.Sin, 0, 0},
		{"Cos", portable.Cos, inf, nan}, {"Cos", portable.Cos, -inf, nan}, {"Cos", portable.Cos, nan, nan}, {"Cos", portable.Cos, 0, 1},
	} {
		if y := c.f(c.x); y != c.want && !(math.IsNaN(y) && math.IsNaN(c.want)) {
			t.Errorf("%s(%v) = %v, want %v", c.name, c.x, y, c.want)
		}
	}
}

func BenchmarkFunctions(b *testing.B) {
	for _, fn := range functions {
		b.Run(fn.name, func(b *testing.B) {
			x := 1.0
			for b.Loop() {
				fn.f(x)
				if x += 0.37; x > 700 {
					x = 1
				}
			}
		})
	}
}
