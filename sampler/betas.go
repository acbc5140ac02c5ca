package sampler

import (
	"math"

	"github.com/lanewise/lanewise/internal/portable"
)

// Betas are computed in float32 where diffusers does so, since models are trained at what comes of
// it: the levels at the noisy end, in particular of zero-terminal schedules, tell the difference.

// LinearBetas returns n values evenly spaced from start to end ("linear": Ho et al., 2020).
func LinearBetas(n int, start, end float64) []float64 {
	return widen(spaced(n, start, end))
}

// ScaledLinearBetas returns n values whose square roots are evenly spaced ("scaled_linear": latent
// diffusion).
func ScaledLinearBetas(n int, start, end float64) []float64 {
	betas := spaced(n, math.Sqrt(start), math.Sqrt(end))
	for t, root := range betas {
		betas[t] = root * root
	}
	return widen(betas)
}

// SigmoidBetas returns n values that rise from about start to about end like the logistic function
// between -6 and 6 ("sigmoid": GeoDiff, Xu et al., 2022).
func SigmoidBetas(n int, start, end float64) []float64 {
	betas := spaced(n, -6, 6)
	for t, x := range betas {
		logistic := 1 / float32(1+float32(portable.Exp(-float64(x))))
		betas[t] = float32(logistic*float32(end-start)) + float32(start)
	}
	return widen(betas)
}

// spaced returns n values evenly spaced from start to end, with the bits of torch.linspace on a CPU
// with AVX2: blocks of eight values, each from its first, and that from the nearer end.
func spaced(n int, start, end float64) []float32 {
	const block = 8
	first, last := float32(start), float32(end)
	step := float32(last-first) / float32(max(n-1, 1))
	// after returns x + k·step, rounded once.
	after := func(x float32, k int) float32 { return float32(float64(x) + float64(float64(step)*float64(k))) }
	from := func(i int) float32 {
		if i < n/2 {
			return after(first, i)
		}
		return after(last, i-(n-1))
	}
	values := make([]float32, n)
	for i := range values {
		if whole := i - i%block; whole+block <= n {
			values[i] = after(from(whole), i%block)
		} else {
			values[i] = from(i)
		}
	}
	return values
}

// widen returns values as float64.
func widen(values []float32) []float64 {
	wide := make([]float64, len(values))
	for i, v := range values {
		wide[i] = float64(v)
	}
	return wide
}

// CosineBetas returns n values, at most 0.999, that make ᾱ fall like cos² ("squaredcos_cap_v2":
// Nichol and Dhariwal, 2021).
func CosineBetas(n int) []float64 {
	return betasOf(n, func(t float64) float64 {
		root := portable.Cos((t + 0.008) / 1.008 * (math.Pi / 2))
		return root * root
	})
}

// ExponentialBetas returns n values, at most 0.999, that make ᾱ fall like e^(-12·t) for t from 0 to
// 1 ("exp").
func ExponentialBetas(n int) []float64 {
	return betasOf(n, func(t float64) float64 { return portable.Exp(-12 * t) })
}

// betasOf returns n values, at most 0.999, that make ᾱ fall like a function of time from 0 to 1.
func betasOf(n int, level func(t float64) float64) []float64 {
	betas := make([]float64, n)
	for t := range betas {
		betas[t] = min(1-level(float64(t+1)/float64(n))/level(float64(t)/float64(n)), 0.999)
	}
	return betas
}
