package blas_test

import (
	"fmt"
	"math"
	"testing"

	gonum "gonum.org/v1/gonum/blas"
	reference "gonum.org/v1/gonum/blas/gonum"
	"gonum.org/v1/gonum/blas/testblas"

	"github.com/lanewise/lanewise/blas"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

// TestSuite runs the cases of gonum's own level-3 suite, which is written for float64, on every Set.
func TestSuite(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, workers := range []int{1, 2} {
			s := narrowed{t, blas.Float32{Engine: kerneltest.Engine(t, set, workers)}}
			t.Run(kerneltest.Name("workers", workers), func(t *testing.T) {
				t.Run("gemm", func(t *testing.T) { testblas.TestDgemm(t, s) })
				t.Run("symm", func(t *testing.T) { testblas.DsymmTest(t, s) })
				t.Run("syrk", func(t *testing.T) { testblas.DsyrkTest(t, s) })
				t.Run("syr2k", func(t *testing.T) { testblas.Dsyr2kTest(t, s) })
				t.Run("trmm", func(t *testing.T) { testblas.DtrmmTest(t, s) })
				t.Run("trsm", func(t *testing.T) { testblas.DtrsmTest(t, s) })
			})
		}
	})
}

// narrowed is the float64 face of a float32 implementation. The suite's operands are float32 values,
// and its answers too except for trsm's; so all others have to come out exactly.
type narrowed struct {
	t    *testing.T
	impl gonum.Float32
}

func (s narrowed) Dgemm(tA, tB gonum.Transpose, m, n, k int, alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int) {
	c32 := s.narrow(c)
	s.impl.Sgemm(tA, tB, m, n, k, float32(alpha), s.narrow(a), lda, s.narrow(b), ldb, float32(beta), c32, ldc)
	widen(c, c32)
}

func (s narrowed) Dsymm(side gonum.Side, ul gonum.Uplo, m, n int, alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int) {
	c32 := s.narrow(c)
	s.impl.Ssymm(side, ul, m, n, float32(alpha), s.narrow(a), lda, s.narrow(b), ldb, float32(beta), c32, ldc)
	widen(c, c32)
}

func (s narrowed) Dsyrk(ul gonum.Uplo, tA gonum.Transpose, n, k int, alpha float64, a []float64, lda int, beta float64, c []float64, ldc int) {
	c32 := s.narrow(c)
	s.impl.Ssyrk(ul, tA, n, k, float32(alpha), s.narrow(a), lda, float32(beta), c32, ldc)
	widen(c, c32)
}

func (s narrowed) Dsyr2k(ul gonum.Uplo, tA gonum.Transpose, n, k int, alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int) {
	c32 := s.narrow(c)
	s.impl.Ssyr2k(ul, tA, n, k, float32(alpha), s.narrow(a), lda, s.narrow(b), ldb, float32(beta), c32, ldc)
	widen(c, c32)
}

func (s narrowed) Dtrmm(side gonum.Side, ul gonum.Uplo, tA gonum.Transpose, d gonum.Diag, m, n int, alpha float64, a []float64, lda int, b []float64, ldb int) {
	b32 := s.narrow(b)
	s.impl.Strmm(side, ul, tA, d, m, n, float32(alpha), s.narrow(a), lda, b32, ldb)
	widen(b, b32)
}

// Dtrsm compares with gonum's float64 routine, whose result it returns: the suite's answers and the
// padding around its operands are no float32 values.
func (s narrowed) Dtrsm(side gonum.Side, ul gonum.Uplo, tA gonum.Transpose, d gonum.Diag, m, n int, alpha float64, a []float64, lda int, b []float64, ldb int) {
	b32 := make([]float32, len(b))
	a32 := make([]float32, len(a))
	for i, v := range a {
		a32[i] = float32(v)
	}
	for i, v := range b {
		b32[i] = float32(v)
	}
	s.impl.Strsm(side, ul, tA, d, m, n, float32(alpha), a32, lda, b32, ldb)
	reference.Implementation{}.Dtrsm(side, ul, tA, d, m, n, alpha, a, lda, b, ldb)
	for i, want := range b {
		if !(math.Abs(float64(b32[i])-want) <= 1e-5*max(1, math.Abs(want))) {
			s.t.Errorf("trsm: b[%d] = %g, want %g", i, b32[i], want)
		}
	}
}

// narrow converts v, which must lose nothing.
func (s narrowed) narrow(v []float64) []float32 {
	s.t.Helper()
	n := make([]float32, len(v))
	for i := range v {
		if n[i] = float32(v[i]); float64(n[i]) != v[i] && v[i] == v[i] {
			s.t.Errorf("the suite's %g is no float32 value", v[i])
		}
	}
	return n
}

func widen(dst []float64, src []float32) {
	for i, v := range src {
		dst[i] = float64(v)
	}
}

// TestSgemm holds every combination of transposes, sizes, strides and scalars, as the suite has them for
// complex products, to the exact result, and to leave operands and padding alone. What C holds
// before is NaN where beta is 0, and A and B are NaN where alpha is 0.
func TestSgemm(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		impl := blas.Float32{Engine: kerneltest.Engine(t, set, 2)}
		for _, tA := range transposes {
			for _, tB := range transposes {
				for _, m := range []int{0, 1, 2, 5, 10} {
					for _, n := range []int{0, 1, 2, 5, 10} {
						for _, k := range []int{0, 1, 2, 7, 11} {
							for _, alpha := range []float32{0, 1, -1, 0.7} {
								for _, beta := range []float32{0, 1, -1, 1.3} {
									product{tA, tB, m, n, k, alpha, beta, 0, 0, 0}.check(t, impl)
									product{tA, tB, m, n, k, alpha, beta, 2, 3, 4}.check(t, impl)
								}
							}
						}
					}
				}
			}
		}
		for _, tA := range transposes[:2] {
			for _, tB := range transposes[:2] {
				product{tA, tB, 150, 170, 130, 0.7, 1.3, 1, 0, 2}.check(t, impl)
				product{tA, tB, 3, 300, 1100, 1, 0, 0, 1, 0}.check(t, impl)
			}
		}
	})
}

