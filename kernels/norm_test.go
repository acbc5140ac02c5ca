package kernels_test

import (
	"math"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/ref"
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

// checkMoments holds Moments to float64 sums of random values about offset, within a rounding for
// each row and three besides.
func checkMoments(t *testing.T, set *kernels.Set, rows, cols, pad int, offset float32) {
	t.Helper()
	what := kerneltest.Name("rows", rows, "cols", cols, "pad", pad, "offset", offset)
	src := newOperand(t, 1, max(rows, 1), cols, pad)
	for r := range src.rows {
		for c := range cols {
			src.row(r)[c] += offset
		}
	}
	sum, square := newOperand(t, 0, 1, cols, 0), newOperand(t, 0, 1, cols, 0)
	set.Moments(&kernels.MomentsArgs{
		Rows: rows, Cols: cols, Src: src.data, Stride: src.stride,
		Ref: src.row(0), Sum: sum.data, Square: square.data,
	})
	wantSum, wantSquare, absolute := make([]float64, cols), make([]float64, cols), make([]float64, cols)
	for r := range rows {
		for c, x := range src.row(r) {
			d := float64(x) - float64(src.row(0)[c])
			wantSum[c] += d
			absolute[c] += math.Abs(d)
			wantSquare[c] += d * d
		}
	}
	n := float64(rows + 3)
	kerneltest.Near(t, what+" sum", sum.data, wantSum, func(c int) float64 { return n * ulp * absolute[c] })
	kerneltest.Near(t, what+" square", square.data, wantSquare, func(c int) float64 { return n * ulp * wantSquare[c] })
}

func TestMoments(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, cols := range widths {
			for _, rows := range []int{0, 1, 2, 5, 64} {
				for _, offset := range []float32{0, 1000} {
					checkMoments(t, set, rows, cols, cols%3, offset)
				}
			}
		}
	})
}

func TestAffine(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, cols := range widths {
			for _, rows := range []int{1, 2, 5} {
				src, dst := newOperand(t, 1, rows, cols, cols%3), newOperand(t, 0, rows, cols, cols%5)
				mean, scale, shift := newOperand(t, 2, 1, cols, 0), newOperand(t, 3, 1, cols, 0), newOperand(t, 4, 1, cols, 0)
				args := kernels.AffineArgs{
					Rows: rows, Cols: cols, Src: src.data, SrcStride: src.stride,
					Mean: mean.data, Scale: scale.data, Shift: shift.data, Dst: dst.data, DstStride: dst.stride,
				}
				set.Affine(&args)
				identity := make([]float32, 0, rows*cols)
				what := kerneltest.Name("rows", rows, "cols", cols)
				for r := range rows {
					want, bound := make([]float64, cols), make([]float64, cols)
					for c, x := range src.row(r) {
						product := (float64(x) - float64(mean.data[c])) * float64(scale.data[c])
						want[c] = product + float64(shift.data[c])
						bound[c] = 1.01 * ulp * (math.Abs(product) + math.Abs(want[c]))
					}
					kerneltest.Near(t, what, dst.row(r), want, func(c int) float64 { return bound[c] })
					identity = append(identity, dst.row(r)...)
				}
				dst.checkMarks(t, what)

				// With an activation it is Activate of that, also in place.
				for _, act := range kernels.Acts() {
					want := make([]float32, len(identity))
					set.Activate(&kernels.ActivateArgs{Rows: 1, Cols: len(identity), Act: act, Src: identity, Dst: want})
					args.Act, args.Dst, args.DstStride = act, dst.data, dst.stride
					set.Affine(&args)
					dst.check(t, what+"/act="+act.String(), want)

					over := newOperand(t, 1, rows, cols, cols%3)
					args.Src, args.Dst, args.DstStride = over.data, over.data, over.stride
					set.Affine(&args)
					over.check(t, what+"/inplace/act="+act.String(), want)
					args.Src = src.data
				}
			}
		}
	})
}

// checkLayerNorm holds LayerNorm of random values about offset to its bound, also in place.
func checkLayerNorm(t *testing.T, set *kernels.Set, rows, cols, pad int, offset float32) {
	t.Helper()
	const eps = 1e-5
	src, dst := newOperand(t, 1, rows, cols, pad), newOperand(t, 0, rows, cols, pad+1)
	for r := range rows {
		for c := range cols {
			src.row(r)[c] += offset
		}
	}
	scale, shift := newOperand(t, 3, 1, cols, 0), newOperand(t, 4, 1, cols, 0)
	args := kernels.LayerNormArgs{
		Rows: rows, Cols: cols, Src: src.data, SrcStride: src.stride,
		Scale: scale.data, Shift: shift.data, Eps: eps, Dst: dst.data, DstStride: dst.stride,
	}
	set.LayerNorm(&args)
	what := kerneltest.Name("rows", rows, "cols", cols, "pad", pad, "offset", offset)
	all := make([]float32, 0, rows*cols)
	for r := range rows {
		x := float64s(src.row(r))
		want := ref.LayerNorm(x, float64s(scale.data), float64s(shift.data), float64(float32(eps)))
		kerneltest.Near(t, what, dst.row(r), want, layerNormBound(x, want, float64s(scale.data), eps))
		all = append(all, dst.row(r)...)
	}
	dst.checkMarks(t, what)
	args.Dst, args.DstStride = src.data, src.stride
	set.LayerNorm(&args)
	src.check(t, what+"/inplace", all)
}

func TestLayerNorm(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, cols := range append(widths, 768, 1153) {
			for _, offset := range []float32{0, 100} {
				checkLayerNorm(t, set, 3, cols, cols%3, offset)
			}
		}
	})
}

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
			checkLayerNorm(t, set, r, c, p, offset)
		}
	})
}

// layerNormBound is how far LayerNorm's arithmetic may stray from the truth. With n values, of which
// a lane sums n/16 and four halvings the rest, the mean is off by em ≤ (n/16 + 5)·u·Σ|x|/n; the
// variance about it gains em² and (n/16 + 8) roundings; half of its relative error, and three
// roundings more, are those of its root's reciprocal.
func layerNormBound(x, want, scale []float64, eps float64) func(c int) float64 {
	n := float64(len(x))
	mean, variance := ref.Moments(x)
	sum := 0.0
	for _, v := range x {
		sum += math.Abs(v)
	}
	em := (n/16 + 6) * ulp * sum / n
	ev := em*em + (n/16+9)*ulp*(variance+em*em)
	er := 0.55*ev/(variance+eps) + 4*ulp
	rstd := 1 / math.Sqrt(variance+eps)
	return func(c int) float64 {
		d := math.Abs(x[c] - mean)
		return math.Abs(scale[c])*rstd*(1+er)*(em+d*(er+3*ulp)) + 2*ulp*math.Abs(want[c])
	}
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
