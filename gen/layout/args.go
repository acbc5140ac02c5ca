package layout

// The argument structs of package kernels, by the kernels' names.
var (
	Tile = mirror("TileArgs", `
		Rows Cols int
		Segments K From int
		A slice
		AStride int
		B slice
		BStride int
		Init slice
		InitStride int
		Scale Add slice
		AddStride int
		Dst slice
		DstStride int
		Ahead Fetch slice
		FetchStride int`)
	Widen = mirror("WidenArgs", `
		Src slice
		Type half
		Dst slice`)

	WinogradInput = mirror("WinogradInputArgs", `
		Kind winograd
		Tiles Cols From int
		Pixels Dst slice
		PointStride DstStride int
		Temp slice`)
	WinogradOutput = mirror("WinogradOutputArgs", `
		Kind winograd
		Tiles Cols From int
		Src slice
		PointStride SrcStride int
		Bias Scale Dst Add Temp slice`)
	WinogradWeights = mirror("WinogradWeightsArgs", `
		Kind winograd
		N int
		Taps slice
		TapStride int
		Dst slice
		PointStride int
		Temp slice`)

	ToLanes = mirror("ToLanesArgs", `
		Rows Cols Lanes int
		Src slice
		SrcStride int
		Scale float32
		Dst slice
		DstStride int`)
	Score = mirror("ScoreArgs", `
		Keys Cols Lanes int
		K slice
		KStride int
		Q Bias Mask S slice
		FetchRows FetchCols int
		Fetch slice
		FetchStride int`)
	Softmax = mirror("SoftmaxArgs", `
		Keys Lanes int
		S Max Sum Alpha slice`)
	Weigh = mirror("WeighArgs", `
		Rows Keys Lanes int
		V slice
		VStride int
		P O Alpha slice
		FetchRows FetchCols int
		Fetch slice
		FetchStride int`)
	FromLanes = mirror("FromLanesArgs", `
		Rows Cols Lanes int
		Src Scale slice
		Dst slice
		DstStride int`)

	Moments = mirror("MomentsArgs", `
		Rows Cols int
		Src slice
		Stride int
		Ref Sum Square slice`)
	Affine = mirror("AffineArgs", `
		Rows Cols int
		Src slice
		SrcStride int
		Mean Scale Shift slice
		Act act
		Dst slice
		DstStride int`)
	LayerNorm = mirror("LayerNormArgs", `
		Rows Cols int
		Src slice
		SrcStride int
		Scale Shift slice
		Plus Eps float32
		RMS bool
		Dst slice
		DstStride int`)

	Activate = mirror("ActivateArgs", `
		Rows Cols int
		Act act
		Src slice
		SrcStride int
		Value slice
		ValueStride int
		Add slice
		AddStride int
		Dst slice
		DstStride int`)

	Peak  = mirror("PeakArgs", `Iterations FLOP int`)
	Triad = mirror("TriadArgs", `
		Dst B C slice
		S float32`)
)
