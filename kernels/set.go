// Package kernels is Lanewise's dispatch table: the inner loops of every operator, one Set of
// them for each instruction set.
//
// A kernel is a promise with several makers. The promise is the comment on its argument
// struct; the makers are the pure-Go functions of this package and the generated assembly under
// asm/. Every maker of float32 arithmetic performs the same operations in the same order: the
// results of the assembly makers are equal bit for bit, and those of the pure-Go maker differ
// from them only where a fused multiply-add, emulated in float64, rounds twice.
//
// Kernels trust their arguments. They check no shape and no alignment, touch no byte outside the
// elements that their contract names, never retain a pointer, and return within about 100 µs at
// the block sizes of the operators, since Go cannot preempt assembly. Arguments live in memory of
// the worker (engine.Worker): a call through a Set's function value would move locals to the heap.
package kernels

// Set is every kernel for one instruction set. The contract of each field is the comment of its
// argument struct.
type Set struct {
	ISA  ISA
	GEMM GEMM

	// Fast convolution.
	WinogradInput   func(*WinogradInputArgs)   // tiles of an image to points
	WinogradOutput  func(*WinogradOutputArgs)  // points to tiles of an image
	WinogradWeights func(*WinogradWeightsArgs) // taps to points

	// Attention: Queries of them side by side in vector lanes.
	Queries   int
	ToLanes   func(*ToLanesArgs)   // rows into lanes (transpose and scale)
	Score     func(*ScoreArgs)     // scores of a block of keys
	Softmax   func(*SoftmaxArgs)   // one block of an online softmax
	Weigh     func(*WeighArgs)     // values weighed by a block of probabilities
	FromLanes func(*FromLanesArgs) // lanes back into rows

	// Normalisation.
	Moments   func(*MomentsArgs)   // sums over rows, for the statistics of GroupNorm
	Affine    func(*AffineArgs)    // (x − mean)·scale + shift by channel, with an activation
	LayerNorm func(*LayerNormArgs) // rows normalised, scaled and shifted

	Activate func(*ActivateArgs) // activations, gated units, residuals

	// What this core can do, for benchmarks to compare with.
	Peak  func(*PeakArgs)
	Triad func(*TriadArgs)
}

// Act is an activation function.
type Act uint8

const (
	Identity  Act = iota
	ReLU          // max(x, 0)
	SiLU          // x·σ(x)
	QuickGELU     // x·σ(1.702·x)
	GELU          // x·Φ(x) = ½x(1 + erf(x/√2))
	GELUTanh      // ½x(1 + tanh(√(2/π)(x + 0.044715x³)))
	Sigmoid       // σ(x) = 1/(1 + e^−x)
	Tanh
	Mish // x·tanh(ln(1 + eˣ))
	Exp
	acts // how many there are
)

var actNames = [acts]string{"identity", "relu", "silu", "quick_gelu", "gelu", "gelu_tanh", "sigmoid", "tanh", "mish", "exp"}

// String returns the function's name in lower case.
func (a Act) String() string { return actNames[a] }

// Acts lists every activation.
func Acts() []Act {
	all := make([]Act, acts)
	for i := range all {
		all[i] = Act(i)
	}
	return all
}
