package bench

import (
	"testing"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// BenchmarkGEMM is a linear layer without bias, its weights packed beforehand.
func BenchmarkGEMM(b *testing.B) { linear(b, "", func([]float32) {}) }

// BenchmarkHalf is BenchmarkGEMM with weights that are kept as bfloat16.
func BenchmarkHalf(b *testing.B) {
	linear(b, "/weights=bf16", func(w []float32) { kerneltest.Truncate(w, kernels.BFloat16) })
}

// linear times layers whose weights are prepared before they are packed.
func linear(b *testing.B, name string, prepare func(w []float32)) {
	for _, s := range read(b, "gemm", 3) {
		m, n, k := s[0], s[1], s[2]
		flop := 2 * float64(m) * float64(n) * float64(k)
		each(b, kerneltest.Name("m", m, "n", n, "k", k)+name, flop, func(b *testing.B, e *engine.Engine) {
			data := random(n * k)
			prepare(data)
			w := gemm.Pack(e, tensor.Mat{Rows: n, Cols: k, Stride: k, Data: data})
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

// BenchmarkGeneral is the product of plain operands with nothing laid out beforehand, in every way that they can lie.
func BenchmarkGeneral(b *testing.B) {
	for _, s := range read(b, "gemm", 3) {
		m, n, k := s[0], s[1], s[2]
		flop := 2 * float64(m) * float64(n) * float64(k)
		operand := func(rows, cols int, transposed bool) gemm.Operand {
			if transposed {
				rows, cols = cols, rows
			}
			return gemm.Operand{Mat: tensor.Mat{Rows: rows, Cols: cols, Stride: cols, Data: random(rows * cols)}, Transposed: transposed}
		}
		for ways := range 4 {
			op := [2]bool{ways&1 != 0, ways&2 != 0}
			each(b, kerneltest.Name("m", m, "n", n, "k", k, "a", letter(op[0]), "b", letter(op[1])), flop, func(b *testing.B, e *engine.Engine) {
				x, y, z := operand(m, k, op[0]), operand(k, n, op[1]), tensor.MakeMat(m, n)
				gemm.General(e, z, 1, x, y, 0)
				for b.Loop() {
					gemm.General(e, z, 1, x, y, 0)
				}
				report(b, flop, e.Set(), e.Workers())
			})
		}
	}
}

// letter is what BLAS calls an operand that lies plain or transposed.
func letter(transposed bool) string {
	if transposed {
		return "T"
	}
	return "N"
}
