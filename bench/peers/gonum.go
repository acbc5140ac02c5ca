package main

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
)

var gonum = &peer{
	name:   "gonum",
	pureGo: true,
	load:   func() (string, error) { return moduleVersion("gonum.org/v1/gonum"), nil },
}

// gonumProduct is gonum's own Sgemm, which uses as many goroutines as there are processors for Go.
type gonumProduct struct {
	x, weights, y blas32.General // weights are k × n, or n × k where transposed
	trans         blas.Transpose
}

func (p *gonumProduct) Run(times int) error {
	for range times {
		blas32.Gemm(blas.NoTrans, p.trans, 1, p.x, p.weights, 0, p.y)
	}
	return nil
}

func (p *gonumProduct) Output() ([]float32, error) { return p.y.Data, nil }
func (p *gonumProduct) Close()                     {}
