package kernels_test

import (
	"fmt"
	"hash/fnv"
	"math"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/ref"
	"github.com/lanewise/lanewise/kernels"
)

// checkLayerNorm holds LayerNorm of random values about offset to its bound, also in place: with a mean and
// without, the scale as it is and what it adds to 1.
func checkLayerNorm(t *testing.T, set *kernels.Set, rows, cols, pad int, offset float32) {
	t.Helper()
	const eps = 1e-5
	for _, rms := range []bool{false, true} {
		for _, plus := range []float32{0, 1} {
			what := kerneltest.Name("rows", rows, "cols", cols, "pad", pad, "offset", offset, "rms", rms, "plus", plus)
			src, dst := newOperand(t, 1, rows, cols, pad), newOperand(t, 0, rows, cols, pad+1)
			for r := range rows {
				for c := range cols {
					src.row(r)[c] += offset
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
		for _, cols := range append(widths, 768, 1153) {
			for _, offset := range []float32{0, 100} {
				checkLayerNorm(t, set, 3, cols, cols%3, offset)
			}
		}
		for rows := range 8 { // whole pairs, and one row left
			checkLayerNorm(t, set, rows, 37, rows%3, 0)
		}
	})
}

// layerNormHashes are those of LayerNorm by number of columns: what every Set of assembly computes, on
// every machine.
var layerNormHashes = map[int]string{
	1:    "1704b9a8d02d5f04",
	7:    "2f5822cd2f3b3847",
	16:   "0de0f92ab8d1949e",
	33:   "8a7b1658b14e76b7",
	320:  "ca73986e0a491367",
	1153: "4125a1a3990cd5a9",
}

func TestLayerNormHashes(t *testing.T) {
	const rows = 5
	eachAssembly(t, func(t *testing.T, set *kernels.Set) {
		for cols, want := range layerNormHashes {
			src, scale, shift, dst := portable(1, rows*cols), portable(2, cols), portable(3, cols), make([]float32, rows*cols)
			h := fnv.New64a()
			for _, rms := range []bool{false, true} {
				set.LayerNorm(&kernels.LayerNormArgs{Rows: rows, Cols: cols, Src: src, SrcStride: cols,
					Scale: scale, Shift: shift, Plus: 1, Eps: 1e-6, RMS: rms, Dst: dst, DstStride: cols})
				h.Write(portableBits(dst))
			}
			if got := fmt.Sprintf("%016x", h.Sum64()); got != want {
				t.Errorf("cols=%d: %s, want %s", cols, got, want)
			}
		}
	})
}

// layerNormBound is how far LayerNorm's arithmetic may stray from the truth. With n values, of which
// a lane sums n/16 and four halvings the rest, the mean is off by em ≤ (n/16 + 5)·u·Σ|x|/n; the
// variance about it gains em² and (n/16 + 8) roundings; half of its relative error, and three
// roundings more, are those of its root's reciprocal. The scale may have one of its own.
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
		return math.Abs(scale[c])*rstd*(1+er)*(em+d*(er+4*ulp)) + 2*ulp*math.Abs(want[c])
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
