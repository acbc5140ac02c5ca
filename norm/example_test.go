package norm_test

import (
	"fmt"
	"log"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/norm"
	"github.com/lanewise/lanewise/tensor"
)

func ExampleGroup() {
	e, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()

	// One image of 1×2 pixels with four channels in two groups.
	x := tensor.NHWC{N: 1, H: 1, W: 2, C: 4, Stride: 4, Data: []float32{1, 3, 10, 10, 1, 3, 20, 20}}
	norm.Group(e, x, x, 2, norm.Affine{Shift: []float32{0, 0, 5, 6}}, kernels.Identity)
	fmt.Println(x.Data)
	// Output: [-1 1 4 5 -1 1 6 7]
}

func ExampleLayer() {
	e, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()

	tokens := tensor.Mat{Rows: 2, Cols: 2, Stride: 2, Data: []float32{1, 3, -100, 100}}
	norm.Layer(e, tokens, tokens, norm.Affine{Scale: []float32{1, 2}})
	fmt.Println(tokens.Data)
	// Output: [-1 2 -1 2]
}
