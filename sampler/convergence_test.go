package sampler_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

// The order of every method that follows the probability flow, measured on the Gaussian, whose flow
// is known: with steps of length h over log sigma the error is C·h^order.
//
// The error is the largest of a run, over the points where a step is done, of the root of the mean
// square over all values. It is not that of the last point alone, where errors of different signs
// cancel and the slope over n is anything. Orders are the slopes of log error over log n by least
// squares, at the largest five n of counts whose errors are above what float32 adds.
//
// What is expected:
//
//   - DDIM, Euler, TCD without noise and DPM-Solver of order 1 are one method, exact for a constant
//     x0: order 1. Heun's is 2.
//   - A multistep method begins with steps of lower orders. One step of order 1 has an error of h²,
//     and that alone bounds the order of the whole run to 2. The corrector of UniPC makes it again with
//     an error of h³, but is late by a step: Step.X is that of the predictor. So there are two rows for
//     the higher orders: on eased points, where the first steps are so short that their errors are
//     nothing, the method's own order shows; on plain ones, that of runs as people make them.
//   - Likewise a last step of order 1, with which methods are run as a rule, bounds the order to 2.
//   - UniPC's predictor of order p has order p, and p+1 with the corrector.
//   - DPM-Solver of order 3 has order 2. Its D2 estimates half of what φ_3 is to be multiplied
//     by, in the authors' code as in diffusers (their singlestep method has the missing 2), and what
//     is left over is an error of h³ in each step.
//   - PNDM weighs what the model said as if sigma were a linear function of time. Its authors prove order
//     2. Where sigma is linear, the fourth order of its formula shows after Runge-Kutta steps; after
//     those of PLMS it is the third, that of the second step, which is made of two answers.
//   - PNDM with velocities has order 1: diffusers takes the mean of v, and x as it is now for that
//     of x, where it ought to take the mean of ε.
func TestOrderOfConvergence(t *testing.T) {
	for _, test := range orders() {
		t.Run(test.name, func(t *testing.T) {
			measured := fmt.Sprintf("order %g in theory:", test.order)
			for _, k := range test.predictions {
				var ns, errors []float64
				for i := len(counts) - 1; i >= 0 && len(ns) < 5; i-- {
					if e := test.error(t, counts[i], k); e > 2e-6 {
						ns, errors = append(ns, float64(counts[i])), append(errors, e)
					}
				}
				if len(ns) < 3 {
					t.Fatalf("%v: errors above rounding at %v steps only", k, ns)
				}
				order := -slope(ns, errors)
				measured += fmt.Sprintf(" %.2f (%v, from %g to %g steps)", order, k, ns[len(ns)-1], ns[0])
				if math.Abs(order-test.order) > test.tolerance() || errors[0] > 0.02 {
					t.Errorf("%v: order %.2f with errors %.2g at %v steps, want %g", k, order, errors, ns, test.order)
				}
			}
			t.Log(measured)
		})
	}
}

// counts are the numbers of steps that are tried. An error of order 5 is lost in rounding from some
// 48 on.
var counts = []int{12, 16, 24, 32, 48, 64, 96, 128, 192, 256}

// A convergence is a method over points, and the order that it has there.
type convergence struct {
	name        string
	order       float64
	points      func(n int) []sampler.Point
	method      func(sampler.Reading) sampler.Method
	predictions []sampler.Prediction
	late        bool           // the error is that of the second half of the run
	done        func(int) bool // whether a step is, unless nil
}

func orders() []convergence {
	type reading = sampler.Reading
	all := []sampler.Prediction{sampler.Epsilon, sampler.Velocity, sampler.Sample}
	rows := []convergence{
		{name: "DDIM", order: 1, method: func(r reading) sampler.Method { return sampler.DDIM{Reading: r} }},
		{name: "TCD", order: 1, method: func(r reading) sampler.Method { return sampler.TCD{Reading: r} }},
		{name: "Euler", order: 1, method: func(r reading) sampler.Method { return sampler.Euler{Reading: r} }},
		{name: "Heun", order: 2, method: func(r reading) sampler.Method { return sampler.Heun{Reading: r} }},
	}
	for i := range rows {
		rows[i].points = plain
	}
	of := map[bool]string{false: "x0", true: "noise"}
	for _, noise := range []bool{false, true} {
		for _, d := range []struct {
			name  string
			order int
			heun  bool
		}{{"order 1", 1, false}, {"order 2, midpoint", 2, false}, {"order 2, heun", 2, true}, {"order 3", 3, false}} {
			rows = append(rows, convergence{
				name: fmt.Sprintf("DPMSolver of %s, %s", of[noise], d.name), order: min(float64(d.order), 2), points: eased,
				method: func(r reading) sampler.Method {
					return sampler.DPMSolver{Reading: r, Order: d.order, OfNoise: noise, Heun: d.heun}
				},
			})
		}
	}
	never := make([]int, 1000)
	for i := range never {
		never[i] = i
	}
	for _, noise := range []bool{false, true} {
		for order := 1; order <= 4; order++ {
			for _, linear := range []bool{false, true} {
				for _, corrects := range []bool{false, true} {
					u := sampler.UniPC{Order: order, OfNoise: noise, Linear: linear, KeepOrder: true, Uncorrected: never}
					name := fmt.Sprintf("UniPC of %s, order %d %s, predictor", of[noise], order, map[bool]string{false: "B2", true: "B1"}[linear])
					own, begun := order, 2
					if corrects {
						u.Uncorrected, name = nil, name+" and corrector"
						own, begun = order+1, 3
					}
					method := func(r reading) sampler.Method {
						u := u
						u.Reading = r
						return u
					}
					rows = append(rows, convergence{name: name, order: float64(own), points: eased, method: method})
					if begun < own {
						rows = append(rows, convergence{name: name + " from a plain start", order: float64(begun), points: plain, method: method, late: true})
					}
				}
			}
		}
	}
	rows = append(rows,
		convergence{name: "DPMSolver, last step of order 1", order: 2, points: eased, method: func(r reading) sampler.Method {
			return sampler.DPMSolver{Reading: r, EulerAtFinal: true}
		}},
		convergence{name: "UniPC of order 2, orders lowered at the end", order: 2, points: eased, method: func(r reading) sampler.Method {
			return sampler.UniPC{Reading: r}
		}},
		convergence{name: "UniPC of order 3, orders lowered at the end", order: 2, points: eased, method: func(r reading) sampler.Method {
			return sampler.UniPC{Reading: r, Order: 3}
		}})
	for i := range rows {
		rows[i].predictions = all
	}
	for _, rungeKutta := range []bool{false, true} {
		name, own := "PNDM, PLMS", 3.
		done := func(i int) bool { return i != 0 }
		if rungeKutta {
			name, own = "PNDM, Runge-Kutta", 4
			done = func(i int) bool { return i >= 12 || i%4 == 3 }
		}
		method := func(r reading) sampler.Method { return sampler.PNDM{Reading: r, RungeKutta: rungeKutta} }
		onPlain := func(n int) []sampler.Point { return called(n, rungeKutta, plainAt) }
		onStraight := func(n int) []sampler.Point { return called(n, rungeKutta, straightAt) }
		rows = append(rows,
			convergence{name: name, order: 2, points: onPlain, method: method, predictions: all[:1], done: done},
			convergence{name: name + " of velocities", order: 1, points: onPlain, method: method, predictions: all[1:2], done: done},
			convergence{name: name + " over even sigmas", order: own, points: onStraight, method: method, predictions: all[:1], done: done})
	}
	return rows
}

