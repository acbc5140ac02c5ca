package sampler

import (
	"context"
	"fmt"
	"math"

	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/tensor"
)

// Euler follows the probability flow in steps of the first order (algorithm 2 of Karras et al.,
// 2022, without its correction). With y = x/Alpha and σ = Sigma/Alpha, which make the flow
// dy/dσ = ε, a step is
//
//	y' = ŷ + (σ'-σ̂)·(ŷ-x0)/σ̂
//
// where ŷ = y and σ̂ = σ unless there is Churn. The zero value is for a model that predicts the
// noise, without churn; it then agrees with DDIM.
type Euler struct {
	Prediction Prediction

	// Churn adds noise before a step that begins at MinSigma ≤ σ ≤ MaxSigma (0 is no bound): to
	// σ̂ = (1+γ)·σ, γ = min(Churn, √2-1), by Spread (0 means 1) times √(σ̂²-σ²). Churn is
	// S_churn/n of the paper with n steps in all. As in diffusers the model is asked before
	// the noise is added, and told σ. Noise is where it comes from.
	Churn, MinSigma, MaxSigma, Spread float64
	Noise                             Source
}

// Start implements Method.
func (e Euler) Start(p Predictor, x tensor.NHWC, points []Point) (StepFunc, error) {
	readings, err := e.Prediction.all(points)
	switch {
	case err != nil:
		return nil, err
	case !(e.Churn >= 0):
		return nil, fmt.Errorf("sampler: Euler with churn %g, want 0 or more", e.Churn)
	case e.Churn > 0 && e.Noise == nil:
		return nil, fmt.Errorf("sampler: Euler with churn %g needs a source of noise", e.Churn)
	case points[0].Alpha == 0:
		return nil, fmt.Errorf("sampler: Euler cannot begin where there is nothing but noise (t = %g): sigma is infinite", points[0].T)
	}
	out := tensor.Make(x.N, x.H, x.W, x.C)
	var z tensor.NHWC
	if e.Churn > 0 {
		z = tensor.Make(x.N, x.H, x.W, x.C)
	}
	return func(ctx context.Context, x, x0 tensor.NHWC, i int) error {
		from, to, read := points[i], points[i+1], readings[i]
		if err := p(ctx, out, x, from); err != nil {
			return err
		}
		sigma, next := from.Sigma/from.Alpha, to.Sigma/to.Alpha
		raised := float64((1 + e.gamma(sigma)) * sigma)
		added := 0.0
		if raised > sigma {
			e.Noise.Noise(z)
			added = e.spread() * math.Sqrt(float64(raised*raised)-float64(sigma*sigma)) * from.Alpha
			// A prediction of the noise is taken to be of the noise that there is now.
			if e.Prediction == Epsilon {
				read.x0m = -raised
			}
		}
		for r, ms := 0, out.Tokens(); r < ms.Rows; r++ {
			xs, x0s, ms := x.Tokens().Row(r), x0.Tokens().Row(r), ms.Row(r)
			if added > 0 {
				for c, noise := range z.Tokens().Row(r) {
					xs[c] = float32(float64(xs[c]) + float64(added*float64(noise)))
				}
			}
			for c := range xs {
				v, m := float64(xs[c]), float64(ms[c])
				s := read.sample(v, m)
				y := v / from.Alpha
				y += float64((next - raised) * ((y - s) / raised))
				x0s[c] = float32(s)
				xs[c] = float32(to.Alpha * y)
			}
		}
		return nil
	}, nil
}

// gamma returns by which share of sigma a step raises it.
func (e Euler) gamma(sigma float64) float64 {
	if sigma < e.MinSigma || e.MaxSigma > 0 && sigma > e.MaxSigma {
		return 0
	}
	return min(e.Churn, math.Sqrt2-1)
}

func (e Euler) spread() float64 {
	if e.Spread == 0 {
		return 1
	}
	return e.Spread
}

// eulerKeys are those of readEuler.
var eulerKeys = []string{"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "sigma_min", "sigma_max",
	"final_sigmas_type", "interpolation_type", "timestep_type"}

// readEuler reads what diffusers' EulerDiscreteScheduler adds to the keys that all share.
func readEuler(c *config.Config, s *Schedule) (methodFor, error) {
	e := Euler{Prediction: readPrediction(c)}
	s.Spacing = readSpacing(c, Linspace)
	s.Fractional = true
	s.Karras = c.Bool("use_karras_sigmas", false)
	s.MinSigma, s.MaxSigma = readSigma(c, "sigma_min"), readSigma(c, "sigma_max")
	s.FinalNoise = c.String("final_sigmas_type", "zero", "zero", "sigma_min") == "sigma_min"
	c.Only("use_exponential_sigmas", false, nil)
	c.Only("use_beta_sigmas", false, nil)
	c.Only("interpolation_type", "linear")
	c.Only("timestep_type", "discrete")
	// The first sigma is to be finite: 2⁻²⁴ is the least that half precision holds.
	if last := len(s.Levels) - 1; last >= 0 && s.Levels[last] == 0 {
		s.Levels[last] = 0x1p-24
	}
	return func(int) Method { return e }, c.Err()
}
