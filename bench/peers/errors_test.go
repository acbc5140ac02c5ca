package main

import (
	"runtime"
	"testing"

	"github.com/lanewise/lanewise/bench/internal/accuracy"
	"github.com/lanewise/lanewise/bench/internal/measure"
	"github.com/lanewise/lanewise/conv"
)

// TestDNNErrors holds oneDNN's errors to those of float32 sums: operands in another layout would be
// errors as large as the result.
func TestDNNErrors(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, err := oneDNN.load(); err != nil {
		t.Skip(err)
	}
	c := accuracy.NewCase(measure.Conv{N: 2, H: 9, W: 7, In: 32, Out: 48, Geometry: conv.Same(3)})
	for _, algorithm := range []dnnAlgorithm{dnnDirect, dnnWinograd} {
		e, err := dnnErrors(c, algorithm, 1)
		if err != nil {
			t.Fatal(err)
		}
		if e == nil && algorithm == dnnWinograd {
			continue // it has none here
		}
		if e.RMS > 5e-6 || e.RMS == 0 {
			t.Errorf("algorithm %d: %+v", algorithm, *e)
		}
	}
}
