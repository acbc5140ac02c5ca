package sampler

import (
	"context"
	"fmt"
	"math"

	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/tensor"
)

// LCM samples from a latent consistency model (Luo et al., 2023, "Latent consistency models:
// synthesizing high-resolution images with few-step inference", algorithm 3), which was distilled
// to take any noisy sample to a clean one at once: each step goes there and, but for the last, adds
// fresh noise,
//
//	f  = c_skip·x + c_out·x0
//	x' = Alpha'·f + Sigma'·z
//
// with c_skip = σ²/(τ²+σ²) and c_out = τ/√(τ²+σ²) for τ = Scaling·t and σ = ½, which make f = x
// at t = 0. The estimate of the clean sample that a step goes by is f.
type LCM struct {
	Reading
	Scaling float64 // of the time; 0 means 10
	Noise   Source  // where z comes from
}

// Start implements Method.
func (l LCM) Start(p Predictor, x tensor.NHWC, points []Point) (StepFunc, error) {
	m, err := l.start(p, x, points)
	last := len(points) - 2
	switch {
	case err != nil:
		return nil, err
	case !(l.Scaling >= 0):
		return nil, fmt.Errorf("sampler: LCM with time scaled by %g", l.Scaling)
	case last > 0 && l.Noise == nil:
		return nil, noSource("LCM", "Noise", nil)
	}
	if l.Scaling == 0 {
		l.Scaling = 10
	}
	z := fresh(x, last > 0)
	return func(ctx context.Context, x, x0 tensor.NHWC, i int) error {
		from, to := points[i], points[i+1]
		if err := m.ask(ctx, x, from); err != nil {
			return err
		}
		m.sample(x0, x, m.at(from))
		const variance = 0.5 * 0.5 // of the data
		tau := l.Scaling * from.T
		norm := float64(tau*tau) + variance
		sum(x0, part{tau / math.Sqrt(norm), x0}, part{variance / norm, x})
		if i == last {
			set(x, x0)
			return nil
		}
		l.Noise.Noise(z)
		sum(x, part{to.Alpha, x0}, part{to.Sigma, z})
		return nil
	}, nil
}

func (l LCM) withNoise(s Source) Method {
	l.Noise = s
	return l
}

// readLCM reads what is LCMScheduler's own. Its set_alpha_to_one is of no effect in diffusers: the
// last step ends without noise.
func readLCM(c *config.Config, s *Schedule) planner {
	l := LCM{Reading: readBounds(c, false), Scaling: c.Float("timestep_scaling", 10)}
	if !(l.Scaling > 0 && l.Scaling <= math.MaxFloat32) {
		c.Fail("timestep_scaling", "a number above 0")
	}
	c.Ignore("set_alpha_to_one")
	readDistilled(c, s)
	return func(_ *Schedule, points []Point, _ bool) (Method, []Point, error) { return l, points, nil }
}
