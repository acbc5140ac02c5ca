package ref

import "math"

// GroupNorm is PyTorch's group_norm over one image of pixels × channels in x, row by row, in
// groups of adjacent channels, then ·gamma + beta (nil: 1, 0), written to the result.
func GroupNorm(x []float64, channels, groups int, gamma, beta []float64, eps float64) []float64 {
	y := make([]float64, len(x))
	size := channels / groups
	for g := range groups {
		var values []float64
		for i, v := range x {
			if i%channels/size == g {
				values = append(values, v)
			}
		}
		mean, variance := Moments(values)
		rstd := 1 / math.Sqrt(variance+eps)
		for i, v := range x {
			if c := i % channels; c/size == g {
				y[i] = affine((v-mean)*rstd, c, gamma, beta)
			}
		}
	}
	return y
}

// LayerNorm is PyTorch's layer_norm of one row.
func LayerNorm(x, gamma, beta []float64, eps float64) []float64 {
	mean, variance := Moments(x)
	rstd := 1 / math.Sqrt(variance+eps)
	y := make([]float64, len(x))
	for c, v := range x {
		y[c] = affine((v-mean)*rstd, c, gamma, beta)
	}
	return y
}

// RMSNorm is PyTorch's rms_norm of one row, with a shift.
func RMSNorm(x, gamma, beta []float64, eps float64) []float64 {
	square := 0.0
	for _, v := range x {
		square += v * v
	}
	inverse := 1 / math.Sqrt(square/float64(len(x))+eps)
	y := make([]float64, len(x))
	for c, v := range x {
		y[c] = affine(v*inverse, c, gamma, beta)
	}
	return y
}

func affine(x float64, c int, gamma, beta []float64) float64 {
	if gamma != nil {
		x *= gamma[c]
	}
	if beta != nil {
		x += beta[c]
	}
	return x
}

// Moments returns the mean and the variance (over n, not n − 1) of x.
func Moments(x []float64) (mean, variance float64) {
	for _, v := range x {
		mean += v
	}
	mean /= float64(len(x))
	for _, v := range x {
		variance += (v - mean) * (v - mean)
	}
	return mean, variance / float64(len(x))
}
