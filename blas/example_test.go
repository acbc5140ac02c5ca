package blas_test

import (
	"fmt"

	gonum "gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"github.com/lanewise/lanewise/blas"
	"github.com/lanewise/lanewise/engine"
)

// All of blas32 as before, its matrix product on this machine's kernels.
func Example() {
	e, err := engine.New(engine.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Close()
	before := blas32.Implementation()
	defer blas32.Use(before)
	blas32.Use(blas.Float32{Engine: e})

	a := blas32.General{Rows: 2, Cols: 3, Stride: 3, Data: []float32{
		1, 2, 3,
		4, 5, 6,
	}}
	c := blas32.General{Rows: 2, Cols: 2, Stride: 2, Data: []float32{
		100, 200,
		300, 400,
	}}
	blas32.Gemm(gonum.NoTrans, gonum.Trans, 2, a, a, 0.5, c) // c = 2·a·aᵀ + ½·c
	fmt.Println(c.Data)
	fmt.Println(blas32.Nrm2(blas32.Vector{N: 2, Inc: 1, Data: []float32{3, 4}}))
	// Output:
	// [78 164 214 354]
	// 5
}
