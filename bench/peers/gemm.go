package main

import (
	"fmt"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"github.com/lanewise/lanewise/bench/internal/measure"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/tensor"
)

// gemmRow is a linear layer without bias, m × k by weights of n outputs and k inputs. Whoever can
// lays the weights out beforehand.
func gemmRow(shape []int) row {
	m, n, k := shape[0], shape[1], shape[2]
	return row{
		kind: "gemm", shape: fmt.Sprintf("%d×%d×%d", m, n, k),
		work: 2 * float64(m) * float64(n) * float64(k), unit: "GFLOP/s", tolerance: 1e-4,
		enter: func(r *race) {
			x, w := measure.Random(1, m*k), measure.Random(2, n*k)
			wt := transposed(w, 1, n, k) // k × n
			r.lanewise("", func() []float32 { return tensor.Aligned(m * n) }, func(o *ours, dst []float32) func() {
				packed := gemm.Pack(o.Engine, tensor.Mat{Rows: n, Cols: k, Stride: k, Data: w})
				y, a := tensor.Mat{Rows: m, Cols: n, Stride: n, Data: dst}, tensor.Mat{Rows: m, Cols: k, Stride: k, Data: x}
				return func() { gemm.Mul(o.Engine, y, a, packed, gemm.Prologue{}, gemm.Epilogue{}) }
			})

			r.add(openBLAS, "k×n", func() (contender, error) {
				return &blasProduct{threads: r.workers, m: m, n: n, k: k, x: x, weights: wt, y: tensor.Aligned(m * n)}, nil
			})
			r.add(openBLAS, "n×k", func() (contender, error) {
				return &blasProduct{threads: r.workers, m: m, n: n, k: k, x: x, weights: w, y: tensor.Aligned(m * n), transposed: true}, nil
			})

			r.add(oneDNN, "matmul", func() (contender, error) {
				p := newDNN(r.workers)
				a, b, y := p.plain(m, k), p.free(k, n), p.plain(m, n)
				p.matmul(y, a, b, dnnAfter{})
				p.fill(a, x)
				p.fill(b, wt)
				return p.finish(y)
			})
			r.add(oneDNN, "matmul-plain", func() (contender, error) {
				p := newDNN(r.workers)
				a, b, y := p.plain(m, k), p.plain(k, n), p.plain(m, n)
				p.matmul(y, a, b, dnnAfter{})
				p.fill(a, x)
				p.fill(b, wt)
				return p.finish(y)
			})
			r.add(oneDNN, "inner-product", func() (contender, error) {
				p := newDNN(r.workers)
				a, b, y := p.plain(m, k), p.free(n, k), p.plain(m, n)
				p.innerProduct(y, a, b)
				p.fill(a, x)
				p.fill(b, w)
				return p.finish(y)
			})

			r.add(onnxRuntime, "", func() (contender, error) { // constant weights: packed when the session begins
				return sessionOf(newORT(r.workers, model{
					nodes:     []node{{op: "MatMul", in: []string{"x", "w"}, out: []string{"y"}}},
					constants: []constant{{"w", []int{k, n}, wt}},
					inputs:    []operand{{"x", []int{m, k}}},
					outputs:   []operand{{"y", []int{m, n}}},
				}, x))
			})

			matrix := func(rows, cols int, data []float32) blas32.General {
				return blas32.General{Rows: rows, Cols: cols, Stride: cols, Data: data}
			}
			r.add(gonum, "k×n", func() (contender, error) {
				return &gonumProduct{x: matrix(m, k, x), weights: matrix(k, n, wt), y: matrix(m, n, tensor.Aligned(m*n)), trans: blas.NoTrans}, nil
			})
			r.add(gonum, "n×k", func() (contender, error) {
				return &gonumProduct{x: matrix(m, k, x), weights: matrix(n, k, w), y: matrix(m, n, tensor.Aligned(m*n)), trans: blas.Trans}, nil
			})
			r.add(gomlx, "", func() (contender, error) { return newGomlx(m, n, k, x, wt) })
			r.add(vek, "", func() (contender, error) {
				return &vekProduct{k: k, x: x, weights: wt, y: tensor.Aligned(m * n)}, nil
			})
		},
	}
}
