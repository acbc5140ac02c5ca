package norm_test

import (
	"math"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/ref"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/norm"
	"github.com/lanewise/lanewise/tensor"
)

// matrix returns random rows at a stride above cols, offset by a constant.
func matrix(seed uint64, rows, cols int, offset float32) tensor.Mat {
	m := tensor.MakeMat(rows, cols+2)
	kerneltest.Fill(m.Data)
	m = m.Columns(0, cols)
	values := kerneltest.Random(seed, rows*cols)
	for r := range rows {
		for c := range cols {
			m.Row(r)[c] = values[r*cols+c] + offset
		}
	}
	return m
}

// checkRow compares a normalised row with the truth. Sums of n values in 16 lanes stray by
// λ√(n/16 + 4)·u of their magnitude (Higham & Mary 2019, λ = 6): the first mean by em, what is found of em by ed.
func checkRow(t *testing.T, got, x []float32, gamma, beta []float64, eps float32) {
	t.Helper()
	want := ref.LayerNorm(float64s(x), gamma, beta, float64(eps))
	mean, variance := ref.Moments(float64s(x))
	n := float64(len(x))
	stray := 6 * math.Sqrt(n/16+4) * ulp
	em := stray * (math.Abs(mean) + math.Sqrt(variance))
	ed := stray * (math.Sqrt(variance) + em)
	ev := stray*(variance+em*em) + 2*em*ed + ed*ed
	rstd := 1 / math.Sqrt(variance+float64(eps))
	er := 0.55*ev/(variance+float64(eps)) + 4*ulp
	kerneltest.Near(t, "row", got, want, func(c int) float64 {
		d := math.Abs(float64(x[c]) - mean)
		return math.Abs(gamma[c])*rstd*(1+er)*(ed+2*ulp*em+d*(er+3*ulp)) + 3*ulp*(math.Abs(want[c])+math.Abs(beta[c]))
	})
}

func TestLayer(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		for _, cols := range []int{1, 2, 16, 24, 40, 320, 768, 1153} {
			for _, offset := range []float32{0, 50, -1e5} {
				src, dst := matrix(1, 37, cols, offset), matrix(2, 37, cols, 0)
				a := affine(cols, 1e-5)
				norm.Layer(e, dst, src, a)
				for r := range src.Rows {
					checkRow(t, dst.Row(r), src.Row(r), float64s(a.Scale), float64s(a.Shift), a.Eps)
				}
				norm.Layer(e, src, src, a)
				for r := range src.Rows {
					kerneltest.Same(t, "in place", src.Row(r), dst.Row(r))
				}
			}
		}
		// Without scale and shift.
		x, ones, zeros := matrix(3, 5, 40, 0), make([]float64, 40), make([]float64, 40)
		for i := range ones {
			ones[i] = 1
		}
		y := tensor.MakeMat(5, 40)
		norm.Layer(e, y, x, norm.Affine{Eps: 1e-6})
		for r := range x.Rows {
			checkRow(t, y.Row(r), x.Row(r), ones, zeros, 1e-6)
		}
	})
}

// Rows of one value give the shift, but for what rounding leaves of it where the mean is corrected.
func TestLayerOfConstants(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		for _, cols := range []int{1, 2, 3, 7, 13, 37, 97, 331, 333, 1153} {
			src, dst := tensor.MakeMat(3, cols), tensor.MakeMat(3, cols)
			for r, v := range []float32{0.1, -1000.3, 123456.7} {
				for c := range cols {
					src.Row(r)[c] = v
				}
			}
			a := affine(cols, 1e-5)
			norm.Layer(e, dst, src, a)
			for r := range src.Rows {
				checkRow(t, dst.Row(r), src.Row(r), float64s(a.Scale), float64s(a.Shift), a.Eps)
			}
		}
	})
}

func TestAda(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		const batch, tokens, cols = 3, 21, 72
		src, dst := matrix(1, batch*tokens, cols, 0), matrix(2, batch*tokens, cols, 0)
		scale, shift := modulation(batch, cols)
		norm.Ada(e, dst, src, batch, norm.Affine{Eps: 1e-6}, scale, shift)
		for n := range batch {
			gain := float64s(scale.Row(n))
			for c := range gain {
				gain[c]++
			}
			for r := n * tokens; r < (n+1)*tokens; r++ {
				checkRow(t, dst.Row(r), src.Row(r), gain, float64s(shift.Row(n)), 1e-6)
			}
		}
	})
}

// A norm's own scale and shift come before the modulation.
func TestAdaAffine(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 2)
	const batch, tokens, cols = 2, 5, 40
	src, dst := matrix(1, batch*tokens, cols, 0), matrix(2, batch*tokens, cols, 0)
	scale, shift := modulation(batch, cols)
	a := affine(cols, 1e-5)
	norm.Ada(e, dst, src, batch, a, scale, shift)
	for r := range src.Rows {
		gain, offset := modulated(a, scale.Row(r/tokens), shift.Row(r/tokens))
		checkRow(t, dst.Row(r), src.Row(r), gain, offset, a.Eps)
	}
}

