package kerneltest

import (
	"math"
	"testing"

	"github.com/lanewise/lanewise/internal/ref"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// Half is half a unit in the last place of 1: the relative error of a rounding to float32.
const Half = 1.0 / (1 << 24)

// Approx is a real number and how far a float32 result may be from it.
type Approx struct{ V, E float64 }

// Sum is the sum of a chain of k fused multiply-adds whose terms, with the value it starts from,
// add up to v and in absolute value to abs: its error is at most (k+1)·2⁻²⁴·abs.
func Sum(k int, v, abs float64) Approx { return Approx{v, float64(k+1) * Half * abs} }

// Act is act(x). The activation itself is within 4 units in the last place of the larger of its
// argument and its result.
func (x Approx) Act(act kernels.Act) Approx {
	if act == kernels.Identity {
		return x
	}
	f := ref.Acts[act.String()]
	v := f(x.V)
	e := math.Max(math.Abs(f(x.V+x.E)-v), math.Abs(f(x.V-x.E)-v))
	return Approx{v, e + 8*Half*math.Max(math.Abs(x.V), math.Abs(v)) + 1e-37}
}

// Times is the rounded product x·y.
func (x Approx) Times(y Approx) Approx {
	v := x.V * y.V
	return Approx{v, math.Abs(x.V)*y.E + math.Abs(y.V)*x.E + x.E*y.E + 2*Half*math.Abs(v)}
}

// Plus is the rounded sum x + y.
func (x Approx) Plus(y float64) Approx {
	v := x.V + y
	return Approx{v, x.E + 2*Half*(math.Abs(v)+x.E)}
}

// NearAll is Near with a bound for every value.
func NearAll(t testing.TB, what string, got []float32, want []Approx) {
	t.Helper()
	v := make([]float64, len(want))
	for i := range want {
		v[i] = want[i].V
	}
	Near(t, what, got, v, func(i int) float64 { return want[i].E })
}

// Mat returns a matrix of random values that ends at an unreadable page. Its Data is not nil.
func Mat(t testing.TB, seed uint64, rows, cols, stride int) tensor.Mat {
	n := 0
	if rows > 0 && cols > 0 {
		n = (rows-1)*stride + cols
	}
	m := tensor.Mat{Rows: rows, Cols: cols, Stride: stride, Data: Guard(t, n)}
	if m.Data == nil {
		m.Data = []float32{}
	}
	copy(m.Data, Random(seed, n))
	return m
}

// Values returns the elements of m, row by row.
func Values(m tensor.Mat) []float32 {
	s := make([]float32, 0, m.Rows*m.Cols)
	for r := range m.Rows {
		if m.Cols > 0 {
			s = append(s, m.Row(r)...)
		}
	}
	return s
}

// Float64s converts s.
func Float64s(s []float32) []float64 {
	f := make([]float64, len(s))
	for i, v := range s {
		f[i] = float64(v)
	}
	return f
}

// UntouchedBetween fails the test where a value between two rows of m is not what Fill left there.
func UntouchedBetween(t testing.TB, what string, m tensor.Mat) {
	t.Helper()
	if m.Cols == 0 {
		return
	}
	for r := range m.Rows - 1 {
		for _, v := range m.Data[r*m.Stride+m.Cols : (r+1)*m.Stride] {
			if !Untouched(v) {
				t.Fatalf("%s: wrote beyond row %d", what, r)
			}
		}
	}
}
