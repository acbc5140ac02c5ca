package main

import (
	"github.com/gomlx/gomlx/backends/simplego"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors"
)

var gomlx = &peer{
	name:   "gomlx",
	pureGo: true,
	load:   func() (string, error) { return moduleVersion("github.com/gomlx/gomlx") + ", backend simplego", nil },
}

// gomlxProduct is a graph of one product on gomlx's backend in Go, which uses as many goroutines as
// there are processors for Go.
type gomlxProduct struct {
	exec       *graph.Exec
	x, weights *tensors.Tensor // weights are k × n
	y          *tensors.Tensor
}

// newGomlx compiles the product of m × k by k × n.
func newGomlx(m, n, k int, x, weights []float32) (contender, error) {
	backend, err := simplego.New("")
	if err != nil {
		return nil, err
	}
	exec, err := graph.NewExec(backend, func(x, w *graph.Node) *graph.Node { return graph.Dot(x, w) })
	if err != nil {
		return nil, err
	}
	return &gomlxProduct{exec: exec, x: tensors.FromFlatDataAndDimensions(x, m, k), weights: tensors.FromFlatDataAndDimensions(weights, k, n)}, nil
}

func (p *gomlxProduct) Run(times int) error {
	for range times {
		if p.y != nil {
			p.y.FinalizeAll()
		}
		results, err := p.exec.Exec(p.x, p.weights)
		if err != nil {
			return err
		}
		p.y = results[0]
	}
	return nil
}

func (p *gomlxProduct) Output() ([]float32, error) { return tensors.CopyFlatData[float32](p.y) }

func (p *gomlxProduct) Close() { p.exec.Finalize() }
