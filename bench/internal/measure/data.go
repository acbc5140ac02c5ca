package measure

import (
	"math"

	"github.com/lanewise/lanewise/tensor"
)

// Random makes n values between −1 and 1, always the same for a seed.
func Random(seed uint32, n int) []float32 {
	s, x := tensor.Aligned(n), 2463534242^seed*2654435761
	for i := range s {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		s[i] = float32(int32(x)) / (1 << 31)
	}
	return s
}

// Distance is the largest difference of two results beside the largest value of want.
func Distance(got, want []float32) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	var most, largest float64
	for i, w := range want {
		d := math.Abs(float64(got[i]) - float64(w))
		if math.IsNaN(d) {
			return d
		}
		most, largest = max(most, d), max(largest, math.Abs(float64(w)))
	}
	if most == 0 {
		return 0
	}
	return most / largest
}
