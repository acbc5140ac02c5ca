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

	// Clipped is how many of the last training steps are left out, from the noisiest on: the steps
	// begin below. SkipLast has one more time chosen by Leading and Linspace, and the last left out.
	Clipped  int
	SkipLast bool

	// FinalNoise lets the last step end at the level of the first training step, which has a
	// little noise, instead of at none.
	FinalNoise bool

	// Fractional keeps the times of Linspace as they fall, with sigma interpolated, instead of
	// rounding them to training steps; it goes with methods of "sigma space". The times of Sigmas,
	// too, are rounded unless it is set.
	Fractional bool

	// Sigmas spreads the points, but for the final one, anew: between the sigmas of the first and
	// the last, or with FullRange those of the last and the first training step. MinSigma and
	// MaxSigma, unless 0, replace the ends, but for Lu and LogLinear, which are of the whole range.
	Sigmas             Sigmas
	FullRange          bool
	MinSigma, MaxSigma float64

	// LogTimes has the model told ¼·log sigma as the time (EDM's continuous times).
	LogTimes bool

	// Distilled, if not 0, is the number of steps that a consistency model was distilled at: times
	// are chosen among those of as many steps, evenly from the last, and Spacing is of no effect.
	// Strength, if not 0, is the share of them, from the first, that is chosen among: image to
	// image begins there.
	Distilled int
	Strength  float64
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
//
// With Clipped levels and Trailing spacing there may be fewer: those of n that are left.
func (s *Schedule) Points(n int) ([]Point, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	if train := len(s.Levels); n < 1 || n > train {
		return nil, fmt.Errorf("sampler: %d steps, want 1 to %d", n, train)
	}
	times, err := s.times(n)
	if err != nil {
		return nil, err
	}
	return s.points(times)
}

// PointsAt returns points at falling times, and after them the final one. Sigmas must be AsSpaced, or
// LogLinear, which leaves times as they are.
func (s *Schedule) PointsAt(times []float64) ([]Point, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	switch {
	case s.Sigmas != AsSpaced && s.Sigmas != LogLinear:
		return nil, fmt.Errorf("sampler: given times with sigmas spread as %v", s.Sigmas)
	case s.LogTimes:
		return nil, fmt.Errorf("sampler: given times, and a model that is told the logarithm of sigma")
	case len(times) == 0:
		return nil, fmt.Errorf("sampler: no times")
	}
	for i, t := range times {
		if i > 0 && t >= times[i-1] {
			return nil, fmt.Errorf("sampler: time %g after %g, want falling times", t, times[i-1])
		}
		if t != math.Trunc(t) && !s.Fractional {
			return nil, fmt.Errorf("sampler: time %g, want a training step", t)
		}
	}
	return s.points(times)
}

// PointsOf returns points of falling sigmas, the last of which is the final one and may be 0. The
// times are those that go with them.
func (s *Schedule) PointsOf(sigmas []float64) ([]Point, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	if len(sigmas) < 2 {
		return nil, fmt.Errorf("sampler: %d sigmas, want at least 2: where a step begins and where it ends", len(sigmas))
	}
	points := make([]Point, len(sigmas))
	for i, sigma := range sigmas {
		last := i == len(sigmas)-1
		if !isSigma(sigma) && !(sigma == 0 && last) || i > 0 && sigma >= sigmas[i-1] {
			return nil, fmt.Errorf("sampler: sigma %g is the %d. of %d, want falling ones from 2⁶⁴ to 2⁻⁶⁴, of which the last may be 0", sigma, i+1, len(sigmas))
		}
		if last && sigma == 0 {
			points[i] = Point{Alpha: 1}
			break
		}
		t := s.Levels.timeOf(sigma)
		if !s.Fractional {
			t = math.RoundToEven(t)
		}
		points[i] = atSigma(t, sigma)
	}
	s.tellLogs(points[:len(points)-1])
	return points, nil
}

// validate returns an error for what no schedule can be.
func (s *Schedule) validate() error {
	if train := len(s.Levels); train < 2 || s.Clipped < 0 || s.Clipped > train-2 {
		return fmt.Errorf("sampler: a schedule of %d levels, of which %d are left out", train, s.Clipped)
	}
	return nil
}

