// Package sampler turns noise into a sample with a model that knows how to remove noise.
//
// A model was trained on samples x0 mixed with noise ε, at levels that a [Point] names:
//
//	x = Alpha·x0 + Sigma·ε
//
// A [Schedule] spreads points over the levels, from almost pure noise to none; a [Method] takes a
// sample from one to the next, asking a [Predictor] what it contains; and [Steps] is the loop.
// [ReadConfig] makes schedule and method from a scheduler_config.json of diffusers.
//
// Samples are always kept at the scale of the equation, which is what the model was trained on
// (Alpha² + Sigma² = 1). What diffusers keeps in "sigma space", scaled at every step for the
// model, is x/Alpha here.
//
// Everything is computed in float64 and rounded to float32 where it is stored, with the same bits
// on every machine.
package sampler

import (
	"context"
	"fmt"
	"iter"
	"math"

	"github.com/lanewise/lanewise/tensor"
)

// A Point is one noise level: x = Alpha·x0 + Sigma·ε there, and T is the time that the model is
// told, in training steps.
type Point struct{ T, Alpha, Sigma float64 }

// A Predictor writes to out what a model says of x, which is at level p: the noise, the sample, or
// a mixture (see Prediction). out has x's images, rows and columns, and x's channels unless the
// model says more than a method for any model asks. It does not overlap x, which must not change.
type Predictor func(ctx context.Context, out, x tensor.NHWC, p Point) error

// A Method takes samples from one point to the next. What the model's output means, and how the
// estimate of x0 is clipped, are its own fields, and so is a source of noise if it adds any.
type Method interface {
	// Start prepares a run over points, of which there are at least two, or the last of them, with
	// samples of x's shape. It allocates what the run needs. An error says which point, or which field of the method,
	// cannot be.
	Start(p Predictor, x tensor.NHWC, points []Point) (StepFunc, error)
}

// A StepFunc takes x in place from points[i] to points[i+1], and writes to x0, of the same shape,
// the estimate of the clean sample that it went by. i is that of the first step of the run, mostly
// 0, and rises by one. It may ask the predictor several times. On an error x is as it was.
type StepFunc func(ctx context.Context, x, x0 tensor.NHWC, i int) error

// A Step is one finished step of a run.
type Step struct {
	Index, Count int         // Index counts from 0 to Count-1
	From, To     Point       // the levels it began and ended at
	X            tensor.NHWC // the run's sample, now at To
	X0           tensor.NHWC // the estimate of the clean sample: a preview; the next step overwrites it
}

// Steps takes x, which is at points[0], to the last of points with a method, in place:
//
//	for step, err := range sampler.Steps(ctx, p, x, points, method) {
//		if err != nil {
//			return err
//		}
//		progress(step.Index+1, step.Count)
//	}
//
// Leaving the loop ends the run. After an error, which names the step, there are no more steps, and
// x is what the step before left. ctx is looked at between steps, and in the predictor. A prediction
// that is not finite is an error.
//
// Memory is allocated before the first step, none by later ones.
func Steps(ctx context.Context, p Predictor, x tensor.NHWC, points []Point, m Method) iter.Seq2[Step, error] {
	return StepsFrom(ctx, p, x, points, 0, m)
}

// StepsFrom is Steps from x at points[first], as image to image begins: x is made by AddNoise of a
// clean sample there. Points before are those that a run from the start has.
func StepsFrom(ctx context.Context, p Predictor, x tensor.NHWC, points []Point, first int, m Method) iter.Seq2[Step, error] {
	x.Check("sampler: x")
	return func(yield func(Step, error) bool) {
		step := Step{Count: len(points) - 1 - first, X: x}
		if step.Count <= 0 {
			return
		}
		if first < 0 {
			yield(step, fmt.Errorf("sampler: a run from step %d", first))
			return
		}
		run, err := start(p, x, points, m)
		if err != nil {
			yield(step, err)
			return
		}
		step.X0 = like(x)
		for i := range step.Count {
			step.Index, step.From, step.To = i, points[first+i], points[first+i+1]
			if err = ctx.Err(); err == nil {
				err = run(ctx, x, step.X0, first+i)
			}
			if err != nil {
				err = fmt.Errorf("sampler: step %d of %d (t = %g): %w", i+1, step.Count, step.From.T, err)
			}
			if !yield(step, err) || err != nil {
				return
			}
		}
	}
}

// start begins a run with a predictor whose every prediction is checked.
func start(p Predictor, x tensor.NHWC, points []Point, m Method) (StepFunc, error) {
	for i, q := range points {
		noisy, bounded := q.Sigma > 0 || i == len(points)-1, !math.IsInf(q.Alpha+q.Sigma, 1)
		if !(q.Alpha >= 0 && q.Sigma >= 0 && bounded && noisy) || q.Alpha == 0 && i > 0 {
			return nil, fmt.Errorf("sampler: point %d of %d has alpha %g and sigma %g", i, len(points), q.Alpha, q.Sigma)
		}
	}
	checked := func(ctx context.Context, out, x tensor.NHWC, q Point) error {
		if err := p(ctx, out, x, q); err != nil {
			return err
		}
		return finite(out)
	}
	return m.Start(checked, x, points)
}

// finite returns an error that names the first value of t that is NaN or infinite.
func finite(t tensor.NHWC) error {
	m := t.Tokens()
	for r := range m.Rows {
		for c, v := range m.Row(r) {
			if v-v != 0 {
				return fmt.Errorf("the model returned %v in image %d, row %d, column %d, channel %d",
					v, r/(t.H*t.W), r/t.W%t.H, r%t.W, c)
			}
		}
	}
	return nil
}

// AddNoise sets dst to x0 with noise, at level p: Alpha·x0 + Sigma·noise. All have one shape; dst
// may be either of the others.
func AddNoise(dst, x0, noise tensor.NHWC, p Point) {
	if !dst.SameShape(x0) || !dst.SameShape(noise) {
		panic(fmt.Sprintf("sampler: %s with noise %s into %s", x0.Shape(), noise.Shape(), dst.Shape()))
	}
	d, s, z := dst.Tokens(), x0.Tokens(), noise.Tokens()
	for r := range d.Rows {
		out, s, z := d.Row(r), s.Row(r), z.Row(r)
		for c := range out {
			out[c] = float32(float64(p.Alpha*float64(s[c])) + float64(p.Sigma*float64(z[c])))
		}
	}
}

// ratio returns Sigma/Alpha: the sigma of Karras et al.
func (p Point) ratio() float64 { return p.Sigma / p.Alpha }

// atSigma returns the level where the noise is sigma times as strong as the sample.
func atSigma(t, sigma float64) Point {
	alpha := 1 / math.Sqrt(1+float64(sigma*sigma))
	return Point{T: t, Alpha: alpha, Sigma: float64(sigma * alpha)}
}
