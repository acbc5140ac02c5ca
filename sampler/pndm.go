package sampler

import (
	"context"
	"fmt"

	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/tensor"
)

// PNDM is the linear multistep method of "Pseudo numerical methods for diffusion models on
// manifolds" (Liu et al., 2022, equations 9 and 12). The transfer from one level to another,
//
//	φ(x, e) = Alpha'/Alpha·x + (Sigma' - Alpha'·Sigma/Alpha)·e
//
// is that of DDIM, and e a mean of what the model said at the last points:
//
//	(55·e0 - 59·e1 + 37·e2 - 9·e3)/24
//
// or the formulas of lower orders while there are fewer of them. The first step is made again with
// the mean of what is said at both its ends (PLMS), or RungeKutta makes the first three.
//
// The weights are those for steps over which Sigma/Alpha is even; elsewhere errors fall with the square
// of the number of steps (which the paper proves). Of a model that predicts v the mean is taken of v,
// as in diffusers, and x0 and ε follow from it and x as it is now: errors fall like those of DDIM.
//
// As in diffusers, a step of the run is one call of the model. So points come as often as they are
// asked at: twice the second of them for PLMS, and as PNDMPoints has them for Runge-Kutta; the
// sample between those is an intermediate one. A run that begins later than at points[0] treats its
// first steps like the first of all.
type PNDM struct {
	Reading

	// RungeKutta makes the first three steps in four calls each, by the classical method of the
	// fourth order (F-PNDM of the paper).
	RungeKutta bool

	// Stride and Level, if Level is not nil, say where steps lead: from the time of the point to
	// Stride training steps before, which is at Level, with negative times for the final point.
	// Otherwise they lead to the point that follows. The two differ as DDIM.Next says.
	Stride int
	Level  func(t int) Point
}

// Start implements Method.
func (d PNDM) Start(p Predictor, x tensor.NHWC, points []Point) (StepFunc, error) {
	m, err := d.startFinite("PNDM", p, x, points)
	switch {
	case err != nil:
		return nil, err
	case d.Clip > 0 || d.Threshold.Quantile > 0:
		return nil, fmt.Errorf("sampler: PNDM cannot bound x0: it goes by means of what the model says")
	case d.Prediction == Sample:
		return nil, fmt.Errorf("sampler: PNDM with prediction %v, want %v or %v", Sample, Epsilon, Velocity)
	}
	// said are the last answers, newest last, and mean is that of the stages of Runge-Kutta.
	said := [...]tensor.NHWC{like(x), like(x), like(x), like(x)}
	begin, mean := like(x), like(x)
	count, calls := 0, 0
	keep := func() {
		oldest := said[0]
		copy(said[:], said[1:])
		said[len(said)-1] = oldest
		set(oldest, m.said)
		count = min(count+1, len(said))
	}
	return func(ctx context.Context, x, x0 tensor.NHWC, i int) error {
		if err := m.ask(ctx, x, points[i]); err != nil {
			return err
		}
		call := calls
		calls++
		from, to := points[i], d.to(points, i, d.Stride)
		var in [5]part
		e := in[:0]
		switch stage := call % 4; {
		case d.RungeKutta && call < 3*4:
			from, to = points[call-stage], d.to(points, i, (stage+1)%2*(d.Stride/2))
			if stage == 0 {
				keep()
				set(begin, x)
				sum(mean)
			}
			weight := [...]float64{1. / 6, 1. / 3, 1. / 3, 1. / 6}[stage]
			sum(mean, part{1, mean}, part{weight, m.said})
			if e = append(e, part{1, m.said}); stage == 3 {
				e[0].of = mean
			}
		case call == 1:
			from, to = d.to(points, i, -d.Stride), d.to(points, i, 0)
			if d.Level == nil {
				from, to = points[i-1], points[i]
			}
			e = append(e, part{0.5, m.said}, part{0.5, said[len(said)-1]})
		default:
			keep()
			set(begin, x)
			for k, weight := range adamsBashforth[count-1] {
				e = append(e, part{weight, said[len(said)-1-k]})
			}
		}
		d.transfer(x, x0, begin, e, from, to)
		return nil
	}, nil
}

// adamsBashforth are the weights of so many answers, newest first.
var adamsBashforth = [...][]float64{
	{1},
	{3. / 2, -1. / 2},
	{23. / 12, -16. / 12, 5. / 12},
	{55. / 24, -59. / 24, 37. / 24, -9. / 24},
}

// to returns where a step from points[i] leads that goes back by so many training steps.
func (d PNDM) to(points []Point, i, stride int) Point {
	if d.Level == nil {
		return points[i+1]
	}
	return d.Level(int(points[i].T) - stride)
}

// transfer sets x to φ(begin, e), and x0 to the estimate that goes with it.
func (d PNDM) transfer(x, x0, begin tensor.NHWC, e []part, from, to Point) {
	what, _ := d.Prediction.at(from)
	scale := to.Alpha / from.Alpha
	share := to.Sigma - float64(scale*from.Sigma)
	var in [6]part
	set := func(dst tensor.NHWC, ofBegin, ofAnswers float64) {
		all := append(in[:0], part{ofBegin, begin})
		for _, t := range e {
			all = append(all, part{ofAnswers * t.factor, t.of})
		}
		sum(dst, all...)
	}
	set(x0, what.x0x, what.x0m)
	set(x, scale+float64(share*what.ex), share*what.em)
}

// PNDMPoints returns the points of a run of PNDM, one for each call of the model, made of those of
// a schedule. With rungeKutta, level returns the point of a training step and stride is the number
// of training steps of a step.
func PNDMPoints(points []Point, rungeKutta bool, stride int, level func(t int) Point) ([]Point, error) {
	if !rungeKutta {
		if len(points) < 3 {
			return points, nil
		}
		return append([]Point{points[0], points[1]}, points[1:]...), nil
	}
	if len(points) < 5 {
		return nil, fmt.Errorf("sampler: %d steps of PNDM, want at least 4 with those of Runge-Kutta", len(points)-1)
	}
	var all []Point
	for i := range 3 {
		middle := level(int(points[i+1].T) + stride/2)
		all = append(all, points[i], middle, middle, points[i+1])
	}
	return append(all, points[3:]...), nil
}

// readPNDM reads what is PNDMScheduler's own.
func readPNDM(c *config.Config, s *Schedule) planner {
	kind := c.String("prediction_type", predictions[Epsilon], predictions[:Sample]...)
	d := PNDM{Reading: Reading{Prediction: named[Prediction](predictions[:], kind)}}
	d.RungeKutta = !c.Bool("skip_prk_steps", false)
	s.FinalNoise = !c.Bool("set_alpha_to_one", false)
	return func(s *Schedule, points []Point, even bool) (Method, []Point, error) {
		d := d
		if !even {
			return nil, nil, fmt.Errorf("sampler: PNDM needs even steps")
		}
		d.Stride, d.Level = len(s.Levels)/(len(points)-1), s.level
		points, err := PNDMPoints(points, d.RungeKutta, d.Stride, d.Level)
		return d, points, err
	}
}
