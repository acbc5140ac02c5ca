package kernels_test

import (
	"math"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

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
