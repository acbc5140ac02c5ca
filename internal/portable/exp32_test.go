package portable_test

import (
	"math"
	"testing"

	"github.com/lanewise/lanewise/internal/portable"
)

// Bits that PyTorch 1.13 gives: exponents of a time's frequencies, of which those in the middle are
// not the float32s nearest to the true values, and the ends of the range.
func TestExp32Bits(t *testing.T) {
	for _, test := range []struct {
		x    float32
		bits uint32
	}{
		{0, 0x3f800000},
		{-0.057564627379179, 0x3f71adf9},
		{-0.115129254758358, 0x3f642906},
		{-0.3453877568244934, 0x3f353bf0},
		{-1.036163330078125, 0x3eb5aa1a},
		{-2.4177143573760986, 0x3db68738},
		{-2.993360757827759, 0x3d4d4948},
		{-7.7712249755859375, 0x39dd1722},
		{-9.152775764465332, 0x38de2440},
		{-87.5, 0x006cb2bc},
		{-103.5, 1},
		{-104.5, 0},
		{float32(math.Inf(-1)), 0},
		{20.25, 0x4e1486bc},
		{88.5, 0x7f4cdcc4},
		{88.75, 0x7f800000},
		{float32(math.Inf(1)), 0x7f800000},
	} {
		if got := math.Float32bits(portable.Exp32(test.x)); got != test.bits {
			t.Errorf("Exp32(%v) = %#08x, want %#08x", test.x, got, test.bits)
		}
	}
	if nan := portable.Exp32(float32(math.NaN())); nan == nan {
		t.Errorf("Exp32(NaN) = %v", nan)
	}
}

func TestExp32Accuracy(t *testing.T) {
	for _, a := range arguments(20000, -30, 7, 0.5*math.Ln2, 1.5*math.Ln2) {
		x := float32(a)
		if math.Abs(a) > 87 {
			continue
		}
		truth := math.Exp(float64(x))
		ulp := math.Ldexp(1, math.Ilogb(truth)-23)
		if got := float64(portable.Exp32(x)); !(math.Abs(got-truth) <= ulp) {
			t.Errorf("Exp32(%v) = %v, off by %.3f ulp", x, got, (got-truth)/ulp)
		}
	}
}
