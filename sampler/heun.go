package sampler

import (
	"context"

	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/tensor"
)

// Heun follows the probability flow in steps of the second order ("Elucidating the design space of
// diffusion-based generative models", Karras et al., 2022, algorithm 1). With y = x/Alpha and
// σ = Sigma/Alpha, a step asks the model twice:
//
//	d  = (y - x0(y, σ))/σ
//	ŷ  = y + (σ'-σ)·d
//	d' = (ŷ - x0(ŷ, σ'))/σ'
//	y' = y + (σ'-σ)·(d+d')/2
//
// and one that ends without noise is ŷ: n steps to there take 2n-1 calls of the model. The estimate
// of the clean sample that a step goes by is that of the first.
type Heun struct{ Reading }

// Start implements Method.
func (h Heun) Start(p Predictor, x tensor.NHWC, points []Point) (StepFunc, error) {
	m, err := h.startFinite("Heun", p, x, points)
	last := points[len(points)-1]
	if err == nil && last.Sigma > 0 {
		_, err = h.Prediction.at(last)
	}
	if err != nil {
		return nil, err
	}
	end, x0End := like(x), like(x)
	return func(ctx context.Context, x, x0 tensor.NHWC, i int) error {
		from, to := points[i], points[i+1]
		if err := m.ask(ctx, x, from); err != nil {
			return err
		}
		m.sample(x0, x, m.at(from))
		kept := to.ratio() / from.ratio() // of y-x0
		sum(end, part{to.Alpha * kept / from.Alpha, x}, part{to.Alpha * (1 - kept), x0})
		if to.Sigma == 0 {
			set(x, end)
			return nil
		}
		if err := m.ask(ctx, end, to); err != nil {
			return err
		}
		m.sample(x0End, end, m.at(to))
		// y' with half of each slope: (σ'-σ)/σ = kept-1 and (σ'-σ)/σ' = 1-1/kept.
		first, second := (kept-1)/2, (1-1/kept)/2
		sum(x, part{to.Alpha * (1 + first) / from.Alpha, x}, part{-to.Alpha * first, x0},
			part{second, end}, part{-to.Alpha * second, x0End})
		return nil
	}, nil
}

// readHeun reads what is HeunDiscreteScheduler's own.
func readHeun(c *config.Config, _ *Schedule) planner {
	h := Heun{Reading{Prediction: readPrediction(c), Clip: readClip(c, false)}}
	return func(_ *Schedule, points []Point, _ bool) (Method, []Point, error) { return h, points, nil }
}
