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

// The sums of products of the columns of a view, taken from what c holds: c = −xᵀ·x + c for the two
// columns of x that lie in the middle of rows of four.
func ExampleGeneral() {
	e, err := engine.New(engine.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Close()
	wide := tensor.Mat{Rows: 3, Cols: 4, Stride: 4, Data: []float32{
		0, 1, 2, 0,
		0, 3, 4, 0,
		0, 5, 6, 0,
	}}
	x := wide.Columns(1, 3)
	c := tensor.Mat{Rows: 2, Cols: 2, Stride: 2, Data: []float32{
		100, 0,
		0, 100,
	}}
	gemm.General(e, c, -1, gemm.Operand{Mat: x, Transposed: true}, gemm.Operand{Mat: x}, 1)
	for r := range c.Rows {
		fmt.Println(c.Row(r))
	}
	// Output:
	// [65 -44]
	// [-44 44]
}
