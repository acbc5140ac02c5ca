package cond_test

import (
	"fmt"
	"log"

	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/tensor"
)

// A prompt, an image prompt beside it, and a depth map behind the input's channels.
func ExampleJoin() {
	text := cond.Text(tensor.MakeMat(77, 768))         // states of a text encoder
	style := cond.Image(1, tensor.MakeMat(4, 768), .6) // what the first adapter made of a picture
	depth := cond.Cond{Concat: tensor.Make(1, 64, 64, 1)}

	whole, err := cond.Join(text, style, depth)
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range whole.Context {
		fmt.Println("slot", c.Slot, "tokens", c.Tokens.Rows)
	}
	fmt.Println("maps", whole.Concat.Shape())

	// A longer prompt is two, one behind the other.
	whole, err = cond.Join(text, text)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("tokens", whole.Context[0].Tokens.Rows)
	// Output:
	// slot 0 tokens 77
	// slot 1 tokens 4
	// maps 1×64×64×1
	// tokens 154
}

// Three quarters of one style and a quarter of another.
func ExampleMix() {
	ink, oil := []float32{0.5, 0, 1}, []float32{0, 1, -1}
	style, err := cond.Mix([]float64{0.75, 0.25}, ink, oil)
	fmt.Println(style, err)
	// Output: [0.375 0.25 0.5] <nil>
}
