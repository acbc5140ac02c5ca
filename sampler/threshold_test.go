package sampler_test

import (
	"context"
	"math"
	"sort"
	"testing"

	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

// Dynamic thresholding of two images at once, against quantiles counted out by themselves.
func TestThreshold(t *testing.T) {
	for _, threshold := range []sampler.Threshold{
		{Quantile: 0.995}, {Quantile: 0.995, Max: 4}, {Quantile: 0.5, Max: 4}, {Quantile: 0.9, Max: 1.5}, {Quantile: 1, Max: 100},
		{Quantile: 0.8, Max: 0.5}, // below 1: clipped there, and scaled up
		{Quantile: 1e-9, Max: 4},
	} {
		said := tensor.Make(2, 3, 5, 2)
		sampler.Noise(said, 3)
		for i := range said.Images(1, 2).Data {
			said.Images(1, 2).Data[i] *= 3
		}
		model := func(_ context.Context, out, _ tensor.NHWC, _ sampler.Point) error {
			tensor.Copy(out, said)
			return nil
		}
		x := tensor.Make(2, 3, 5, 2)
		m := sampler.DDIM{Reading: sampler.Reading{Prediction: sampler.Sample, Threshold: threshold, Clip: 0.125}}
		finish(t, model, x, []sampler.Point{from, {Alpha: 1}}, m)
		for n := range 2 {
			values := said.Images(n, n+1).Data
			var magnitudes []float64
			for _, v := range values {
				magnitudes = append(magnitudes, math.Abs(float64(v)))
			}
			sort.Float64s(magnitudes)
			rank := threshold.Quantile * float64(len(magnitudes)-1)
			below := int(math.Floor(rank))
			s := magnitudes[below]
			if below+1 < len(magnitudes) {
				s += (rank - float64(below)) * (magnitudes[below+1] - s)
			}
			s = max(s, 1)
			if threshold.Max == 0 {
				s = 1
			} else {
				s = min(s, threshold.Max)
			}
			for i, v := range values {
				want := math.Max(-s, math.Min(float64(v), s)) / s
				if got := float64(x.Images(n, n+1).Data[i]); !near(got, want) {
					t.Fatalf("%+v: image %d, value %d: %v of %v, want %v", threshold, n, i, got, v, want)
				}
			}
		}
	}
}

func TestThresholdErrors(t *testing.T) {
	for _, threshold := range []sampler.Threshold{{Quantile: -0.1}, {Quantile: 1.1}, {Quantile: math.NaN()}, {Max: -1}, {Quantile: 0.5, Max: math.NaN()}} {
		x := tensor.Make(1, 1, 1, 1)
		for _, err := range sampler.Steps(context.Background(), says(1), x, smooth(1), sampler.DDIM{Reading: sampler.Reading{Threshold: threshold}}) {
			if err == nil {
				t.Errorf("no error for %+v", threshold)
			}
		}
	}
}
