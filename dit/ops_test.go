package dit_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

// TestBlockOps holds the passes of a block in a step to what cannot be less: gates and residuals are
// applied by the products before them, keys and values of captions are no op of a step, the modulations
// of adaLN-Zero are made for all blocks together, and those of adaLN-single but for a table.
func TestBlockOps(t *testing.T) {
	for name, want := range map[string][]string{
		"classes": {
			"norm norm1.norm", "gemm attn1.to_qkv", "attention attn1", "gemm attn1.to_out.0",
			"norm norm3", "gemm ff.net.0.proj", "gemm ff.net.2",
		},
		"alpha": {
			"embedding scale_shift_table",
			"norm norm1", "gemm attn1.to_qkv", "attention attn1", "gemm attn1.to_out.0",
			"gemm attn2.to_q", "attention attn2", "gemm attn2.to_out.0",
			"norm norm2", "gemm ff.net.0.proj", "gemm ff.net.2",
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := kerneltest.Engine(t, kernels.Available()[0], 1)
			p := session(t, load(t, e, shared(t, files(t, layouts[name]))), 2, 8, 8).Program()
			p.Measure(true)
			var ops []string
			for _, op := range p.Profile() {
				if part, ok := strings.CutPrefix(op.Name, "transformer_blocks.1."); ok {
					ops = append(ops, op.Kind+" "+part)
				}
			}
			if !slices.Equal(ops, want) {
				t.Errorf("%q, want %q", ops, want)
			}
		})
	}
}
