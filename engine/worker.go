package engine

import (
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// Worker is what one of an engine's goroutines works with. A Job's Tile may use all of it until
// it returns; nothing in it survives to the next tile.
type Worker struct {
	Index int
	Set   *kernels.Set
	Args  Args

	floats   []float32
	pointers []*float32
}

// Args holds an argument struct for every kernel. They live here since a call through a function
// value would move a local one to the heap.
type Args struct {
	Tile            kernels.TileArgs
	Widen           kernels.WidenArgs
	WinogradInput   kernels.WinogradInputArgs
	WinogradOutput  kernels.WinogradOutputArgs
	WinogradWeights kernels.WinogradWeightsArgs
	ToLanes         kernels.ToLanesArgs
	Score           kernels.ScoreArgs
	Softmax         kernels.SoftmaxArgs
	Weigh           kernels.WeighArgs
	FromLanes       kernels.FromLanesArgs
	Moments         kernels.MomentsArgs
	Affine          kernels.AffineArgs
	LayerNorm       kernels.LayerNormArgs
	Activate        kernels.ActivateArgs
}

// Scratch says how much memory a region needs for each worker.
type Scratch struct {
	Floats   int
	Pointers int
}

// Floats returns the worker's float32 scratch, as much as the region asked for, aligned to a
// cache line, its content arbitrary.
func (w *Worker) Floats() []float32 { return w.floats }

// Pointers returns the worker's scratch for row pointers, as much as the region asked for.
func (w *Worker) Pointers() []*float32 { return w.pointers }

// reserve makes room for what a region needs.
func (w *Worker) reserve(need Scratch) {
	if len(w.floats) < need.Floats {
		w.floats = tensor.Aligned(need.Floats)
	}
	if len(w.pointers) < need.Pointers {
		w.pointers = make([]*float32, need.Pointers)
	}
}
