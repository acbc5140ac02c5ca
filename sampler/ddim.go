package sampler

import (
	"context"
	"fmt"
	"math"

	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/tensor"
)

// DDIM is the sampler of denoising diffusion implicit models (Song, Meng and Ermon, 2021). With x0
// and ε from the prediction, a step to the level (Alpha', Sigma') is
//
//	x' = Alpha'·x0 + √(Sigma'² - s²)·ε + s·z,  s = Eta·(Sigma'/Sigma)·√(1 - (Alpha/Alpha')²)
//
// The zero value is for a model that predicts the noise, without clipping, and adds none.
type DDIM struct {
	Prediction Prediction

	// Clip, unless it is 0, bounds x0 to ±Clip. ε stays what the prediction says, or with FitNoise
	// becomes what the clipped x0 leaves of x (diffusers' use_clipped_model_output).
	Clip     float64
	FitNoise bool

	// Eta is the share of fresh noise z, from 0 for none to 1 for as much as DDPM adds. Noise is
	// where z comes from.
	Eta   float64
	Noise Source

	// Next, if not nil, returns where the step from a point ends, instead of at the point that
	// follows. diffusers goes back by N/n of N training steps, rounded down, wherever the next of
	// n steps begins; the two differ where n does not divide N or the spacing is Linspace.
	Next func(from Point) Point
}

// Start implements Method.
func (d DDIM) Start(p Predictor, x tensor.NHWC, points []Point) (StepFunc, error) {
	readings, err := d.Prediction.all(points)
	switch {
	case err != nil:
		return nil, err
	case !(d.Eta >= 0 && d.Eta <= 1):
		return nil, fmt.Errorf("sampler: DDIM with eta %g, want 0 to 1", d.Eta)
	case d.Eta > 0 && d.Noise == nil:
		return nil, fmt.Errorf("sampler: DDIM with eta %g needs a source of noise", d.Eta)
	case !(d.Clip >= 0):
		return nil, fmt.Errorf("sampler: DDIM that clips to ±%g", d.Clip)
	}
	limit := d.Clip
	if limit == 0 {
		limit = math.Inf(1)
	}
	out := tensor.Make(x.N, x.H, x.W, x.C)
	var z tensor.NHWC
	if d.Eta > 0 {
		z = tensor.Make(x.N, x.H, x.W, x.C)
	}
	return func(ctx context.Context, x, x0 tensor.NHWC, i int) error {
		from, to, read := points[i], points[i+1], readings[i]
		if d.Next != nil {
			to = d.Next(from)
		}
		if err := p(ctx, out, x, from); err != nil {
			return err
		}
		fresh := d.fresh(from, to)
		kept := math.Sqrt(max(0, float64(to.Sigma*to.Sigma)-float64(fresh*fresh)))
		if d.Eta > 0 {
			d.Noise.Noise(z)
		}
		for r, ms := 0, out.Tokens(); r < ms.Rows; r++ {
			xs, x0s, ms := x.Tokens().Row(r), x0.Tokens().Row(r), ms.Row(r)
			for c := range xs {
				v, m := float64(xs[c]), float64(ms[c])
				s := min(max(read.sample(v, m), -limit), limit)
				e := read.noise(v, m)
				if d.FitNoise {
					e = (v - float64(from.Alpha*s)) / from.Sigma
				}
				x0s[c] = float32(s)
				xs[c] = float32(float64(to.Alpha*s) + float64(kept*e))
			}
			if d.Eta > 0 {
				for c, noise := range z.Tokens().Row(r) {
					xs[c] = float32(float64(xs[c]) + float64(fresh*float64(noise)))
				}
			}
		}
		return nil
	}, nil
}

// fresh returns how much new noise a step adds.
func (d DDIM) fresh(from, to Point) float64 {
	ratio := from.Alpha / to.Alpha
	return d.Eta * (to.Sigma / from.Sigma) * math.Sqrt(max(0, 1-float64(ratio*ratio)))
}

// ddimKeys are those of readDDIM, and two of thresholding.
var ddimKeys = []string{"clip_sample", "clip_sample_range", "thresholding", "dynamic_thresholding_ratio",
	"sample_max_value", "set_alpha_to_one"}

// readDDIM reads what diffusers' DDIMScheduler adds to the keys that all share.
func readDDIM(c *config.Config, s *Schedule) (methodFor, error) {
	d := DDIM{Prediction: readPrediction(c)}
	if clip := c.Float("clip_sample_range", 1); c.Bool("clip_sample", true) {
		if d.Clip = clip; !(clip > 0) {
			c.Fail("clip_sample_range", "a number above 0")
		}
	}
	c.Only("thresholding", false, nil)
	s.Spacing = readSpacing(c, Leading)
	s.FinalNoise = !c.Bool("set_alpha_to_one", true)
	return func(n int) Method {
		d := d
		if d.Next = s.back(n); s.chained(n) {
			d.Next = nil
		}
		return d
	}, c.Err()
}
