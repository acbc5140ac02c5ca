package kernels

import "math"

// LayerNormArgs asks for rows to be normalised: for each row r < Rows of x = Src[r*SrcStride:],
//
//	mean := Σ x[c] / Cols, or 0 with RMS
//	rstd := 1 / √(Σ (x[c] − mean)² / Cols + Eps)
//	Dst[r*DstStride+c] = fma((x[c] − mean)·rstd, Plus + Scale[c], Shift[c])
//
// Both sums run in 16 lanes (value c into lane c mod 16, in rising c, the squares by fma) that
// are then added by halves: lane i + lane i+8, i+4, i+2, i+1. The quotients and the root are
// correctly rounded. Plus is 0, or 1 where Scale is what a condition adds to a factor of 1. Dst may
// be Src. Rows go in pairs: an even number of them wastes nothing.
type LayerNormArgs struct {
	Rows, Cols   int
	Src          []float32
	SrcStride    int
	Scale, Shift []float32
	Plus, Eps    float32
	RMS          bool
	Dst          []float32
	DstStride    int
}

// normLanes is how many partial sums a row of LayerNorm has.
const normLanes = 16

// layerNormGeneric is the contract of LayerNormArgs in Go.
func layerNormGeneric(l *LayerNormArgs) {
	scale, shift, n := l.Scale[:l.Cols], l.Shift[:l.Cols], float32(l.Cols)
	for r := range l.Rows {
		src, dst := l.Src[r*l.SrcStride:][:l.Cols], l.Dst[r*l.DstStride:][:l.Cols]
		var sum, square [normLanes]float32
		mean := float32(0)
		if !l.RMS {
			for c, x := range src {
				sum[c%normLanes] += x
			}
			mean = addLanes(&sum) / n
		}
		for c, x := range src {
			d := x - mean
			square[c%normLanes] = fma(d, d, square[c%normLanes])
		}
		variance := addLanes(&square) / n
		rstd := 1 / sqrt(variance+l.Eps)
		for c, x := range src {
			d := (x - mean) * rstd
			dst[c] = fma(d, l.Plus+scale[c], shift[c])
		}
	}
}

// addLanes adds the lanes by halves.
func addLanes(lanes *[normLanes]float32) float32 {
	for half := normLanes / 2; half > 0; half /= 2 {
		for i := range half {
			lanes[i] += lanes[i+half]
		}
	}
	return lanes[0]
}

// sqrt is the correctly rounded root: that of float64 has more than twice the digits, so rounding
// it again does no harm.
func sqrt(x float32) float32 { return float32(math.Sqrt(float64(x))) }
