package sampler

import (
	"context"
	"fmt"

	"github.com/lanewise/lanewise/tensor"
)

// A Prediction is what a model was trained to say of x = Alpha·x0 + Sigma·ε.
type Prediction uint8

const (
	Epsilon  Prediction = iota // the noise ε
	Velocity                   // v = Alpha·ε - Sigma·x0 (Salimans and Ho, 2022)
	Sample                     // x0
)

// predictions are the names that diffusers gives them.
var predictions = [...]string{Epsilon: "epsilon", Velocity: "v_prediction", Sample: "sample"}

// String returns diffusers' name.
func (k Prediction) String() string {
	if int(k) < len(predictions) {
		return predictions[k]
	}
	return fmt.Sprintf("Prediction(%d)", uint8(k))
}

// A Reading is how a method reads what a model says. The zero value is for a model that predicts
// the noise, and takes the sample that follows from it as it is.
type Reading struct {
	Prediction Prediction

	// Clip, unless it is 0, bounds the estimate of x0 to ±Clip.
	Clip float64

	// Threshold, unless its Quantile is 0, bounds the estimate of x0 by what is in it; Clip is
	// then of no effect.
	Threshold Threshold

	// SaysVariance is for a model that predicts the variance of a step of DDPM too: its output has
	// twice x's channels, of which the second half is that. Only DDPM looks at it.
	SaysVariance bool
}

// A model is a predictor with what a method reads out of its last answer.
type model struct {
	Reading
	predict    Predictor
	answer     tensor.NHWC // all of it
	said       tensor.NHWC // what is said of x: as many channels as x has
	magnitudes []float32   // of an image, for Threshold
}

// start returns a predictor to be read at all points but the last, where no method asks.
func (r Reading) start(p Predictor, x tensor.NHWC, points []Point) (*model, error) {
	m := &model{Reading: r, predict: p}
	if !(r.Clip >= 0) {
		return nil, fmt.Errorf("sampler: x0 is clipped to ±%g", r.Clip)
	}
	if err := r.Threshold.validate(); err != nil {
		return nil, err
	}
	for _, q := range points[:len(points)-1] {
		if _, err := r.Prediction.at(q); err != nil {
			return nil, err
		}
	}
	channels := x.C
	if r.SaysVariance {
		channels *= 2
	}
	m.answer = tensor.Make(x.N, x.H, x.W, channels)
	m.said = m.answer.Channels(0, x.C)
	if r.Threshold.Quantile > 0 {
		m.magnitudes = make([]float32, x.H*x.W*x.C)
	}
	return m, nil
}

// startFinite is start for a method that goes by sigma, for which a first point without anything of
// the sample, where sigma is infinite, is an error.
func (r Reading) startFinite(method string, p Predictor, x tensor.NHWC, points []Point) (*model, error) {
	m, err := r.start(p, x, points)
	if err == nil && points[0].Alpha == 0 {
		err = fmt.Errorf("sampler: %s cannot begin where there is nothing but noise (t = %g): sigma is infinite", method, points[0].T)
	}
	return m, err
}

// sameLevel is how far apart two points may be in log sigma, by the rounding of tables to float32, and
// still be at one level. Training steps are a thousand times as far apart and more.
const sameLevel = 1e-6

// falling returns an error if a point has more noise than the one before, for methods that add
// noise on the way.
func falling(method string, points []Point) error {
	for i := range points[1:] {
		if a, b := points[i].ratio(), points[i+1].ratio(); b > a*(1+sameLevel) {
			return fmt.Errorf("sampler: %s goes from sigma %g up to %g at point %d", method, a, b, i+1)
		}
	}
	return nil
}

// ask has the model say what it does of x, which is at level p.
func (m *model) ask(ctx context.Context, x tensor.NHWC, p Point) error {
	return m.predict(ctx, m.answer, x, p)
}

// at returns what an answer at a level means. The levels were looked at by start.
func (m *model) at(p Point) meaning {
	what, _ := m.Prediction.at(p)
	return what
}

// sample sets x0 to the estimate that follows from the answer about x, bounded.
func (m *model) sample(x0, x tensor.NHWC, what meaning) {
	sum(x0, part{what.x0x, x}, part{what.x0m, m.said})
	switch {
	case m.Threshold.Quantile > 0:
		m.Threshold.bound(x0, m.magnitudes)
	case m.Clip > 0:
		clip(x0, m.Clip)
	}
}

// noise sets e to the estimate of ε at level p that goes with x0, which sample made of the same
// answer: what the model says, unless x0 is bounded, and then what it leaves of x.
func (m *model) noise(e, x, x0 tensor.NHWC, p Point) {
	if m.Clip == 0 && m.Threshold.Quantile == 0 {
		what := m.at(p)
		sum(e, part{what.ex, x}, part{what.em, m.said})
		return
	}
	sum(e, part{1 / p.Sigma, x}, part{-p.Alpha / p.Sigma, x0})
}

// clip bounds x to ±limit.
func clip(x tensor.NHWC, limit float64) {
	bound := float32(limit)
	for r, m := 0, x.Tokens(); r < m.Rows; r++ {
		row := m.Row(r)
		for c, v := range row {
			row[c] = min(max(v, -bound), bound)
		}
	}
}

// A meaning says what x and the model's answer m about it say at one level:
//
//	x0 = x0x·x + x0m·m,  ε = ex·x + em·m
type meaning struct{ x0x, x0m, ex, em float64 }

// at returns the meaning of an answer at a level where Sigma is not 0.
func (k Prediction) at(p Point) (meaning, error) {
	switch {
	case k == Epsilon && p.Alpha == 0:
		return meaning{}, fmt.Errorf("sampler: where there is nothing but noise (t = %g) a model that predicts the noise says nothing; "+
			"such a schedule needs %v or %v", p.T, Velocity, Sample)
	case k == Epsilon:
		return meaning{x0x: 1 / p.Alpha, x0m: -p.Sigma / p.Alpha, em: 1}, nil
	case k == Velocity:
		return meaning{x0x: p.Alpha, x0m: -p.Sigma, ex: p.Sigma, em: p.Alpha}, nil
	case k == Sample:
		return meaning{x0m: 1, ex: 1 / p.Sigma, em: -p.Alpha / p.Sigma}, nil
	}
	return meaning{}, fmt.Errorf("sampler: unknown %v", k)
}