// modulated returns the scales and shifts of an affine norm and its modulation together.
func modulated(a norm.Affine, scale, shift []float32) (gain, offset []float64) {
	for c := range scale {
		g := 1 + float64(scale[c])
		gain = append(gain, float64(a.Scale[c])*g)
		offset = append(offset, float64(a.Shift[c])*g+float64(shift[c]))
	}
	return gain, offset
}

// The mean square's sums of n values in 16 lanes stray by λ√(n/16 + 4)·u as in checkRow, half of which is
// its root's; quotient, eps, root, reciprocal and two products add a rounding each.
func TestRMS(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, cols := range []int{1, 3, 8, 41, 320} {
			const batch, tokens = 2, 9
			a := affine(cols, 1e-6)
			scale, shift := modulation(batch, cols)
			src := matrix(1, batch*tokens, cols, 3)
			relative := (3*math.Sqrt(float64(cols)/16+4) + 6) * ulp
			var first tensor.Mat
			for _, workers := range []int{1, 2, 7} {
				e := kerneltest.Engine(t, set, workers)
				plain, ada := matrix(2, src.Rows, cols, 0), matrix(2, src.Rows, cols, 0)
				norm.RMS(e, plain, src, 0, norm.Affine{Scale: a.Scale, Eps: a.Eps}, tensor.Mat{}, tensor.Mat{})
				norm.RMS(e, ada, src, batch, a, scale, shift)
				if workers == 1 {
					first = ada
				}
				for r := range src.Rows {
					x, gamma := float64s(src.Row(r)), float64s(a.Scale)
					gain, offset := modulated(a, scale.Row(r/tokens), shift.Row(r/tokens))
					want, wantAda := ref.RMSNorm(x, gamma, nil, float64(a.Eps)), ref.RMSNorm(x, gain, offset, float64(a.Eps))
					kerneltest.Near(t, "rms", plain.Row(r), want, func(c int) float64 { return relative * math.Abs(want[c]) })
					kerneltest.Near(t, "modulated", ada.Row(r), wantAda, func(c int) float64 {
						return relative * (math.Abs(wantAda[c]-offset[c]) + math.Abs(offset[c]))
					})
					kerneltest.Same(t, kerneltest.Name("workers", workers), ada.Row(r), first.Row(r))
				}
			}
		}
	})
}

// TestLayerSameBits: neither the number of workers, nor the batch, nor the assembly changes a bit.
func TestLayerSameBits(t *testing.T) {
	const batch, tokens, cols = 2, 301, 131
	src := matrix(1, batch*tokens, cols, 1)
	scale, shift := modulation(batch, cols)
	var assembly []float32
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		var want tensor.Mat
		for _, workers := range []int{1, 2, 7} {
			e := kerneltest.Engine(t, set, workers)
			got, one := tensor.MakeMat(src.Rows, cols), tensor.MakeMat(tokens, cols)
			norm.Ada(e, got, src, batch, norm.Affine{Eps: 1e-5}, scale, shift)
			if workers == 1 {
				want = got
			}
			kerneltest.Same(t, kerneltest.Name("workers", workers), got.Data, want.Data)
			for n := range batch {
				norm.Ada(e, one, src.Slice(n*tokens, (n+1)*tokens), 1, norm.Affine{Eps: 1e-5}, scale.Slice(n, n+1), shift.Slice(n, n+1))
				kerneltest.Same(t, kerneltest.Name("image", n), one.Data, want.Slice(n*tokens, (n+1)*tokens).Data)
			}
		}
		if set.ISA == kernels.Generic {
			return
		}
		if assembly != nil {
			kerneltest.Same(t, "assembly", want.Data, assembly)
		}
		assembly = want.Data
	})
}

func TestLayerDoesNotAllocate(t *testing.T) {
	for _, workers := range []int{1, 2} {
		e := open(t, workers)
		x := matrix(1, 64, 320, 0)
		scale, shift := modulation(2, 320)
		a := affine(320, 1e-5)
		run := func() {
			norm.Layer(e, x, x, a)
			norm.Layer(e, x, x, norm.Affine{Eps: 1e-6})
			norm.Ada(e, x, x, 2, norm.Affine{Eps: 1e-6}, scale, shift)
			norm.Ada(e, x, x, 2, a, scale, shift)
			norm.RMS(e, x, x, 2, norm.Affine{Scale: a.Scale, Eps: 1e-6}, scale, shift)
		}
		kerneltest.NoAllocations(t, kerneltest.Name("workers", workers), run)
	}
}
