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
