package kernels_test

import (
	"math"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/ref"
	"github.com/lanewise/lanewise/kernels"
)

// checkLayerNorm holds LayerNorm of random values, offset + spread·N(0, 1), to its bound, also in place: with a
// mean and without, the scale as it is and what it adds to 1.
func checkLayerNorm(t *testing.T, set *kernels.Set, rows, cols, pad int, offset, spread float32) {
	t.Helper()
	const eps = 1e-5
	for _, rms := range []bool{false, true} {
		for _, plus := range []float32{0, 1} {
			what := kerneltest.Name("rows", rows, "cols", cols, "pad", pad, "offset", offset, "spread", spread, "rms", rms, "plus", plus)
			src, dst := newOperand(t, 1, rows, cols, pad), newOperand(t, 0, rows, cols, pad+1)
			for r := range rows {
				for c := range cols {
					src.row(r)[c] = offset + spread*src.row(r)[c]
				}
			}
			scale, shift := newOperand(t, 3, 1, cols, 0), newOperand(t, 4, 1, cols, 0)
			args := kernels.LayerNormArgs{
				Rows: rows, Cols: cols, Src: src.data, SrcStride: src.stride,
				Scale: scale.data, Shift: shift.data, Plus: plus, Eps: eps, RMS: rms, Dst: dst.data, DstStride: dst.stride,
			}
			set.LayerNorm(&args)
			gain := float64s(scale.data)
			for c := range gain {
				gain[c] += float64(plus)
			}
			truth, bound := ref.LayerNorm, layerNormBound
			if rms {
				truth, bound = ref.RMSNorm, rmsNormBound
			}
			all := make([]float32, 0, rows*cols)
			for r := range rows {
				x := float64s(src.row(r))
				want := truth(x, gain, float64s(shift.data), float64(float32(eps)))
				kerneltest.Near(t, what, dst.row(r), want, bound(x, want, gain, eps))
				all = append(all, dst.row(r)...)
			}
			dst.checkMarks(t, what)
			args.Dst, args.DstStride = src.data, src.stride
			set.LayerNorm(&args)
			src.check(t, what+"/inplace", all)
		}
	}
}

func TestLayerNorm(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, cols := range append(widths, 333, 768, 1153) {
			for _, values := range []struct{ offset, spread float32 }{
				{0, 1}, {100, 1}, {1e5, 1}, {-1000, 0.01}, // what float32 lacks of a large mean would show
				{0, 0}, {3.7, 0}, {-1000.1, 0}, // constant rows
			} {
				checkLayerNorm(t, set, 3, cols, cols%3, values.offset, values.spread)
			}
		}
		for rows := range 8 { // whole pairs, and one row left
			checkLayerNorm(t, set, rows, 37, rows%3, 0, 1)
		}
	})
}

// A NaN and an infinity make NaN of a row, whatever lane they are in and whatever row is beside it; values
// whose squares are too large for float32 vanish.
func TestLayerNormNotFinite(t *testing.T) {
	const rows = 6 // 1 to 4 are spoilt, the last of them all along
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, cols := range []int{1, 2, 7, 16, 31, 40, 131} {
			for at := range cols {
				for _, rms := range []bool{false, true} {
					what := kerneltest.Name("cols", cols, "at", at, "rms", rms)
					src, scale, shift := newOperand(t, 1, rows, cols, 0), newOperand(t, 2, 1, cols, 0), newOperand(t, 3, 1, cols, 0)
					clean, dst := newOperand(t, 0, rows, cols, 0), newOperand(t, 0, rows, cols, 0)
					args := kernels.LayerNormArgs{Rows: rows, Cols: cols, Src: src.data, SrcStride: src.stride,
						Scale: scale.data, Shift: shift.data, Eps: 1e-5, RMS: rms, Dst: clean.data, DstStride: clean.stride}
					set.LayerNorm(&args)
					src.row(1)[at], src.row(2)[at], src.row(3)[at] = nan, inf, -inf
					for c := range cols {
						src.row(4)[c] = float32(1+c%3) * 1e30
					}
					args.Dst = dst.data
					set.LayerNorm(&args)
					for _, r := range []int{0, 5} {
						kerneltest.Same(t, what, dst.row(r), clean.row(r))
					}
					for r, spoilt := range map[int]bool{1: true, 2: !rms, 3: !rms} {
						for c, v := range dst.row(r) {
							if want := shift.data[c]; spoilt || c == at {
								if v == v {
									t.Errorf("%s: row %d, column %d is %g, want NaN", what, r, c, v)
								}
							} else if v != want {
								t.Errorf("%s: row %d, column %d is %g, want %g", what, r, c, v, want)
							}
						}
					}
					if cols > 1 {
						kerneltest.Same(t, what, dst.row(4), shift.data)
					}
				}
			}
		}
	})
}

