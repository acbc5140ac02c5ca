package kernels

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
