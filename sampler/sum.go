package sampler

import "github.com/lanewise/lanewise/tensor"

// Every step of every method is a sum: of the sample, of what the model says or said of it, and of
// fresh noise, each times a number that depends on the levels alone. The methods' files say which.

// A part of a sum is a sample times a factor.
type part struct {
	factor float64
	of     tensor.NHWC
}

// sum sets dst to the sum of its parts, each value computed in float64 and rounded once. Parts whose
// factor is 0 are left out, so what they are of need not exist. All have dst's shape, and dst may be
// any of them.
func sum(dst tensor.NHWC, of ...part) {
	dense := dst.Stride == dst.C
	for _, p := range of {
		dense = dense && (p.factor == 0 || p.of.Stride == p.of.C)
	}
	d := rows(dst, dense)
	for r := range d.Rows {
		out := d.Row(r)
		for first := 0; first < len(out); first += totals {
			sumBlock(out[first:min(first+totals, len(out))], of, dense, r, first)
		}
	}
}

// totals is how many values are summed at once.
const totals = 256

// sumBlock computes a part of a row, from column first on.
func sumBlock(out []float32, of []part, dense bool, row, first int) {
	var block [totals]float64
	total := block[:len(out)]
	for _, p := range of {
		if p.factor == 0 {
			continue
		}
		m := rows(p.of, dense)
		values := m.Row(row)[first:][:len(total)]
		for i, v := range values {
			total[i] += float64(p.factor * float64(v))
		}
	}
	for i, t := range total {
		out[i] = float32(t)
	}
}

// rows returns a sample as a matrix of a row for each pixel, or as a single row if it is dense: where
// pixels are next to each other.
func rows(t tensor.NHWC, dense bool) tensor.Mat {
	m := t.Tokens()
	if !dense {
		return m
	}
	n := m.Rows * m.Cols
	return tensor.Mat{Rows: 1, Cols: n, Stride: n, Data: m.Data[:n]}
}

// set copies a sample.
func set(dst, src tensor.NHWC) { sum(dst, part{1, src}) }

// like returns a tensor of x's shape.
func like(x tensor.NHWC) tensor.NHWC { return tensor.Make(x.N, x.H, x.W, x.C) }
