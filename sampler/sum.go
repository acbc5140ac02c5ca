package sampler

import "github.com/lanewise/lanewise/tensor"

// Every step of every method is a sum: of the sample, of what the model says or said of it, and of
// fresh noise, each times a number that depends on the levels alone. The methods' files say which.

// A part of a sum is a sample times a factor.
type part struct {
	factor float64
	of     tensor.NHWC
}

// partsMost is the most parts that a sum has.
const partsMost = 16

// sum sets dst to the sum of its parts, each value computed in float64 and rounded once. Parts whose
// factor is 0 are left out, so what they are of need not exist. All have dst's shape, and dst may be
// any of them.
func sum(dst tensor.NHWC, of ...part) {
	var rows [partsMost][]float32
	var factors [partsMost]float64
	for r, d := 0, dst.Tokens(); r < d.Rows; r++ {
		n := 0
		for _, p := range of {
			if p.factor != 0 {
				rows[n], factors[n] = p.of.Tokens().Row(r), p.factor
				n++
			}
		}
		out := d.Row(r)
		for c := range out {
			total := 0.0
			for i := range n {
				total += float64(factors[i] * float64(rows[i][c]))
			}
			out[c] = float32(total)
		}
	}
}

// set copies a sample.
func set(dst, src tensor.NHWC) { sum(dst, part{1, src}) }
