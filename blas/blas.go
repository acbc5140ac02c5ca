// Package blas gives gonum a faster float32 matrix product: an implementation for blas32.Use whose
// Sgemm is gemm.General and whose other routines are gonum's own.
//
//	e, err := engine.New(engine.Options{})
//	if err != nil {
//		return err
//	}
//	defer e.Close()
//	blas32.Use(blas.Float32{Engine: e})
//
// From there on blas32.Gemm, and what a program builds on it, runs on the engine's workers with
// the kernels of this machine. It is a module of its own, so that Lanewise itself depends on no
// part of gonum.
package blas

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/tensor"
)

// Float32 is a blas.Float32 of gonum. Every routine but Sgemm is gonum's; none of them is built on
// Sgemm there, nor here. It is safe for concurrent use: products of concurrent callers run one after
// the other, each on all of the engine's workers.
type Float32 struct {
	gonum.Implementation
	Engine *engine.Engine // runs Sgemm; open as long as this is in use
}

var _ blas.Float32 = Float32{}

// Sgemm computes C = alpha·op(A)·op(B) + beta·C for op(A) of m × k, op(B) of k × n and C of m × n,
// row-major at strides lda, ldb and ldc, where op is the identity or, for blas.Trans and
// blas.ConjTrans, the transpose. C overlaps neither A nor B. Where beta is 0, C is not read; where
// alpha is 0, A and B are not.
//
// It panics where gonum's does and with the same messages. Its results are those of gemm.General, the
// same bits for any number of workers and any transposes. They differ from gonum's in rounding, and
// where an infinity or a NaN in B meets a zero in A: gonum skips such products, here they are NaN.
func (f Float32) Sgemm(tA, tB blas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	aRows, aCols := shape(tA, m, k)
	bRows, bCols := shape(tB, k, n)
	require(m >= 0, "m < 0")
	require(n >= 0, "n < 0")
	require(k >= 0, "k < 0")
	require(lda >= max(1, aCols), "bad leading dimension of A")
	require(ldb >= max(1, bCols), "bad leading dimension of B")
	require(ldc >= max(1, n), "bad leading dimension of C")
	if m == 0 || n == 0 {
		return
	}
	require(len(a) >= (aRows-1)*lda+aCols, "insufficient length of a")
	require(len(b) >= (bRows-1)*ldb+bCols, "insufficient length of b")
	require(len(c) >= (m-1)*ldc+n, "insufficient length of c")
	gemm.General(f.Engine,
		tensor.Mat{Rows: m, Cols: n, Stride: ldc, Data: c}, alpha,
		gemm.Operand{Mat: tensor.Mat{Rows: aRows, Cols: aCols, Stride: lda, Data: a}, Transposed: tA != blas.NoTrans},
		gemm.Operand{Mat: tensor.Mat{Rows: bRows, Cols: bCols, Stride: ldb, Data: b}, Transposed: tB != blas.NoTrans},
		beta)
}

// shape is that of a matrix in memory whose op is rows × cols.
func shape(t blas.Transpose, rows, cols int) (int, int) {
	switch t {
	case blas.NoTrans:
		return rows, cols
	case blas.Trans, blas.ConjTrans:
		return cols, rows
	}
	panic("blas: illegal transpose")
}

// require panics as gonum does, unless ok.
func require(ok bool, otherwise string) {
	if !ok {
		panic("blas: " + otherwise)
	}
}
