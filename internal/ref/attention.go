package ref

import "math"

// Attention is softmax(scale·q·kᵀ + bias)·v for one head: q is queries × size, k and v keys × size,
// bias queries × keys or nil. A query whose keys all have a bias of −Inf receives zeros.
//
// bound is by how much float32 arithmetic may miss each value: with u = 2⁻²⁴, a score is off by u
// times its size+4 roundings of Σ|q·k|, those of the bias, and that of the subtraction of the
// maximum; its exponential by that, relatively, and two units; and the two sums over keys, in
// numerator and denominator, by a rounding for each key and every rescaling.
func Attention(q, k, v, bias []float32, queries, keys, size int, scale float64) (out, bound []float64) {
	const u = 0x1p-24
	out, bound = make([]float64, queries*size), make([]float64, queries*size)
	s, off := make([]float64, keys), make([]float64, keys)
	for i := range queries {
		top := math.Inf(-1)
		for j := range keys {
			var dot, abs float64
			for c := range size {
				p := scale * float64(q[i*size+c]) * float64(k[j*size+c])
				dot += p
				abs += math.Abs(p)
			}
			s[j], off[j] = dot, float64(size+4)*abs
			if bias != nil {
				b := float64(bias[i*keys+j])
				s[j] += b
				if s[j] != b { // otherwise the bias swallows the score: nothing is left to be off
					off[j] += 4*math.Abs(b) + math.Abs(s[j])
				}
			}
			top = math.Max(top, s[j])
		}
		if math.IsInf(top, -1) {
			continue
		}
		var sum, spread float64 // of the weights, and of their errors
		for j := range keys {
			distance := s[j] - top
			s[j] = math.Exp(distance)
			off[j] = u*(off[j]-2*distance) + 4*u
			if s[j] == 0 {
				off[j] = 0
			}
			sum += s[j]
			spread += s[j] * off[j]
		}
		spread = spread/sum + float64(2*keys+8)*u
		for j := range keys {
			if s[j] == 0 {
				continue
			}
			weight := s[j] / sum
			for c := range size {
				value := float64(v[j*size+c])
				out[i*size+c] += weight * value
				bound[i*size+c] += weight * math.Abs(value) * (off[j] + spread)
			}
		}
	}
	for i := range bound {
		bound[i] += 0x1p-149 // where weights and values are subnormal
	}
	return out, bound
}
