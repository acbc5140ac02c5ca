package main

import (
	"fmt"
	"os"

	"github.com/lanewise/lanewise/bench/internal/accuracy"
	"github.com/lanewise/lanewise/tensor"
)

// printErrors prints the rounding errors of Lanewise's convolutions and of oneDNN's on the same data.
func printErrors(o options) error {
	cases, err := accuracy.Cases(o.shapes, false)
	if err != nil {
		return err
	}
	l, err := newOurs(o.isas[0], o.workers[0])
	if err != nil {
		return err
	}
	defer l.Close()
	rows := accuracy.Lanewise(l.Engine, cases)
	if o.loaded[oneDNN] {
		for _, v := range []struct {
			name      string
			algorithm dnnAlgorithm
		}{{"oneDNN direct", dnnDirect}, {"oneDNN Winograd", dnnWinograd}} {
			row := accuracy.Row{Name: v.name}
			for _, c := range cases {
				e, err := dnnErrors(c, v.algorithm, o.workers[0])
				if err != nil {
					return err
				}
				row.Errors = append(row.Errors, e)
			}
			rows = append(rows, row)
		}
	}
	fmt.Print("\nerrors, against sums in float64\n\n")
	accuracy.Write(os.Stdout, cases, rows)
	return nil
}

// dnnErrors returns oneDNN's errors; nil where it has no such algorithm for the case.
func dnnErrors(c *accuracy.Case, algorithm dnnAlgorithm, workers int) (*accuracy.Errors, error) {
	p := newDNN(workers)
	pixels := func(channels int) dnnTensor {
		return p.tensor([]int{c.N, channels, c.H, c.W}, []int{c.H * c.W * channels, 1, c.W * channels, channels}, true)
	}
	src, f, b, y := pixels(c.In), p.free(c.Out, c.In, 3, 3), p.plain(c.Out), pixels(c.Out)
	p.convolution(y, src, f, b, algorithm, 1, 1)
	p.fill(src, c.Image)
	p.fill(f, c.Weights)
	p.fill(b, tensor.Aligned(c.Out))
	run, err := p.finish(y)
	if err != nil {
		if e, ok := err.(dnnError); ok && e.status == dnnUnimplemented {
			return nil, nil
		}
		return nil, err
	}
	defer run.Close()
	if err := run.Run(1); err != nil {
		return nil, err
	}
	result, err := run.Output()
	if err != nil {
		return nil, err
	}
	e := c.Errors(result)
	return &e, nil
}
