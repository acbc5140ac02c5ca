package sampler

import (
	"context"
	"fmt"
	"math"

	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/tensor"
)

// TCD samples from a model distilled to follow its trajectories ("Trajectory consistency
// distillation", Zheng et al., 2024, algorithm 4, strategic stochastic sampling): each step goes
// along the probability flow to a level s below that where it ends, and adds noise to get there,
//
//	x_s = Alpha_s·x0 + Sigma_s·ε,  s = ⌊(1-Eta)·t'⌋
//	x'  = Alpha'/Alpha_s·x_s + √(1 - (Alpha'/Alpha_s)²)·z
//
// but for the last, which ends at s. Neither Clip nor Threshold has an effect, as in diffusers.
type TCD struct {
	Reading

	// Eta is the share of noise, γ in the paper: 0 for none, 1 for as much as LCM adds. Level
	// returns the point of a training step, s, and Noise is where z comes from. Without noise
	// neither is needed.
	Eta   float64
	Level func(t int) Point
	Noise Source
}

// Start implements Method.
func (d TCD) Start(p Predictor, x tensor.NHWC, points []Point) (StepFunc, error) {
	d.Clip, d.Threshold = 0, Threshold{}
	m, err := d.start(p, x, points)
	switch {
	case err != nil:
		return nil, err
	case !(d.Eta >= 0 && d.Eta <= 1):
		return nil, fmt.Errorf("sampler: TCD with eta %g, want 0 to 1", d.Eta)
	case d.Eta > 0 && d.Level == nil:
		return nil, fmt.Errorf("sampler: TCD with eta %g needs the levels of training", d.Eta)
	case d.Eta > 0 && d.Noise == nil:
		return nil, noSource("TCD", "eta", d.Eta)
	}
	z := fresh(x, d.Eta > 0)
	return func(ctx context.Context, x, x0 tensor.NHWC, i int) error {
		from, to := points[i], points[i+1]
		if err := m.ask(ctx, x, from); err != nil {
			return err
		}
		below := to
		if d.Eta > 0 {
			below = d.Level(int(float32(1-d.Eta) * float32(to.T)))
		}
		what := m.at(from)
		m.sample(x0, x, what)
		share := 1.0 // of x_s
		if d.Eta > 0 && i < len(points)-2 {
			d.Noise.Noise(z)
			share = to.Alpha / below.Alpha
		}
		e := share * below.Sigma
		sum(x, part{share * below.Alpha, x0}, part{e * what.ex, x}, part{e * what.em, m.said},
			part{math.Sqrt(max(0, 1-float64(share*share))), z})
		return nil
	}, nil
}

func (d TCD) withNoise(s Source) Method {
	d.Noise = s
	return d
}

// readTCD reads what is TCDScheduler's own. Eta is 0.3, the default of its step. Clipping and
// set_alpha_to_one are of no effect in diffusers: the last step ends at the first training step.
func readTCD(c *config.Config, s *Schedule) planner {
	d := TCD{Reading: Reading{Prediction: readBounds(c, false).Prediction}, Eta: 0.3}
	c.Ignore("set_alpha_to_one", "timestep_scaling")
	s.FinalNoise = true
	readDistilled(c, s)
	return func(s *Schedule, points []Point, _ bool) (Method, []Point, error) {
		d := d
		d.Level = s.Levels.At
		return d, points, nil
	}
}
