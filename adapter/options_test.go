package adapter_test

import (
	"testing"

	"github.com/lanewise/lanewise/adapter"
	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/kernels"
)

// Adapters, alone and several together, convolve as their options say.
func TestT2IOptions(t *testing.T) {
	a := loadT2I(t, kerneltest.Engine(t, kernels.Available()[0], 1), t2i(t, 1, small))
	for forced, want := range map[conv.Algorithm]string{conv.Auto: "direct", conv.Winograd2: "winograd2"} {
		s, err := a.Session(1, 8, 6, adapter.Options{Conv: conv.Options{Algorithm: forced}})
		if err != nil {
			t.Fatal(err)
		}
		s.Program().Measure(true)
		for _, op := range s.Program().Profile() {
			if op.Kind == "conv" && op.How != want {
				t.Errorf("%v: %s by %s, want %s", forced, op.Name, op.How, want)
			}
		}
	}
	none := adapter.Options{Conv: conv.Options{Algorithm: 99}}
	_, err := a.Session(1, 8, 6, none)
	modeltest.Says(t, err, "adapter: session: conv: algorithm 99")
	both, err := adapter.NewMultiT2I(a, a)
	if err != nil {
		t.Fatal(err)
	}
	_, err = both.Session(1, 8, 6, none)
	modeltest.Says(t, err, "adapter: session: conv: algorithm 99")
	if _, err := both.Session(1, 8, 6, adapter.Options{}); err != nil {
		t.Error(err)
	}
}
