package kernels

// genericSet is the pure-Go maker. It runs everywhere, and says in Go what the others say in
// assembly.
func genericSet() *Set {
	return &Set{
		ISA: Generic,
		GEMM: GEMM{
			MR: genericMR, NR: genericNR, Lanes: genericNR,
			KC: 512, MC: 64,
			Tile:  tileGeneric,
			Widen: widenGeneric,
		},
		WinogradInput:   winogradInputGeneric,
		WinogradOutput:  winogradOutputGeneric,
		WinogradWeights: winogradWeightsGeneric,

		Queries:   genericNR,
		ToLanes:   toLanesGeneric,
		Score:     scoreGeneric,
		Softmax:   softmaxGeneric,
		Weigh:     weighGeneric,
		FromLanes: fromLanesGeneric,

		Moments:   momentsGeneric,
		Affine:    affineGeneric,
		LayerNorm: layerNormGeneric,

		Activate: activateGeneric,

		Peak:  peakGeneric,
		Triad: triadGeneric,
	}
}
