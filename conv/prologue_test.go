package conv_test

import (
	"testing"

	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/norm"
	"github.com/lanewise/lanewise/tensor"
)

// A group norm that is applied while the image is read gives the bits of one that was written to memory,
// also around the image, where zeros are read that no norm has shifted.
func TestApplyReadsNorm(t *testing.T) {
	const n, h, w, in, groups = 2, 7, 9, 24, 4
	algorithms := []conv.Algorithm{conv.Direct, conv.Winograd2, conv.Winograd4, conv.Winograd6, conv.Phases, conv.PhasesWinograd}
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		src := image(t, 1, n, h, w, in, in+3)
		affine := norm.Affine{Scale: kerneltest.Random(2, in), Shift: kerneltest.Random(3, in), Eps: 1e-5}
		modScale, modShift := kerneltest.Mat(t, 4, n, in, in), kerneltest.Mat(t, 5, n, in, in)
		c := norm.Coefficients{Mean: tensor.MakeMat(n, in), Scale: tensor.MakeMat(n, in), Shift: tensor.MakeMat(n, in)}
		out := set.GEMM.NR + 3
		up := conv.Same(3)
		up.Upsample = true
		for _, g := range append([]conv.Geometry{up}, geometries...) {
			weights := kerneltest.Random(6, out*in*g.KH*g.KW)
			for _, workers := range []int{1, 7} {
				e := kerneltest.Engine(t, set, workers)
				packed := conv.Pack(e, weights, out, in, g)
				oh, ow := packed.Size(h, w)
				normed, want, got := tensor.Make(n, h, w, in), tensor.Make(n, oh, ow, out), tensor.Make(n, oh, ow, out)
				norm.AdaGroup(e, normed, src, groups, affine, modScale, modShift, kernels.SiLU)
				norm.AdaGroupCoefficients(e, c, src, groups, affine, modScale, modShift)
				pro := gemm.Prologue{Mean: c.Mean, Scale: c.Scale, Shift: c.Shift, Act: kernels.SiLU}
				for _, a := range algorithms {
					plan := packed.Choose(h, w, oh, ow, conv.Options{Algorithm: a})
					if plan.Algorithm != a {
						continue // does not fit
					}
					with := packed.With(e, plan)
					conv.Apply(e, want, normed, with, gemm.Prologue{}, gemm.Epilogue{})
					conv.Apply(e, got, src, with, pro, gemm.Epilogue{})
					kerneltest.NoAllocations(t, plan.String(), func() { conv.Apply(e, got, src, with, pro, gemm.Epilogue{}) })
					kerneltest.Same(t, kerneltest.Name("k", g.KH, "kw", g.KW, "s", g.Stride, "up", g.Upsample, "alg", plan, "workers", workers), got.Data, want.Data)
				}
			}
		}
	})
}
