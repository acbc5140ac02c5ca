package kernels

// ActivateArgs asks for an activation, optionally multiplied into values (a gated linear unit)
// and with a residual: for r < Rows and c < Cols,
//
//	y := act(Src[r*SrcStride+c])
//	if Value != nil { y = Value[r*ValueStride+c] * y }
//	if Add != nil   { y = Add[r*AddStride+c] + y }
//	Dst[r*DstStride+c] = y
//
// Dst may be Src, Value or Add. Errors against the exact function are stated beside each
// function's generic form; infinities have their limits and NaN stays NaN.
type ActivateArgs struct {
	Rows, Cols  int
	Act         Act
	Src         []float32
	SrcStride   int
	Value       []float32
	ValueStride int
	Add         []float32
	AddStride   int
	Dst         []float32
	DstStride   int
}