// points returns the points at times, and the final one.
func (s *Schedule) points(times []float64) ([]Point, error) {
	train := len(s.Levels)
	points := make([]Point, len(times), len(times)+2)
	for i, t := range times {
		switch {
		case !(t >= 0 && t <= float64(train-1)):
			return nil, fmt.Errorf("sampler: step %d of %d is at time %g of %d training steps (%v spacing, offset %d)",
				i+1, len(times), t, train, s.Spacing, s.Offset)
		case t == math.Trunc(t):
			points[i] = s.Levels.At(int(t))
		default:
			sigma := s.Levels.sigmaBetween(t)
			if !(sigma <= math.MaxFloat64) {
				return nil, fmt.Errorf("sampler: step %d of %d is at time %g, just before there is nothing but noise and sigma is infinite", i+1, len(times), t)
			}
			points[i] = atSigma(t, sigma)
		}
	}
	if s.Sigmas != AsSpaced {
		if err := s.respread(points); err != nil {
			return nil, err
		}
	}
	if s.LogTimes && points[0].Alpha == 0 {
		return nil, fmt.Errorf("sampler: a model that is told the logarithm of sigma, and a first step from nothing but noise, where sigma is infinite")
	}
	if s.Sigmas == LogLinear {
		points = append(points, s.Levels.At(0))
		if !s.LogTimes {
			return points, nil
		}
		// Each sigma has a time here, also the last: one step more.
	}
	s.tellLogs(points)
	return append(points, s.final()), nil
}

// tellLogs replaces the times if the model is to be told the logarithm of sigma.
func (s *Schedule) tellLogs(points []Point) {
	for i := range points {
		if s.LogTimes {
			points[i].T = portable.Log(points[i].ratio()) / 4
		}
	}
}

// times returns the times of n steps, from the latest.
func (s *Schedule) times(n int) ([]float64, error) {
	if s.Distilled > 0 {
		return s.distilled(n)
	}
	if most := len(s.Levels) - s.Clipped; s.Spacing == Leading && s.chosen(n) > most {
		return nil, fmt.Errorf("sampler: %d steps with %v spacing, want 1 to %d: times would be no training step apart", n, s.Spacing, n-s.chosen(n)+most)
	}
	var times []float64
	for i := range n {
		t := s.time(i, n)
		if s.Clipped > 0 && s.Spacing == Trailing && t < 0 {
			if s.Sigmas == AsSpaced {
				break
			}
			t = 0 // its sigma, and with it its time, is to be another
		}
		times = append(times, t)
	}
	return times, nil
}

// time returns the i-th of n times, from the latest.
func (s *Schedule) time(i, n int) float64 {
	first := len(s.Levels) - s.Clipped
	chosen := s.chosen(n)
	switch s.Spacing {
	case Leading:
		return float64((chosen-1-i)*(first/chosen) + s.Offset)
	case Trailing:
		// The stride is rounded as by numpy's arange, which decides where a time is halfway.
		first := float64(first)
		stride := first - (first - float64(len(s.Levels))/float64(n))
		return math.RoundToEven(first-float64(float64(i)*stride)) - 1
	}
	t := between(0, float64(first-1), chosen-1-i, chosen)
	if !s.Fractional {
		t = math.RoundToEven(t)
	}
	return t
}

// chosen returns how many times are chosen for n.
func (s *Schedule) chosen(n int) int {
	if s.SkipLast {
		return n + 1
	}
	return n
}

// distilled returns n times of those that a consistency model was distilled at.
func (s *Schedule) distilled(n int) ([]float64, error) {
	train := len(s.Levels)
	strength := s.Strength
	if strength == 0 {
		strength = 1
	}
	if s.Distilled > train || !(strength > 0 && strength <= 1) {
		return nil, fmt.Errorf("sampler: strength %g of %d steps of distillation, want a share of at most %d", strength, s.Distilled, train)
	}
	grid := int(float64(s.Distilled) * strength)
	if n > grid {
		return nil, fmt.Errorf("sampler: %d steps, want 1 to %d: strength %g of the %d that the model was distilled at", n, grid, strength, s.Distilled)
	}
	times := make([]float64, n)
	for i := range times {
		skipped := int(float64(i) * (float64(grid) / float64(n)))
		times[i] = float64((grid-skipped)*(train/s.Distilled) - 1)
	}
	return times, nil
}

// level returns the point of a training step: the final one before the first, the last beyond it.
func (s *Schedule) level(t int) Point {
	if t < 0 {
		return s.final()
	}
	return s.Levels.At(min(t, len(s.Levels)-1))
}

// final returns the point at which the last step ends.
func (s *Schedule) final() Point {
	if s.FinalNoise {
		return s.Levels.At(0)
	}
	return Point{Alpha: 1}
}

// back returns diffusers' rule of where a step of DDIM or DDPM ends: N/n training steps before
// where it began, rounded down, or at the final point. It is nil where each step ends where the
// next begins anyway.
func (s *Schedule) back(points []Point) func(from Point) Point {
	n := len(points) - 1
	stride := len(s.Levels) / n
	next := func(from Point) Point { return s.level(int(from.T) - stride) }
	for i, p := range points[:n] {
		if next(p) != points[i+1] {
			return next
		}
	}
	return nil
}
