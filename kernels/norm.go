package kernels

import "math"

// MomentsArgs asks for the first two moments of Cols channels over Rows rows, about a reference
// value for each channel: for c < Cols,
//
//	Sum[c], Square[c] = 0, 0
//	for r := range Rows {
//		d := Src[r*Stride+c] − Ref[c]
//		Sum[c] += d
//		Square[c] = fma(d, d, Square[c])
//	}
//
// in rising r. A Ref near the mean (one of the values will do) is what keeps the variance of
// values that are large beside their spread from cancelling.
type MomentsArgs struct {
	Rows, Cols  int
	Src         []float32
	Stride      int
	Ref         []float32
	Sum, Square []float32
}

// AffineArgs asks for the application of a norm: for r < Rows and c < Cols,
//
//	Dst[r*DstStride+c] = act(fma(Src[r*SrcStride+c] − Mean[c], Scale[c], Shift[c]))
//
// Dst may be Src. Act is Identity or SiLU, or any other at Activate's speed.
type AffineArgs struct {
	Rows, Cols         int
	Src                []float32
	SrcStride          int
	Mean, Scale, Shift []float32
	Act                Act
	Dst                []float32
	DstStride          int
}

// LayerNormArgs asks for rows to be normalised: for each row r < Rows of x = Src[r*SrcStride:],
//
//	mean := Σ x[c] / Cols
//	rstd := 1 / √(Σ (x[c] − mean)² / Cols + Eps)
//	Dst[r*DstStride+c] = fma((x[c] − mean)·rstd, Scale[c], Shift[c])
//
// Both sums run in 16 lanes (value c into lane c mod 16, in rising c, the squares by fma) that
// are then added by halves: lane i + lane i+8, i+4, i+2, i+1. The quotients and the root are
// correctly rounded. Dst may be Src.
type LayerNormArgs struct {
	Rows, Cols   int
	Src          []float32
	SrcStride    int
	Scale, Shift []float32
	Eps          float32
	Dst          []float32
	DstStride    int
}

// momentsGeneric is the contract of MomentsArgs in Go.
func momentsGeneric(m *MomentsArgs) {
	ref, sum, square := m.Ref[:m.Cols], m.Sum[:m.Cols], m.Square[:m.Cols]
	clear(sum)
	clear(square)
	for r := range m.Rows {
		for c, x := range m.Src[r*m.Stride:][:m.Cols] {
			d := x - ref[c]
			sum[c] += d
			square[c] = fma(d, d, square[c])
		}
	}
}

// affineGeneric is the contract of AffineArgs in Go.
func affineGeneric(a *AffineArgs) {
	mean, scale, shift, act := a.Mean[:a.Cols], a.Scale[:a.Cols], a.Shift[:a.Cols], actFuncs[a.Act]
	for r := range a.Rows {
		dst := a.Dst[r*a.DstStride:][:a.Cols]
		for c, x := range a.Src[r*a.SrcStride:][:a.Cols] {
			dst[c] = act(fma(x-mean[c], scale[c], shift[c]))
		}
	}
}

// normLanes is how many partial sums a row of LayerNorm has.
const normLanes = 16

// layerNormGeneric is the contract of LayerNormArgs in Go.
func layerNormGeneric(l *LayerNormArgs) {
	scale, shift, n := l.Scale[:l.Cols], l.Shift[:l.Cols], float32(l.Cols)
	for r := range l.Rows {
		src, dst := l.Src[r*l.SrcStride:][:l.Cols], l.Dst[r*l.DstStride:][:l.Cols]
		var sum, square [normLanes]float32
		for c, x := range src {
			sum[c%normLanes] += x
		}
		mean := addLanes(&sum) / n
		for c, x := range src {
			d := x - mean
			square[c%normLanes] = fma(d, d, square[c%normLanes])
		}
		variance := addLanes(&square) / n
		rstd := 1 / sqrt(variance+l.Eps)
		for c, x := range src {
			d := (x - mean) * rstd
			dst[c] = fma(d, scale[c], shift[c])
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