// A row whose sum is finite but not that of its values less the mean has no variance: max keeps that NaN.
func TestLayerNormOverflow(t *testing.T) {
	const cols = 32
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		src, ones, dst := make([]float32, cols), make([]float32, cols), make([]float32, cols)
		for c := range cols {
			ones[c] = 1
			switch lane := c % 16; { // their sums: 3.38e38 and seven of -0.77e38
			case lane == 0:
				src[c] = 1.69e38
			case lane < 8:
				src[c] = -0.385e38
			}
		}
		set.LayerNorm(&kernels.LayerNormArgs{Rows: 1, Cols: cols, Src: src, Scale: ones, Shift: ones, Eps: 1e-5, Dst: dst})
		for c, v := range dst {
			if v == v {
				t.Errorf("column %d is %g, want NaN", c, v)
			}
		}
	})
}

// layerNormBound is how far LayerNorm's arithmetic may stray from the truth. With n values, of which
// a lane sums n/16 and four halvings the rest, the first mean is off by em ≤ (n/16 + 6)·u·Σ|x|/n. Values less
// that mean have a rounding each, so δ, which is to be em, is off by ed ≤ (n/16 + 7)·u times their magnitude
// about it. Their mean square, variance + em², has (n/16 + 8) roundings, its difference from δ² the error of
// this and one more; half of the variance's relative error, and three roundings more, are those of
// its root's reciprocal. What is left of em is two roundings: of a value less the mean, and of δ·rstd. The scale may
// have one of its own. One is added to each count for products of errors.
func layerNormBound(x, want, scale []float64, eps float64) func(c int) float64 {
	n := float64(len(x))
	mean, variance := ref.Moments(x)
	sum, dev := 0.0, 0.0
	for _, v := range x {
		sum += math.Abs(v)
		dev += math.Abs(v - mean)
	}
	em := (n/16 + 7) * ulp * sum / n
	ed := (n/16 + 8) * ulp * (dev/n + em)
	ev := (n/16+10)*ulp*(variance+em*em) + 2*em*ed + ed*ed
	er := 0.55*ev/(variance+eps) + 4*ulp
	rstd := 1 / math.Sqrt(variance+eps)
	return func(c int) float64 {
		d := math.Abs(x[c] - mean)
		return math.Abs(scale[c])*rstd*(1+er)*(ed+3*ulp*em+d*(er+4*ulp)) + 2*ulp*math.Abs(want[c])
	}
}

// rmsNormBound is layerNormBound without a mean: the mean square gains (n/16 + 6) roundings, half of which
// are its root's; five more are those of quotient, eps, root and reciprocal, of the product and the scale.
func rmsNormBound(x, want, scale []float64, eps float64) func(c int) float64 {
	n, square := float64(len(x)), 0.0
	for _, v := range x {
		square += v * v
	}
	inverse := 1 / math.Sqrt(square/n+eps)
	relative := 1.01 * (0.5*(n/16+8) + 5) * ulp
	return func(c int) float64 {
		return math.Abs(scale[c]*x[c])*inverse*relative + 2*ulp*math.Abs(want[c])
	}
}
