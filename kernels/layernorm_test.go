package kernels_test

import (
	"math"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/ref"
	"github.com/lanewise/lanewise/kernels"
)

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
