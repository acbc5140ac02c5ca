package sampler

import (
	"fmt"
	"math"

	"github.com/lanewise/lanewise/internal/portable"
)

// A Schedule spreads a number of steps over the levels that a model was trained at.
type Schedule struct {
	Levels  Levels  // of the training steps
	Spacing Spacing // how their times are chosen
	Offset  int     // added to the times of Leading

	// FinalNoise lets the last step end at the level of the first training step, which has a
	// little noise, instead of at none.
	FinalNoise bool

	// Fractional keeps the times of Linspace as they fall, with sigma interpolated, instead of
	// rounding them to training steps; it goes with methods of "sigma space".
	Fractional bool

	// Karras replaces the points by as many between the first and the last, evenly spaced in
	// sigma^(1/7) (Karras et al., 2022). MinSigma and MaxSigma, unless 0, replace the ends.
	Karras             bool
	MinSigma, MaxSigma float64
}

// Spacing is how n times are chosen of N training steps (table 2 of Lin et al., 2024).
type Spacing uint8

const (
	Leading  Spacing = iota // multiples of N/n, rounded down, from 0: the last training step is left out
	Linspace                // evenly from N-1 to 0
	Trailing                // back from N-1 in steps of N/n: the first training steps are left out
)

// spacings are the names that diffusers gives them.
var spacings = [...]string{Leading: "leading", Linspace: "linspace", Trailing: "trailing"}

// String returns diffusers' name.
func (s Spacing) String() string {
	if int(s) < len(spacings) {
		return spacings[s]
	}
	return fmt.Sprintf("Spacing(%d)", uint8(s))
}

// Points returns n points from the most noise to the least, and after them the final one.
func (s *Schedule) Points(n int) ([]Point, error) {
	train := len(s.Levels)
	if train < 2 {
		return nil, fmt.Errorf("sampler: a schedule of %d levels", train)
	}
	if n < 1 || n > train {
		return nil, fmt.Errorf("sampler: %d steps, want 1 to %d", n, train)
	}
	points := make([]Point, n, n+1)
	for i := range points {
		t := s.time(i, n)
		switch {
		case t < 0 || t > float64(train-1):
			return nil, fmt.Errorf("sampler: step %d of %d is at time %g of %d training steps (%v spacing, offset %d)",
				i+1, n, t, train, s.Spacing, s.Offset)
		case t == math.Trunc(t):
			points[i] = s.Levels.At(int(t))
		default:
			points[i] = atSigma(t, s.Levels.sigmaBetween(t))
		}
	}
	if s.Karras {
		if err := s.karras(points); err != nil {
			return nil, err
		}
	}
	return append(points, s.final()), nil
}

// time returns the i-th of n times, from the latest.
func (s *Schedule) time(i, n int) float64 {
	train := len(s.Levels)
	switch s.Spacing {
	case Leading:
		return float64((n-1-i)*(train/n) + s.Offset)
	case Trailing:
		// The stride is rounded as by numpy's arange, which decides where a time is halfway.
		first := float64(train)
		stride := first - (first - first/float64(n))
		return math.RoundToEven(first-float64(float64(i)*stride)) - 1
	}
	t := between(0, float64(train-1), n-1-i, n)
	if !s.Fractional {
		t = math.RoundToEven(t)
	}
	return t
}

// final returns the point at which the last step ends.
func (s *Schedule) final() Point {
	if s.FinalNoise {
		return s.Levels.At(0)
	}
	return Point{Alpha: 1}
}

// karras respaces the points between the first and the last.
func (s *Schedule) karras(points []Point) error {
	const rho = 7
	n := len(points)
	highest, lowest := s.MaxSigma, s.MinSigma
	if highest == 0 {
		highest = points[0].Sigma / points[0].Alpha
	}
	if lowest == 0 {
		lowest = points[n-1].Sigma / points[n-1].Alpha
	}
	if !(lowest > 0 && lowest <= highest && highest <= math.MaxFloat64) {
		return fmt.Errorf("sampler: Karras spacing from sigma %g to %g", highest, lowest)
	}
	a, b := portable.Exp(portable.Log(highest)/rho), portable.Exp(portable.Log(lowest)/rho)
	for i := range points {
		sigma := portable.Exp(float64(rho * portable.Log(between(a, b, i, n))))
		points[i] = atSigma(s.Levels.timeOf(sigma), sigma)
	}
	return nil
}

// back returns diffusers' rule of where a step of DDIM ends: N/n training steps before where it
// began, rounded down, or at the final point.
func (s *Schedule) back(n int) func(from Point) Point {
	stride := len(s.Levels) / n
	return func(from Point) Point {
		if t := int(from.T) - stride; t >= 0 {
			return s.Levels.At(t)
		}
		return s.final()
	}
}

// chained says whether by that rule each of n steps ends where the next begins.
func (s *Schedule) chained(n int) bool {
	stride := float64(len(s.Levels) / n)
	for i := range n - 1 {
		if s.time(i, n)-stride != s.time(i+1, n) {
			return false
		}
	}
	return s.time(n-1, n)-stride < 0
}
