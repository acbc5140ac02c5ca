package ref

import "math"

// Acts are the activation functions by the names that kernels.Act gives them, for every float64
// including infinities, relatively accurate where the result is near 0.
var Acts = map[string]func(float64) float64{
	"identity":   func(x float64) float64 { return x },
	"relu":       func(x float64) float64 { return max(x, 0) },
	"silu":       func(x float64) float64 { return times(x, Sigmoid(x)) },
	"quick_gelu": func(x float64) float64 { return times(x, Sigmoid(1.702*x)) },
	"gelu":       func(x float64) float64 { return times(x, math.Erfc(-x/math.Sqrt2)/2) },
	"gelu_tanh": func(x float64) float64 {
		u := math.Sqrt(2/math.Pi) * (x + 0.044715*x*x*x)
		return times(x, Sigmoid(2*u)) // ½(1 + tanh u) = σ(2u)
	},
	"sigmoid": Sigmoid,
	"tanh":    math.Tanh,
	"mish":    func(x float64) float64 { return times(x, math.Tanh(math.Log1p(math.Exp(x)))) },
	"exp":     math.Exp,
}

// Sigmoid is 1/(1 + e^−x).
func Sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// times is x·p with the limit 0 where p is 0 and x infinite.
func times(x, p float64) float64 {
	if p == 0 {
		return 0
	}
	return x * p
}
