package golden_test

import "github.com/lanewise/lanewise/conv"

// convolves lists the classes with convolutions of 3 × 3 taps and stride 1, for which there are several
// algorithms. Their cases run as sessions choose, and then with each algorithm wherever it fits.
var convolves = map[string]bool{
	"AutoencoderKL":         true,
	"AutoencoderTiny":       true,
	"ControlNetModel":       true,
	"ResnetBlock2D":         true,
	"ResnetBlockCondNorm2D": true,
	"T2IAdapter":            true,
	"UNet2DConditionModel":  true,
	"UNet2DModel":           true,
	"Upsample2D":            true,
}

// forced lists the algorithms, and how many times as large differences may be as a case says, whose
// tolerance is for sums in the order of Direct.
//
// In layers of 4 to 64 channels, which cases have, rounding errors are, as multiples of those of Direct,
// 0.6 to 1.1 with Winograd2, 1.8 to 3.3 with Winograd4, of 4 × 4 phases too, and 8 to 15 with Winograd6;
// conv.Accuracy tells of more channels. With Direct the largest difference of all cases is 0.29 of what
// is allowed: 3.3 times as large is within tolerance still, and 15 times as large within 5 times that.
var forced = []struct {
	by    conv.Algorithm
	slack float64
}{
	{conv.Direct, 1},
	{conv.Winograd2, 1},
	{conv.Winograd4, 1},
	{conv.Winograd6, 5},
	{conv.Phases, 1},
	{conv.PhasesWinograd, 1},
}
