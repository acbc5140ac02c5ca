package conv_test

import (
	"fmt"

	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/tensor"
)

// The sum of each pixel's 3 × 3 neighbourhood in an image of one channel.
func ExampleApply() {
	e, err := engine.New(engine.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Close()
	w := conv.Pack(e, []float32{1, 1, 1, 1, 1, 1, 1, 1, 1}, 1, 1, conv.Same(3))
	src := tensor.Make(1, 3, 4, 1)
	for i := range src.Data {
		src.Data[i] = 1
	}
	oh, ow := w.Size(src.H, src.W)
	dst := tensor.Make(1, oh, ow, 1)
	conv.Apply(e, dst, src, w, gemm.Prologue{}, gemm.Epilogue{})
	for y := range dst.H {
		fmt.Println(dst.Data[y*dst.W : (y+1)*dst.W])
	}
	// Output:
	// [4 6 6 4]
	// [6 9 9 6]
	// [4 6 6 4]
}
