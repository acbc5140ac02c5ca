package sampler

import (
	"context"
	"fmt"
	"math"

	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/tensor"
)

// DDIM is the sampler of "Denoising diffusion implicit models" (Song, Meng and Ermon, 2021,
// equation 12). With x0 and ε from the model, a step to the level (Alpha', Sigma') is
//
//	x' = Alpha'·x0 + √(Sigma'² - s²)·ε + s·z,  s = Eta·(Sigma'/Sigma)·√(1 - (Alpha/Alpha')²)
//
// ε stays what the model says where x0 is bounded, unless FitNoise is set. The zero value adds no
// noise.
type DDIM struct {
	Reading

	// FitNoise makes ε what the bounded x0 leaves of x (diffusers' use_clipped_model_output).
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
	m, err := d.start(p, x, points)
	switch {
	case err != nil:
		return nil, err
	case !(d.Eta >= 0 && d.Eta <= 1):
		return nil, fmt.Errorf("sampler: DDIM with eta %g, want 0 to 1", d.Eta)
	case d.Eta > 0 && d.Noise == nil:
		return nil, noSource("DDIM", "eta", d.Eta)
	}
	z := fresh(x, d.Eta > 0)
	return func(ctx context.Context, x, x0 tensor.NHWC, i int) error {
		from, to := points[i], end(points, i, d.Next)
		if err := m.ask(ctx, x, from); err != nil {
			return err
		}
		what := m.at(from)
		m.sample(x0, x, what)
		s := d.deviation(from, to)
		e := math.Sqrt(max(0, float64(to.Sigma*to.Sigma)-float64(s*s)))
		if d.Eta > 0 {
			d.Noise.Noise(z)
		}
		if d.FitNoise {
			e /= from.Sigma
			sum(x, part{to.Alpha - float64(e*from.Alpha), x0}, part{e, x}, part{s, z})
			return nil
		}
		sum(x, part{to.Alpha, x0}, part{e * what.ex, x}, part{e * what.em, m.said}, part{s, z})
		return nil
	}, nil
}

// end returns where the step from points[i] ends: at the point that follows, unless next says where.
func end(points []Point, i int, next func(from Point) Point) Point {
	if next == nil {
		return points[i+1]
	}
	return next(points[i])
}

// deviation returns how much new noise a step adds.
func (d DDIM) deviation(from, to Point) float64 {
	ratio := from.Alpha / to.Alpha
	return d.Eta * (to.Sigma / from.Sigma) * math.Sqrt(max(0, 1-float64(ratio*ratio)))
}

func (d DDIM) withNoise(s Source) Method {
	d.Noise = s
	return d
}

// readDDIM reads what is DDIMScheduler's own.
func readDDIM(c *config.Config, s *Schedule) planner {
	d := DDIM{Reading: readBounds(c, true)}
	s.FinalNoise = !c.Bool("set_alpha_to_one", true)
	return func(s *Schedule, points []Point, even bool) (Method, []Point, error) {
		d := d
		if even {
			d.Next = s.back(points)
		}
		return d, points, nil
	}
}
