package sampler

import (
	"context"
	"fmt"
	"math"

	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/tensor"
)

// Euler follows the probability flow in steps of the first order ("Elucidating the design space of
// diffusion-based generative models", Karras et al., 2022, algorithm 2 without its correction).
// With y = x/Alpha and σ = Sigma/Alpha, which make the flow dy/dσ = ε, a step is
//
//	y' = ŷ + (σ'-σ̂)·(ŷ-x0)/σ̂
//
// where ŷ = y and σ̂ = σ unless there is Churn. Without it, it agrees with DDIM.
type Euler struct {
	Reading

	// Churn adds noise before a step that begins at MinSigma ≤ σ ≤ MaxSigma (0 is no bound): to
	// σ̂ = (1+γ)·σ, γ = min(Churn, √2-1), by Spread (0 means 1) times √(σ̂²-σ²). Churn is
	// S_churn/n of the paper with n steps in all. As in diffusers the model is asked before
	// the noise is added, and told σ. Noise is where it comes from.
	Churn, MinSigma, MaxSigma, Spread float64
	Noise                             Source
}

// Start implements Method.
func (e Euler) Start(p Predictor, x tensor.NHWC, points []Point) (StepFunc, error) {
	m, err := e.startFinite("Euler", p, x, points)
	switch {
	case err != nil:
		return nil, err
	case !(e.Churn >= 0):
		return nil, fmt.Errorf("sampler: Euler with churn %g, want 0 or more", e.Churn)
	case e.Churn > 0 && e.Noise == nil:
		return nil, noSource("Euler", "churn", e.Churn)
	}
	z := fresh(x, e.Churn > 0)
	return func(ctx context.Context, x, x0 tensor.NHWC, i int) error {
		from, to := points[i], points[i+1]
		if err := m.ask(ctx, x, from); err != nil {
			return err
		}
		what := m.at(from)
		sigma, next := from.ratio(), to.ratio()
		raised := float64((1 + e.gamma(sigma)) * sigma)
		if raised > sigma {
			e.Noise.Noise(z)
			added := e.spread() * math.Sqrt(float64(raised*raised)-float64(sigma*sigma))
			sum(x, part{1, x}, part{from.Alpha * added, z})
			// A prediction of the noise is taken to be of the noise that there is now.
			if e.Prediction == Epsilon {
				what.x0m = -raised
			}
		}
		m.sample(x0, x, what)
		kept := next / raised // of y-x0
		sum(x, part{to.Alpha * kept / from.Alpha, x}, part{to.Alpha * (1 - kept), x0})
		return nil
	}, nil
}

// gamma returns by which share of sigma a step raises it. A sigma that is a bound but for rounding is
// within.
func (e Euler) gamma(sigma float64) float64 {
	if sigma < e.MinSigma*(1-sameLevel) || e.MaxSigma > 0 && sigma > e.MaxSigma*(1+sameLevel) {
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

func (e Euler) withNoise(s Source) Method {
	e.Noise = s
	return e
}

// readEuler reads what is EulerDiscreteScheduler's own.
func readEuler(c *config.Config, s *Schedule) planner {
	kind := c.String("prediction_type", predictions[Epsilon], append(predictions[:len(predictions):len(predictions)], "original_sample")...)
	if kind == "original_sample" {
		kind = predictions[Sample]
	}
	e := Euler{Reading: Reading{Prediction: named[Prediction](predictions[:], kind)}}
	s.FinalNoise = readFinal(c)
	if c.String("interpolation_type", "linear", "linear", "log_linear") == "log_linear" {
		// Its sigmas are those of the whole table, and Karras' and the others' begin and end as
		// these do.
		s.FullRange = true
		if s.Sigmas == AsSpaced {
			s.Sigmas = LogLinear
		}
	}
	s.LogTimes = c.String("timestep_type", "discrete", "discrete", "continuous") == "continuous" && e.Prediction == Velocity
	return func(_ *Schedule, points []Point, _ bool) (Method, []Point, error) { return e, points, nil }
}
