package gemm_test

import (
	"testing"

	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/norm"
	"github.com/lanewise/lanewise/tensor"
)

// A group norm that is applied while the input is read gives the bits of one that was written to memory.
func TestMulReadsNorm(t *testing.T) {
	const n, h, w, groups = 2, 9, 11, 4
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, in := range []int{24, set.GEMM.KC + 4} {
			src := tensor.NHWC{N: n, H: h, W: w, C: in, Stride: in + 3, Data: kerneltest.Mat(t, 1, n*h*w, in, in+3).Data}
			affine := norm.Affine{Scale: kerneltest.Random(2, in), Shift: kerneltest.Random(3, in), Eps: 1e-5}
			mean, scale, shift := tensor.MakeMat(n, in), tensor.MakeMat(n, in), tensor.MakeMat(n, in)
			out := 2*set.GEMM.NR + 3
			weights := kerneltest.Mat(t, 4, out, in, in)
			for _, act := range []kernels.Act{kernels.Identity, kernels.SiLU, kernels.GELU} {
				for _, workers := range []int{1, 2, 7} {
					e := kerneltest.Engine(t, set, workers)
					packed := gemm.Pack(e, weights)
					normed := tensor.Make(n, h, w, in)
					norm.Group(e, normed, src, groups, affine, act)
					want, got := tensor.MakeMat(n*h*w, out), tensor.MakeMat(n*h*w, out)
					gemm.Mul(e, want, normed.Tokens(), packed, gemm.Prologue{}, gemm.Epilogue{})

					norm.GroupCoefficients(e, norm.Coefficients{Mean: mean, Scale: scale, Shift: shift}, src, groups, affine)
					pro := gemm.Prologue{Mean: mean, Scale: scale, Shift: shift, Act: act}
					gemm.Mul(e, got, src.Tokens(), packed, pro, gemm.Epilogue{})
					kerneltest.Same(t, kerneltest.Name("in", in, "act", act, "workers", workers), got.Data, want.Data)
				}
			}
		}
	})
}
