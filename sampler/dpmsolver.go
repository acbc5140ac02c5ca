package sampler

import (
	"context"
	"fmt"
	"math"

	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/tensor"
)

// DPMSolver is the multistep method of "DPM-Solver++: fast solver for guided sampling of diffusion
// probabilistic models" (Lu et al., 2022), and of its predecessor "DPM-Solver" (Lu et al., 2022).
// The flow is linear but for what the model says, of which it integrates a polynomial through the
// last answers. With λ = log(Alpha/Sigma), h = λ'-λ and the functions of exponential integrators
// φ_k (see phi), a step is
//
//	x' = Sigma'/Sigma·x + Alpha'·h·(φ_1(-h)·D0 + φ_2(-h)·D1 + φ_3(-h)·D2)
//
// where D0 is x0, and D1 and D2 are its first and second differences over λ in units of h. In terms
// of the noise that the model says instead (OfNoise),
//
//	x' = Alpha'/Alpha·x - Sigma'·h·(φ_1(h)·D0 + φ_2(h)·D1 + φ_3(h)·D2)
//
// The stochastic methods (SDE) solve the reverse process rather than the flow: 2h for h in the sum,
// e^-h less of x, or 2·h·φ_k(h) for h·φ_k(h), and noise.
//
// A run begins with a step of the first order, then one of the second, and steps to where there is
// no noise, where λ is infinite, are of the first. The zero value is DPM-Solver++(2M).
//
// Order 3 is one by name: φ_3 wants the second derivative, and D2 estimates half of it, in the
// authors' multistep code as in diffusers. What is missing makes an error of h³ in each step, so
// that errors fall with the square of the number of steps, as those of order 2 do.
type DPMSolver struct {
	Reading

	Order   int  // 1 to 3, 0 means 2; with SDE at most 2
	OfNoise bool // DPM-Solver instead of DPM-Solver++; no step may then end without noise
	SDE     bool // the stochastic methods

	// Heun has the second order take φ_2 as it is, like the third. Otherwise it is the midpoint
	// rule: ½·φ_1 in its place.
	Heun bool

	// FewSteps lowers the orders of the last two steps to 2 and 1 in runs of fewer than 15
	// (diffusers' lower_order_final), EulerAtFinal that of the last step to 1 in any.
	FewSteps, EulerAtFinal bool

	Noise Source // for SDE
}

// Start implements Method.
func (d DPMSolver) Start(p Predictor, x tensor.NHWC, points []Point) (StepFunc, error) {
	m, err := d.startFinite("DPMSolver", p, x, points)
	if d.SDE && err == nil {
		err = falling("DPMSolver with SDE", points)
	}
	if d.Order == 0 {
		d.Order = 2
	}
	switch {
	case err != nil:
		return nil, err
	case d.Order < 1 || d.Order > 3 || d.SDE && d.Order > 2:
		return nil, fmt.Errorf("sampler: DPMSolver of order %d, want 1 to 3, or to 2 with SDE", d.Order)
	case d.OfNoise && points[len(points)-1].Sigma == 0:
		return nil, endless("DPMSolver")
	case d.SDE && d.Noise == nil:
		return nil, noSource("DPMSolver", "SDE", d.SDE)
	}
	z := fresh(x, d.SDE)
	said := newAnswers(x, points, d.Order)
	return func(ctx context.Context, x, x0 tensor.NHWC, i int) error {
		from, to := points[i], points[i+1]
		if err := m.ask(ctx, x, from); err != nil {
			return err
		}
		m.sample(x0, x, m.at(from))
		m.form(said.next(i), x, x0, from, d.OfNoise)
		if d.SDE {
			d.Noise.Noise(z)
		}
		order := min(d.order(i, points), said.count)
		var in [6]part
		sum(x, d.step(in[:0], from, to, x, z, said, order)...)
		return nil
	}, nil
}

