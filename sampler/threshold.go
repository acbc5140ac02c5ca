package sampler

import (
	"fmt"
	"math"
	"slices"

	"github.com/lanewise/lanewise/tensor"
)

// A Threshold is dynamic thresholding of samples within ±1 (Saharia et al., 2022, "Photorealistic
// text-to-image diffusion models with deep language understanding", section 2.3): with s the
// quantile of an image's magnitudes, at least 1 and at most Max,
//
//	x0 = clip(x0, -s, s)/s
//
// It keeps strong guidance from driving many values to the bounds. It is for models of pixels, not
// of latents.
type Threshold struct {
	Quantile float64 // 0 is no thresholding; the paper has 0.995
	Max      float64 // 0 is 1, with which it clips to ±1
}

// validate returns an error for numbers that cannot be.
func (t Threshold) validate() error {
	if !(t.Quantile >= 0 && t.Quantile <= 1) || !(t.Max >= 0) {
		return fmt.Errorf("sampler: a threshold at quantile %g, at most %g", t.Quantile, t.Max)
	}
	return nil
}

// bound applies it to each image by itself. magnitudes has room for one.
func (t Threshold) bound(x0 tensor.NHWC, magnitudes []float32) {
	highest := t.Max
	if highest == 0 {
		highest = 1
	}
	for n := range x0.N {
		m := x0.Images(n, n+1).Tokens()
		values := magnitudes[:0]
		for r := range m.Rows {
			for _, v := range m.Row(r) {
				values = append(values, float32(math.Abs(float64(v))))
			}
		}
		s := min(max(quantile(values, t.Quantile), 1), highest)
		for r := range m.Rows {
			row := m.Row(r)
			for c, v := range row {
				row[c] = float32(min(max(float64(v), -s), s) / s)
			}
		}
	}
}

// quantile returns the value below which the share q of all lies, interpolated linearly as
// torch.quantile does. It sorts the values.
func quantile(values []float32, q float64) float64 {
	slices.Sort(values)
	rank := float64(q * float64(len(values)-1))
	i := min(int(rank), len(values)-1)
	low, high := float64(values[i]), float64(values[min(i+1, len(values)-1)])
	return low + float64((high-low)*(rank-float64(i)))
}
