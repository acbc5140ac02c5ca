package ref

import "math"

// Attend is softmax(scale·q·kᵀ + mask)·v for heads that lie side by side in rows of width values: q is
// queries × width, k and v keys × width, mask has a value for each key or is nil.
func Attend(q, k, v, mask []float64, width, heads int, scale float64) []float64 {
	size, keys := width/heads, len(k)/width
	out := make([]float64, len(q))
	for h := 0; h < width; h += size {
		for i := h; i < len(q); i += width {
			scores, sum := make([]float64, keys), 0.0
			for j := range scores {
				for c := range size {
					scores[j] += scale * q[i+c] * k[j*width+h+c]
				}
				if mask != nil {
					scores[j] += mask[j]
				}
				scores[j] = math.Exp(scores[j])
				sum += scores[j]
			}
			for j, s := range scores {
				for c := range size {
					out[i+c] += s / sum * v[j*width+h+c]
				}
			}
		}
	}
	return out
}
