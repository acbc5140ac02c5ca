package bench

import (
	"testing"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/tensor"
)

// BenchmarkGEMM is a linear layer without bias, its weights packed beforehand.
func BenchmarkGEMM(b *testing.B) {
	for _, s := range shapes(b, "gemm", 3) {
		m, n, k := s[0], s[1], s[2]
		flop := 2 * float64(m) * float64(n) * float64(k)
		each(b, kerneltest.Name("m", m, "n", n, "k", k), flop, func(b *testing.B, e *engine.Engine) {
			w := gemm.Pack(e, tensor.Mat{Rows: n, Cols: k, Stride: k, Data: random(n * k)})
			x := tensor.Mat{Rows: m, Cols: k, Stride: k, Data: random(m * k)}
			y := tensor.MakeMat(m, n)
			gemm.Mul(e, y, x, w, gemm.Prologue{}, gemm.Epilogue{})
			for b.Loop() {
				gemm.Mul(e, y, x, w, gemm.Prologue{}, gemm.Epilogue{})
			}
			report(b, flop, e.Set(), e.Workers())
		})
	}
}
