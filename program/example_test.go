package program_test

import (
	"context"
	"fmt"

	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// Two ops write the halves of what a third reads: a concatenation without a copy.
func Example() {
	var b program.Builder
	both := b.Image(1, 1, 2, 2)
	for c, name := range []string{"left", "right"} {
		half := both.Channels(c, c+1)
		b.Add(program.Op{Name: name, Dst: half, Bind: func(m program.Memory) func() {
			dst := m.Mat(half)
			return func() {
				for r := range dst.Rows {
					dst.Row(r)[0] = float32(10*r + c)
				}
			}
		}})
	}
	sum := b.Mat(2, 1)
	b.Add(program.Op{Name: "sum", Dst: sum, Src: []program.Value{both}, Bind: func(m program.Memory) func() {
		dst, src := m.Mat(sum), m.Mat(both)
		return func() {
			for r := range dst.Rows {
				dst.Row(r)[0] = src.Row(r)[0] + src.Row(r)[1]
			}
		}
	}})
	p := b.Build()
	p.Observe(func(name string, out tensor.NHWC) {
		fmt.Println(name, out.Tokens().Row(0), out.Tokens().Row(1))
	})
	if err := p.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// left [0] [10]
	// right [1] [11]
	// sum [1] [21]
}