// order returns the order of the step from points[i], if the run has been as long as that.
func (d DPMSolver) order(i int, points []Point) int {
	left := len(points) - 2 - i // after this step
	few := d.FewSteps && len(points)-1 < 15
	switch {
	case left == 0 && (few || d.EulerAtFinal || points[i+1].Sigma == 0):
		return 1
	case left == 1 && few:
		return min(d.Order, 2)
	}
	return d.Order
}

// step appends the parts of a step.
func (d DPMSolver) step(in []part, from, to Point, x, z tensor.NHWC, said *answers, order int) []part {
	h, gone, stands := span(from, to)
	if stands {
		return append(in, part{1, x})
	}
	steps := 1.0 // by which h is multiplied
	if d.SDE {
		steps = 2
	}
	// kept is what is left of x, d0 to d2 are the factors of the differences.
	var kept, d0 float64
	var higher func(k int) float64
	if d.OfNoise {
		kept = to.Alpha / from.Alpha
		d0 = -steps * to.Sigma * (1/gone - 1) // h·φ_1(h) = e^h - 1
		higher = func(k int) float64 { return -steps * to.Sigma * h * phi(k, h) }
	} else {
		kept = to.Sigma / from.Sigma
		d0 = to.Alpha * (1 - gone)
		if d.SDE {
			kept *= gone
			d0 *= 1 + gone
		}
		higher = func(k int) float64 { return to.Alpha * steps * h * phi(k, -steps*h) }
	}
	in = append(in, part{kept, x})
	switch {
	case order == 1:
		in = said.differences(in, h, d0)
	case order == 2 && d.Heun:
		in = said.differences(in, h, d0, higher(2))
	case order == 2:
		in = said.differences(in, h, d0, d0/2)
	default:
		in = said.differences(in, h, d0, higher(2), higher(3))
	}
	if d.SDE {
		up := 1/float64(gone*gone) - 1 // e^2h - 1
		if !d.OfNoise {
			up = 1 - float64(gone*gone)
		}
		in = append(in, part{to.Sigma * math.Sqrt(max(up, 0)), z})
	}
	return in
}

func (d DPMSolver) withNoise(s Source) Method {
	d.Noise = s
	return d
}

// readDPMSolver reads what is DPMSolverMultistepScheduler's own.
func readDPMSolver(c *config.Config, s *Schedule) planner {
	d := DPMSolver{Reading: Reading{Prediction: readPrediction(c), Threshold: readThreshold(c)}}
	d.SaysVariance = readVariance(c)
	// A file may have been another multistep class's before: diffusers takes their names for ours.
	algorithm := c.String("algorithm_type", "dpmsolver++", "dpmsolver++", "sde-dpmsolver++", "dpmsolver", "sde-dpmsolver", "deis")
	d.OfNoise = algorithm == "dpmsolver" || algorithm == "sde-dpmsolver"
	d.SDE = algorithm == "sde-dpmsolver" || algorithm == "sde-dpmsolver++"
	d.Heun = c.String("solver_type", "midpoint", "midpoint", "heun", "logrho", "bh1", "bh2") == "heun"
	d.Order = c.Int("solver_order", 2)
	switch {
	case d.Order < 1 || d.Order > 3:
		c.Fail("solver_order", "1 to 3")
	case d.Order == 3 && d.SDE:
		c.Fail("solver_order", "1 or 2 with algorithm_type "+algorithm)
	}
	d.FewSteps, d.EulerAtFinal = c.Bool("lower_order_final", true), c.Bool("euler_at_final", false)
	if s.FinalNoise = readFinal(c); d.OfNoise && !s.FinalNoise {
		c.Fail("final_sigmas_type", `"sigma_min" with algorithm_type `+algorithm)
	}
	s.SkipLast, s.FullRange = true, true
	s.Clipped = s.Levels.below(c.Float("lambda_min_clipped", math.Inf(-1)))
	if s.Clipped > 0 && s.Clipped > len(s.Levels)-2 {
		c.Fail("lambda_min_clipped", "a number below the lambdas of at least two training steps")
	}
	return func(_ *Schedule, points []Point, _ bool) (Method, []Point, error) { return d, points, nil }
}
