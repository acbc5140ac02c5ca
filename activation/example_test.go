package activation_test

import (
	"fmt"
	"log"

	"github.com/lanewise/lanewise/activation"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// A gated linear unit whose projection leaves values and gates side by side.
func ExampleGate() {
	e, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()

	projected := tensor.Mat{Rows: 2, Cols: 4, Stride: 4, Data: []float32{1, 2, -1, 3, 4, 5, 0.5, 0}}
	dst := tensor.MakeMat(2, 2)
	activation.Gate(e, dst, projected.Columns(0, 2), projected.Columns(2, 4), kernels.ReLU)
	fmt.Println(dst.Data)
	// Output: [0 6 2 0]
}
