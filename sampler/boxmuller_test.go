package sampler

import (
	"math/big"
	"math/rand/v2"
	"testing"
)

// fma rounds once, where rounding to float64 first would round a tie the wrong way.
func TestFMA(t *testing.T) {
	check := func(a, b, c float32) {
		exact := new(big.Float).SetPrec(400).Mul(big.NewFloat(float64(a)), big.NewFloat(float64(b)))
		want, _ := exact.Add(exact, big.NewFloat(float64(c))).Float32()
		if got := fma(a, b, c); got != want {
			t.Errorf("fma(%b, %b, %b) = %b, want %b", a, b, c, got, want)
		}
	}
	const above, below = 1 + 0x1p-20, 1 - 0x1p-20 // above·below is 2⁻⁴⁰ less than 1
	for _, c := range []float32{0x1p24, 0x1p24 + 2, 0x1p24 + 4} {
		for _, sign := range []float32{1, -1} {
			check(above, below, sign*c)
			check(-above, below, sign*c)
			check(above, above, sign*c)
			check(below, below, sign*c)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 10000 {
		check(r.Float32()-0.5, r.Float32()*8, r.Float32()-0.5)
	}
}