// error returns how far a run of n steps is from the flow.
func (c convergence) error(t *testing.T, n int, k sampler.Prediction) float64 {
	points := c.points(n)
	x, start := tensor.Make(1, 4, 4, 3), tensor.Make(1, 4, 4, 3)
	sampler.Noise(x, 1)
	tensor.Copy(start, x)
	worst := 0.0
	for step, err := range sampler.Steps(context.Background(), gaussian(k), x, points, c.method(sampler.Reading{Prediction: k})) {
		if err != nil {
			t.Fatal(err)
		}
		if c.late && step.Index < step.Count/2 || c.done != nil && !c.done(step.Index) {
			continue
		}
		square := 0.0
		for i, v := range start.Data {
			d := float64(step.X.Data[i]) - flow(float64(v), points[0], step.To)
			square += d * d
		}
		worst = max(worst, math.Sqrt(square/float64(len(start.Data))))
	}
	return worst
}

// tolerance is how far a slope may be off: always less than halfway to another order. Slopes approach
// the order with n, and rounding leaves few and small n to the fifth order, and to errors of order 3
// below those of order 4 that are larger at first.
func (c convergence) tolerance() float64 {
	if c.order > 4 || c.late {
		return 0.45
	}
	return 0.3
}

// slope returns that of the line through the logarithms of points, by least squares.
func slope(x, y []float64) float64 {
	var n, sx, sy, sxx, sxy float64
	for i := range x {
		a, b := math.Log(x[i]), math.Log(y[i])
		n, sx, sy, sxx, sxy = n+1, sx+a, sy+b, sxx+a*a, sxy+a*b
	}
	return (n*sxy - sx*sy) / (n*sxx - sx*sx)
}

// at returns the point where the noise is sigma times as strong as the sample.
func at(t, sigma float64) sampler.Point {
	alpha := 1 / math.Sqrt(1+sigma*sigma)
	return sampler.Point{T: t, Alpha: alpha, Sigma: sigma * alpha}
}

// plain returns n steps whose log sigma is evenly spaced from 1 to 1/10: the sample is decided upon
// from the first step on, so that the error of this one is as large as those of the others.
func plain(n int) []sampler.Point {
	points := make([]sampler.Point, n+1)
	for i := range points {
		points[i] = plainAt(2*(n-i), n)
	}
	return points
}

// plainAt returns the point of plain(n) at time t, of which a step takes 2.
func plainAt(t, n int) sampler.Point {
	return at(float64(t), math.Pow(10, float64(t)/float64(2*n)-1))
}

// eased returns n steps whose log sigma is evenly spaced from 3 to 1/10, of which the first is cut in
// 13: one of h/4096, and then none more than twice as long as the one before. Ratios of lengths
// that are far from 1 would have the differences of what the model says lost in rounding.
func eased(n int) []sampler.Point {
	const cuts = 12
	var points []sampler.Point
	for i := -cuts; i <= n; i++ {
		gone := float64(i) // steps of the full length
		switch {
		case i == -cuts:
			gone = 0
		case i <= 0:
			gone = math.Exp2(float64(i - 1))
		}
		points = append(points, at(float64(n)-gone, 3*math.Pow(1./30, gone/float64(n))))
	}
	return points
}

// straightAt returns the point at time t of n steps, of which a step takes 2, whose sigma is evenly
// spaced from 1/2 to 1/50.
func straightAt(t, n int) sampler.Point {
	return at(float64(t), 0.02+0.48*float64(t)/float64(2*n))
}

// called returns n steps as PNDM wants them.
func called(n int, rungeKutta bool, level func(t, n int) sampler.Point) []sampler.Point {
	points := make([]sampler.Point, n+1)
	for i := range points {
		points[i] = level(2*(n-i), n)
	}
	all, err := sampler.PNDMPoints(points, rungeKutta, 2, func(t int) sampler.Point { return level(t, n) })
	if err != nil {
		panic(err)
	}
	return all
}
