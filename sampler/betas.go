package sampler

import (
	"math"

	"github.com/lanewise/lanewise/internal/portable"
)

// LinearBetas returns n values evenly spaced from start to end ("linear": Ho et al., 2020).
func LinearBetas(n int, start, end float64) []float64 {
	betas := make([]float64, n)
	for t := range betas {
		betas[t] = between(start, end, t, n)
	}
	return betas
}

// ScaledLinearBetas returns n values whose square roots are evenly spaced ("scaled_linear": latent
// diffusion).
func ScaledLinearBetas(n int, start, end float64) []float64 {
	betas := make([]float64, n)
	for t := range betas {
		root := between(math.Sqrt(start), math.Sqrt(end), t, n)
		betas[t] = root * root
	}
	return betas
}

// SigmoidBetas returns n values that rise from about start to about end like the logistic function
// between -6 and 6 ("sigmoid": GeoDiff, Xu et al., 2022).
func SigmoidBetas(n int, start, end float64) []float64 {
	betas := make([]float64, n)
	for t := range betas {
		betas[t] = start + float64((end-start)/(1+portable.Exp(-between(-6, 6, t, n))))
	}
	return betas
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
