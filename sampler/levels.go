package sampler

import (
	"math"

	"github.com/lanewise/lanewise/internal/portable"
)

// Levels are the noise levels that a model was trained at: after training step t, a sample's share
// of the variance is Levels[t], falling from almost 1 to almost 0. They are called ᾱ, or
// alphas_cumprod: Alpha² of a Point.
type Levels []float64

// NewLevels returns the levels of noise that is added in steps of variance beta:
// ᾱ[t] = (1-β[0])·…·(1-β[t]). β, 1-β and ᾱ are rounded to float32, as where models are trained:
// that is felt at both ends, in what is left of the noise and of the sample.
func NewLevels(betas []float64) Levels {
	l := make(Levels, len(betas))
	product := 1.0
	for t, beta := range betas {
		product *= float64(1 - float32(beta))
		l[t] = float64(float32(product))
	}
	return l
}

// ZeroTerminal returns the levels stretched so that nothing of the sample is left at the last one:
// √ᾱ is shifted to 0 there and scaled back to what it was at the first (Lin et al., 2024,
// algorithm 1). It is computed in float32, like all that makes levels: they are what models are
// trained at.
func (l Levels) ZeroTerminal() Levels {
	root := func(t int) float32 { return float32(math.Sqrt(l[t])) }
	first, last := root(0), root(len(l)-1)
	scale := first / (first - last)
	betas := make([]float64, len(l))
	before := float32(1) // the level before
	for t := range l {
		stretched := float32((root(t) - last) * scale)
		level := float32(stretched * stretched)
		betas[t] = float64(1 - float32(level/before))
		before = level
	}
	return NewLevels(betas)
}

// At returns the point of training step t.
func (l Levels) At(t int) Point {
	return Point{T: float64(t), Alpha: math.Sqrt(l[t]), Sigma: math.Sqrt(1 - l[t])}
}

// sigma returns √((1-ᾱ)/ᾱ) at training step t, computed in float32 as diffusers' tables are: with
// logSigma, that decides about times halfway between two training steps.
func (l Levels) sigma(t int) float64 {
	level := float32(l[t])
	return float64(float32(math.Sqrt(float64((1 - level) / level))))
}

// logSigma returns log sigma at training step t, in float32 too.
func (l Levels) logSigma(t int) float64 { return float64(float32(portable.Log(l.sigma(t)))) }

// sigmaBetween returns sigma at a time between two training steps, interpolated linearly.
func (l Levels) sigmaBetween(t float64) float64 {
	if t == math.Trunc(t) {
		return l.sigma(int(t))
	}
	i := min(int(t), len(l)-2)
	a, b := l.sigma(i), l.sigma(i+1)
	return a + float64((b-a)*(t-float64(i)))
}

// below returns how many training steps have log(Alpha/Sigma) below lambda: the last ones.
func (l Levels) below(lambda float64) int {
	n := 0
	for t := range l {
		if l.At(t).logRatio() < lambda {
			n++
		}
	}
	return n
}

// timeOf returns the time at which noise is sigma times as strong as the sample, by interpolation
// of log sigma, and no time outside of the levels. Where sigma is reached several times, as at the
// end of a zero-terminal schedule whose last level is not quite 0, it is the last.
func (l Levels) timeOf(sigma float64) float64 {
	low := len(l) - 1
	for low > 0 && l.sigma(low) > sigma {
		low--
	}
	if l.sigma(low) == sigma {
		return float64(low)
	}
	low = min(low, len(l)-2)
	a, b := l.logSigma(low), l.logSigma(low+1)
	if a == b {
		return float64(low) // levels that are all but 0 may be one after rounding
	}
	share := (portable.Log(sigma) - a) / (b - a)
	return float64(low) + min(max(share, 0), 1)
}

// between returns the i-th of n values evenly spaced from a to b, and a where there is one only.
func between(a, b float64, i, n int) float64 {
	switch {
	case i == 0:
		return a
	case i == n-1:
		return b
	}
	return a + float64(float64(i)*((b-a)/float64(n-1)))
}
