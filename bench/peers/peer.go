package main

import (
	"os"
	"strings"

	"github.com/lanewise/lanewise/kernels"
)

// A contender computes one row of a table in one way.
type contender interface {
	// Run computes it so many times, back to back.
	Run(times int) error
	// Output returns the result of the last run, in the layout of Lanewise's.
	Output() ([]float32, error)
	Close()
}

// peer is a library that Lanewise is compared with: a column of the tables.
type peer struct {
	name    string
	pureGo  bool
	install string                 // how to get it
	load    func() (string, error) // returns its version
	// hold is environment variables that hold the library to an instruction set, if they are set before it is
	// loaded. Those in Go take no wider one than AVX2 by themselves.
	hold map[kernels.ISA][]string
}

// holds says whether the library can be held to an instruction set, and sets what does.
func (p *peer) holds(isa kernels.ISA) bool {
	for _, variable := range p.hold[isa] {
		name, value, _ := strings.Cut(variable, "=")
		os.Setenv(name, value) // the C library's environment too
	}
	return p.hold[isa] != nil || p.pureGo && isa == kernels.AVX2
}

// peers are the columns, in their order.
var peers = []*peer{openBLAS, oneDNN, onnxRuntime, pyTorch, gonum, gomlx, vek}
