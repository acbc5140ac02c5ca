package main

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
}

// peers are the columns, in their order.
var peers = []*peer{openBLAS, oneDNN, onnxRuntime, gonum, gomlx, vek}
