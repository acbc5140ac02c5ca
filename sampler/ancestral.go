package sampler

import (
	"context"
	"math"

	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/tensor"
)

// EulerAncestral follows the reverse process with fresh noise at every step: k-diffusion's
// sample_euler_ancestral (Crowson). With y = x/Alpha and σ = Sigma/Alpha, a step of Euler goes
// below σ', and noise leads back up to it, as much as the process of DDPM adds:
//
//	σ_up² = σ'²·(σ²-σ'²)/σ²,  σ_down² = σ'² - σ_up²
//	y' = y + (σ_down-σ)·(y-x0)/σ + σ_up·z
type EulerAncestral struct {
	Reading
	Noise Source // where z comes from
}

// Start implements Method.
func (e EulerAncestral) Start(p Predictor, x tensor.NHWC, points []Point) (StepFunc, error) {
	m, err := e.startFinite("EulerAncestral", p, x, points)
	if err == nil {
		err = falling("EulerAncestral", points)
	}
	switch {
	case err != nil:
		return nil, err
	case e.Noise == nil:
		return nil, noSource("EulerAncestral", "Noise", nil)
	}
	z := fresh(x, true)
	return func(ctx context.Context, x, x0 tensor.NHWC, i int) error {
		from, to := points[i], points[i+1]
		if err := m.ask(ctx, x, from); err != nil {
			return err
		}
		m.sample(x0, x, m.at(from))
		// The last step draws noise too, and adds none: a stream goes on as it does in diffusers.
		e.Noise.Noise(z)
		share := to.ratio() / from.ratio() // σ'/σ
		up := to.Sigma * math.Sqrt(max(0, 1-float64(share*share)))
		down := float64(share * share) // σ_down/σ
		sum(x, part{to.Alpha * down / from.Alpha, x}, part{to.Alpha * (1 - down), x0}, part{up, z})
		return nil
	}, nil
}

func (e EulerAncestral) withNoise(s Source) Method {
	e.Noise = s
	return e
}

// readEulerAncestral reads what is EulerAncestralDiscreteScheduler's own.
func readEulerAncestral(c *config.Config, _ *Schedule) planner {
	e := EulerAncestral{Reading: Reading{Prediction: readPrediction(c)}}
	return func(_ *Schedule, points []Point, _ bool) (Method, []Point, error) { return e, points, nil }
}
