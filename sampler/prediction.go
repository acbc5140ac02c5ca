package sampler

import "fmt"

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

// A reading says what x and the model's output m mean at one level:
//
//	x0 = x0x·x + x0m·m,  ε = ex·x + em·m
type reading struct{ x0x, x0m, ex, em float64 }

// at returns the reading of a model's output at a level where Sigma is not 0.
func (k Prediction) at(p Point) (reading, error) {
	switch {
	case k == Epsilon && p.Alpha == 0:
		return reading{}, fmt.Errorf("sampler: where there is nothing but noise (t = %g) a model that predicts the noise says nothing; "+
			"such a schedule needs %v or %v", p.T, Velocity, Sample)
	case k == Epsilon:
		return reading{x0x: 1 / p.Alpha, x0m: -p.Sigma / p.Alpha, em: 1}, nil
	case k == Velocity:
		return reading{x0x: p.Alpha, x0m: -p.Sigma, ex: p.Sigma, em: p.Alpha}, nil
	case k == Sample:
		return reading{x0m: 1, ex: 1 / p.Sigma, em: -p.Alpha / p.Sigma}, nil
	}
	return reading{}, fmt.Errorf("sampler: unknown %v", k)
}

// all returns the readings at all points but the last, where no model is asked.
func (k Prediction) all(points []Point) ([]reading, error) {
	readings := make([]reading, len(points)-1)
	for i := range readings {
		var err error
		if readings[i], err = k.at(points[i]); err != nil {
			return nil, err
		}
	}
	return readings, nil
}

// sample returns the estimate of x0.
func (r reading) sample(x, m float64) float64 { return float64(r.x0x*x) + float64(r.x0m*m) }

// noise returns the estimate of ε.
func (r reading) noise(x, m float64) float64 { return float64(r.ex*x) + float64(r.em*m) }
