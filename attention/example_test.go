package attention_test

import (
	"fmt"
	"log"

	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/tensor"
)

// Two queries look a value up by key: the scale makes the softmax pick the best match.
func ExampleAttend() {
	e, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	rows := func(cols int, v ...float32) tensor.Mat {
		return tensor.Mat{Rows: len(v) / cols, Cols: cols, Stride: cols, Data: v}
	}
	q := rows(2, 0, 1, 1, 0)
	k := rows(2, 1, 0, 0, 1, -1, -1)
	v := rows(2, 10, 11, 20, 21, 30, 31)
	out := tensor.MakeMat(2, 2)
	attention.Attend(e, out, q, []attention.KV{{K: k, V: v}}, attention.Shape{Batch: 1, Heads: 1, Scale: 100})
	fmt.Println(out.Row(0), out.Row(1))
	// Output: [20 21] [10 11]
}
