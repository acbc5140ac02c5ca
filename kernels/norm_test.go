package kernels_test

import (
	"math"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

const ulp = 0x1p-24 // half the distance from 1 to the next float32: what one rounding costs

// operand is a rows × cols matrix whose last element is the last before an unreadable page, and
// whose rows are pad elements apart, marked.
type operand struct {
	rows, cols, stride int
	data               []float32
}

// newOperand makes one of random values, or of nothing but marks where seed is 0.
func newOperand(t *testing.T, seed uint64, rows, cols, pad int) operand {
	o := operand{rows, cols, cols + pad, nil}
	if rows == 0 || cols == 0 {
		o.data = []float32{}
		return o
	}
	o.data = kerneltest.Guard(t, (rows-1)*o.stride+cols)
	kerneltest.Fill(o.data)
	if seed != 0 {
		for r := range rows {
			copy(o.row(r), kerneltest.Random(seed*1000+uint64(r), cols))
		}
	}
	return o
}

func (o operand) row(r int) []float32 { return o.data[r*o.stride:][:o.cols] }

// check compares the operand with want bit for bit, and looks at the marks between its rows.
func (o operand) check(t *testing.T, what string, want []float32) {
	t.Helper()
	for r := range o.rows {
		kerneltest.Same(t, what, o.row(r), want[r*o.cols:][:o.cols])
	}
	o.checkMarks(t, what)
}

func (o operand) checkMarks(t *testing.T, what string) {
	t.Helper()
	for i, v := range o.data {
		if i%o.stride >= o.cols && !kerneltest.Untouched(v) {
			t.Fatalf("%s: wrote between rows, at %d of stride %d", what, i, o.stride)
		}
	}
}

func float64s(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// widths are numbers of columns around every vector and unrolling that a maker may have.
var widths = []int{1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 80, 97, 128, 131, 160}

// FuzzNorms looks for a shape that breaks a bound.
func FuzzNorms(f *testing.F) {
	f.Add(uint8(1), uint16(1), uint8(0), float32(0))
	f.Add(uint8(5), uint16(129), uint8(3), float32(100))
	f.Fuzz(func(t *testing.T, rows uint8, cols uint16, pad uint8, offset float32) {
		if !(math.Abs(float64(offset)) <= 1e4) {
			t.Skip()
		}
		r, c, p := int(rows)%70, 1+int(cols)%700, int(pad)%20
		for _, set := range kernels.Available() {
			checkMoments(t, set, r, c, p, offset)
			checkLayerNorm(t, set, r, c, p, offset, 1)
			checkLayerNorm(t, set, r, c, p, offset, 1/(1+offset*offset)) // hardly a spread beside the mean
		}
	})
}

// TestNormAssembly holds the assembly makers to equal bits.
func TestNormAssembly(t *testing.T) {
	sets := kernels.Available()
	sets = sets[:len(sets)-1] // the last is generic
	for _, cols := range append(widths, 320, 1153) {
		var first [][]float32
		for _, set := range sets {
			const rows = 19
			src, dst, dst2 := newOperand(t, 1, rows, cols, 1), newOperand(t, 0, rows, cols, 0), newOperand(t, 0, rows, cols, 0)
			scale, shift := newOperand(t, 3, 1, cols, 0), newOperand(t, 4, 1, cols, 0)
			sum, square := newOperand(t, 0, 1, cols, 0), newOperand(t, 0, 1, cols, 0)
			set.Moments(&kernels.MomentsArgs{Rows: rows, Cols: cols, Src: src.data, Stride: src.stride, Ref: src.data, Sum: sum.data, Square: square.data})
			set.LayerNorm(&kernels.LayerNormArgs{Rows: rows, Cols: cols, Src: src.data, SrcStride: src.stride,
				Scale: scale.data, Shift: shift.data, Eps: 1e-6, Dst: dst.data, DstStride: dst.stride})
			set.Affine(&kernels.AffineArgs{Rows: rows, Cols: cols, Src: src.data, SrcStride: src.stride,
				Mean: sum.data, Scale: scale.data, Shift: shift.data, Act: kernels.SiLU, Dst: dst2.data, DstStride: dst2.stride})
			results := [][]float32{sum.data, square.data, dst.data, dst2.data}
			for i, name := range []string{"sum", "square", "layer norm", "affine"} {
				if first != nil {
					kerneltest.Same(t, kerneltest.Name(name, set.ISA, "cols", cols), results[i], first[i])
				}
			}
			first = results
		}
	}
}
