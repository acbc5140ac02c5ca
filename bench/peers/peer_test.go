package main

import (
	"os"
	"testing"

	"github.com/lanewise/lanewise/kernels"
)

// TestHolds has what can be held to AVX2 say so and set its environment, and the rest take no part.
func TestHolds(t *testing.T) {
	t.Setenv("LANEWISE_TEST_WIDTH", "")
	held := &peer{hold: map[kernels.ISA][]string{kernels.AVX2: {"LANEWISE_TEST_WIDTH=256=8×32"}}}
	for _, c := range []struct {
		p    *peer
		isa  kernels.ISA
		want bool
	}{
		{&peer{}, kernels.AVX2, false},
		{&peer{pureGo: true}, kernels.AVX2, true},
		{&peer{pureGo: true}, kernels.AVX512, false},
		{held, kernels.AVX512, false},
		{held, kernels.AVX2, true},
	} {
		if got := c.p.holds(c.isa); got != c.want {
			t.Errorf("%+v holds to %v: %v, want %v", c.p, c.isa, got, c.want)
		}
	}
	if got := os.Getenv("LANEWISE_TEST_WIDTH"); got != "256=8×32" {
		t.Errorf("environment %q", got)
	}
}

// TestNoTorch has a process that is not Python say that it has no torch.
func TestNoTorch(t *testing.T) {
	for _, path := range []string{"true", "no-such-interpreter"} {
		if _, _, err := startTorch(path, nil); err == nil {
			t.Errorf("%s has torch", path)
		}
	}
}
