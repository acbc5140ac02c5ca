package main

import (
	"math"
	"testing"
)

func TestDifference(t *testing.T) {
	want := []float32{3, -3, 3, -3}
	for _, c := range []struct {
		got       []float32
		rms, most float64
	}{
		{[]float32{3, -3, 3, -3}, 0, 0},
		{[]float32{3, -3, 3, 0}, 0.5, 1},
		{[]float32{6, -6, 6, -6}, 1, 1},
	} {
		rms, most := difference(c.got, want)
		if math.Abs(rms-c.rms) > 1e-12 || math.Abs(most-c.most) > 1e-12 {
			t.Errorf("%v: %v and %v, want %v and %v", c.got, rms, most, c.rms, c.most)
		}
	}
}
