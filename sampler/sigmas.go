package sampler

import (
	"fmt"
	"math"

	"github.com/lanewise/lanewise/internal/portable"
)

// Sigmas is how the sigmas of a schedule's points are spread, σ = Sigma/Alpha, if not by their
// times.
type Sigmas uint8

const (
	AsSpaced    Sigmas = iota // those of the times
	Karras                    // evenly in σ^(1/7) (Karras et al., 2022, equation 5)
	Exponential               // evenly in log σ
	Beta                      // by quantiles of the beta distribution with both parameters 0.6 (Lee et al., 2024, "Beta sampling is all you need")
	Lu                        // evenly in λ = -log σ (Lu et al., 2022, "DPM-Solver", section 3.4): Exponential over the whole range
	LogLinear                 // evenly in log σ over the whole range and to its end, where the last step ends; the times stay
)

// sigmas are our names of them.
var sigmas = [...]string{AsSpaced: "as spaced", Karras: "karras", Exponential: "exponential", Beta: "beta", Lu: "lu", LogLinear: "log-linear"}

// String returns our name.
func (s Sigmas) String() string {
	if int(s) < len(sigmas) {
		return sigmas[s]
	}
	return fmt.Sprintf("Sigmas(%d)", uint8(s))
}

// respread gives points, all but the final, other sigmas, and the times that go with them.
func (s *Schedule) respread(points []Point) error {
	if s.Sigmas > LogLinear {
		return fmt.Errorf("sampler: unknown %v", s.Sigmas)
	}
	n := len(points)
	highest, lowest := s.Levels.sigmaBetween(points[0].T), s.Levels.sigmaBetween(points[n-1].T)
	whole := s.Sigmas >= Lu
	if whole || s.FullRange {
		highest, lowest = s.Levels.sigma(len(s.Levels)-1), s.Levels.sigma(0)
	}
	if s.MaxSigma != 0 && !whole {
		highest = s.MaxSigma
	}
	if s.MinSigma != 0 && !whole {
		lowest = s.MinSigma
	}
	if !(lowest > 0 && lowest <= highest && highest <= math.MaxFloat64) {
		return fmt.Errorf("sampler: sigmas from %g to %g, spread as %v", highest, lowest, s.Sigmas)
	}
	for i := range points {
		sigma := s.Sigmas.at(highest, lowest, i, n)
		t := points[i].T
		if s.Sigmas != LogLinear {
			t = s.Levels.timeOf(sigma)
		}
		if !s.Fractional {
			t = math.RoundToEven(t)
		}
		points[i] = atSigma(t, sigma)
	}
	return nil
}

// at returns the i-th of n sigmas.
func (s Sigmas) at(highest, lowest float64, i, n int) float64 {
	if i == 0 {
		return highest // to the last bit, as for lowest: times are looked up by it
	}
	if i == n-1 && s != LogLinear {
		return lowest
	}
	switch s {
	case Karras:
		const rho = 7
		a, b := portable.Exp(portable.Log(highest)/rho), portable.Exp(portable.Log(lowest)/rho)
		return portable.Exp(float64(rho * portable.Log(between(a, b, i, n))))
	case Beta:
		return lowest + float64(betaQuantile(between(1, 0, i, n))*(highest-lowest))
	case LogLinear:
		n++
	}
	a, b := portable.Log(highest), portable.Log(lowest)
	if s >= Lu {
		a, b = float64(float32(a)), float64(float32(b)) // as in diffusers' table: see logSigma
	}
	return portable.Exp(between(a, b, i, n))
}

// isSigma says whether a number is taken for a sigma above 0: at most 2⁶⁴, and at least one by that.
// Beyond, float32 holds nothing of the sample or of the noise, and what is divided by it overflows.
func isSigma(sigma float64) bool { return sigma >= 0x1p-64 && sigma <= 0x1p64 }

// betaParameter is both parameters of the beta distribution.
const betaParameter = 0.6

// betaQuantile returns the x below which the share p of the distribution lies, by bisection.
func betaQuantile(p float64) float64 {
	switch {
	case p > 0.5:
		return 1 - betaQuantile(1-p) // it is symmetric
	case p <= 0:
		return 0
	}
	low, high := 0.0, 0.5
	for range 200 {
		middle := (low + high) / 2
		if middle == low || middle == high {
			break
		}
		if betaShare(middle) < p {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// betaShare returns the share of the distribution below x ≤ ½: with a = b = betaParameter,
//
//	x^a/B(a,b)·Σ (1-b)_k/k!·x^k/(a+k), k = 0, 1, 2, …
func betaShare(x float64) float64 {
	const a = betaParameter
	if x == 0 {
		return 0
	}
	total, factor := 0.0, 1.0
	for k := range 60 { // x^60 is below the last bit
		total += factor / (a + float64(k))
		factor *= (1 - a + float64(k)) / float64(k+1) * x
	}
	return total * portable.Exp(a*portable.Log(x)) / betaFunction
}

// betaFunction is B(0.6, 0.6) = Γ(0.6)²/Γ(1.2).
const betaFunction = 2.4153442080024714