var transposes = []gonum.Transpose{gonum.NoTrans, gonum.Trans, gonum.ConjTrans}

// product is one call of Sgemm; pads are what the strides exceed the columns by.
type product struct {
	tA, tB           gonum.Transpose
	m, n, k          int
	alpha, beta      float32
	padA, padB, padC int
}

// matrix is an operand in memory, of random values, no longer than it has to be.
type matrix struct {
	data       []float32
	stride     int
	transposed bool
}

func makeMatrix(seed uint64, trans gonum.Transpose, rows, cols, pad int) matrix {
	m := matrix{transposed: trans != gonum.NoTrans}
	if m.transposed {
		rows, cols = cols, rows
	}
	m.stride = max(1, cols) + pad
	if rows > 0 && cols > 0 {
		m.data = kerneltest.Random(seed, (rows-1)*m.stride+cols)
	}
	return m
}

func (m matrix) at(i, j int) float64 {
	if m.transposed {
		i, j = j, i
	}
	return float64(m.data[i*m.stride+j])
}

func (p product) check(t *testing.T, impl gonum.Float32) {
	t.Helper()
	a := makeMatrix(1, p.tA, p.m, p.k, p.padA)
	b := makeMatrix(2, p.tB, p.k, p.n, p.padB)
	c := makeMatrix(3, gonum.NoTrans, p.m, p.n, p.padC)
	if p.k == 0 { // gonum wants the rows of A there, empty as they are
		a.data = make([]float32, p.m*a.stride)
		b.data = make([]float32, p.n*b.stride)
	}
	if p.alpha == 0 {
		kerneltest.Fill(a.data)
		kerneltest.Fill(b.data)
	}
	before := append([]float32(nil), c.data...)
	if p.beta == 0 {
		kerneltest.Fill(c.data)
	}
	aBefore, bBefore := append([]float32(nil), a.data...), append([]float32(nil), b.data...)
	impl.Sgemm(p.tA, p.tB, p.m, p.n, p.k, p.alpha, a.data, a.stride, b.data, b.stride, p.beta, c.data, c.stride)
	kerneltest.Same(t, "A", a.data, aBefore)
	kerneltest.Same(t, "B", b.data, bBefore)
	for i, got := range c.data {
		r, j := i/c.stride, i%c.stride
		if j >= p.n {
			if p.beta == 0 && !kerneltest.Untouched(got) || p.beta != 0 && got != before[i] {
				t.Fatalf("%+v: wrote beyond row %d", p, r)
			}
			continue
		}
		want := float64(p.beta) * float64(before[i])
		size := math.Abs(want)
		for l := range p.k {
			if p.alpha != 0 {
				x := float64(p.alpha) * a.at(r, l) * b.at(l, j)
				want += x
				size += math.Abs(x)
			}
		}
		// k+1 roundings of the chain, one of the terms.
		if bound := float64(p.k+2) * kerneltest.Half * size; !(math.Abs(float64(got)-want) <= bound) {
			t.Fatalf("%+v: C[%d][%d] = %g, want %g ± %.3g", p, r, j, got, want, bound)
		}
	}
}

// TestSgemmPanics compares with gonum over arguments that are just right, and wrong by one.
func TestSgemmPanics(t *testing.T) {
	impl := blas.Float32{Engine: kerneltest.Engine(t, kernels.Available()[0], 1)}
	panics := map[string]bool{}
	for _, tA := range append(transposes, 'X') {
		for _, tB := range append(transposes, 0) {
			for size := range 8 {
				m, n, k := []int{0, 3}[size&1], []int{0, 2}[size>>1&1], []int{0, 4}[size>>2&1]
				aRows, aCols, bRows, bCols := m, k, k, n
				if tA != gonum.NoTrans {
					aRows, aCols = k, m
				}
				if tB != gonum.NoTrans {
					bRows, bCols = n, k
				}
				lda, ldb, ldc := max(1, aCols), max(1, bCols), max(1, n)
				lenA, lenB, lenC := max(0, (aRows-1)*lda+aCols), max(0, (bRows-1)*ldb+bCols), max(0, (m-1)*ldc+n)
				right := []int{m, n, k, lda, ldb, ldc, lenA, lenB, lenC}
				for wrong := -1; wrong < len(right); wrong++ {
					v := append([]int(nil), right...)
					if wrong >= 0 {
						if v[wrong]--; wrong < 3 {
							v[wrong] = -1
						}
						if v[wrong] < 0 && wrong >= 6 {
							continue
						}
					}
					call := func(f gonum.Float32) (message any) {
						defer func() { message = recover() }()
						f.Sgemm(tA, tB, v[0], v[1], v[2], 1, make([]float32, v[6]), v[3], make([]float32, v[7]), v[4], 0, make([]float32, v[8]), v[5])
						return nil
					}
					got, want := call(impl), call(reference.Implementation{})
					if got != want {
						t.Errorf("%c%c %v: panic %v, gonum's %v", tA, tB, v, got, want)
					}
					panics[fmt.Sprint(want)] = true
				}
			}
		}
	}
	if len(panics) != 11 { // ten messages and no panic
		t.Errorf("arguments that provoke %d messages: %v", len(panics), panics)
	}
}
