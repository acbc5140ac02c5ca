package main

import "github.com/viterin/vek/vek32"

var vek = &peer{
	name:   "vek",
	pureGo: true,
	load:   func() (string, error) { return moduleVersion("github.com/viterin/vek"), nil },
}

// vekProduct is vek's product, in AVX2 assembly where the machine has it, on as many goroutines as
// there are processors for Go.
type vekProduct struct {
	k             int
	x, weights, y []float32 // weights are k × n
}

func (p *vekProduct) Run(times int) error {
	for range times {
		vek32.MatMul_Into(p.y, p.x, p.weights, p.k)
	}
	return nil
}

func (p *vekProduct) Output() ([]float32, error) { return p.y, nil }
func (p *vekProduct) Close()                     {}
