package gemm_test

import (
	"fmt"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/tensor"
)

// A linear layer of two inputs and three outputs, for four rows, added to what dst holds.
func ExampleMul() {
	e, err := engine.New(engine.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Close()
	w := gemm.Pack(e, tensor.Mat{Rows: 3, Cols: 2, Stride: 2, Data: []float32{
		1, 0,
		0, 1,
		1, -1,
	}})
	x := tensor.Mat{Rows: 4, Cols: 2, Stride: 2, Data: []float32{1, 2, 3, 4, 5, 6, 7, 8}}
	y := tensor.MakeMat(4, 3)
	gemm.Mul(e, y, x, w, gemm.Prologue{}, gemm.Epilogue{Bias: []float32{0, 0, 100}, Add: y})
	for r := range y.Rows {
		fmt.Println(y.Row(r))
	}
	// Output:
	// [1 2 99]
	// [3 4 99]
	// [5 6 99]
	// [7 8 99]
}
