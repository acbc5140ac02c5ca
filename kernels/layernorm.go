package kernels

import "math"

// LayerNormArgs asks for rows to be normalised: for each row r < Rows of x = Src[r*SrcStride:],
//
//	inverse := 1 / Cols
//	mean := inverse·Σ x[c]
//	d[c] := x[c] − mean
//	δ := inverse·Σ d[c]
//	variance := max(fma(−δ, δ, inverse·Σ d[c]²), 0)
//	rstd := 1 / √(variance + Eps)
//	Dst[r*DstStride+c] = fma(fma(d[c], rstd, −(δ·rstd)), Plus + Scale[c], Shift[c])
//
// where every operation rounds. δ is what rounding has left out of mean: without it a mean that is large beside
// the spread would cost the result digits. With RMS there is no mean:
//
//	rstd := 1 / √(Σ x[c]² / Cols + Eps)
//	Dst[r*DstStride+c] = fma(x[c]·rstd, Plus + Scale[c], Shift[c])
//
// Sums run in 16 lanes (value c into lane c mod 16, in rising c, the squares by fma) that
// are then added by halves: lane i + lane i+8, i+4, i+2, i+1. The quotients and the root are
// correctly rounded. A row that has a NaN or an infinity becomes NaN, max of a NaN being one; with RMS
// an infinity does, and leaves Shift elsewhere. Plus is 0, or 1 where Scale is what a condition adds
// to a factor of 1. Dst may be Src. Rows go in pairs: an even number of them wastes nothing.
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
	scale, shift := l.Scale[:l.Cols], l.Shift[:l.Cols]
	for r := range l.Rows {
		src, dst := l.Src[r*l.SrcStride:][:l.Cols], l.Dst[r*l.DstStride:][:l.Cols]
		if l.RMS {
			rmsNormRow(dst, src, scale, shift, l.Plus, l.Eps)
		} else {
			layerNormRow(dst, src, scale, shift, l.Plus, l.Eps)
		}
	}
}

func layerNormRow(dst, src, scale, shift []float32, plus, eps float32) {
	var sum, square, rest [normLanes]float32
	inverse := 1 / float32(len(src))
	for c, x := range src {
		sum[c%normLanes] += x
	}
	mean := float32(inverse * addLanes(&sum))
	for c, x := range src {
		d := x - mean
		square[c%normLanes] = fma(d, d, square[c%normLanes])
		rest[c%normLanes] += d
	}
	delta := float32(inverse * addLanes(&rest))
	variance := max(fma(-delta, delta, float32(inverse*addLanes(&square))), 0)
	rstd := 1 / sqrt(variance+eps)
	offset := -float32(delta * rstd)
	for c, x := range src {
		dst[c] = fma(fma(x-mean, rstd, offset), plus+scale[c], shift[c])
	}
}

func rmsNormRow(dst, src, scale, shift []float32, plus, eps float32) {
	var square [normLanes]float32
	for c, x := range src {
		square[c%normLanes] = fma(x, x, square[c%normLanes])
	}
	rstd := 1 / sqrt(addLanes(&square)/float32(len(src))+eps)
	for c, x := range src {
		dst[c] = fma(float32(x*rstd), plus+scale[c], shift[c])
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
