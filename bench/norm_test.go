package bench

import (
	"testing"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/norm"
	"github.com/lanewise/lanewise/tensor"
)

// BenchmarkNorm is a norm of one image into another: of 32 groups of channels, or of each pixel
// (layer, ada). Its GB/s count one reading and one writing of the image, however often it is read.
func BenchmarkNorm(b *testing.B) {
	const groups, eps = 32, 1e-5
	type call func(e *engine.Engine, dst, src tensor.NHWC, a norm.Affine, scale, shift tensor.Mat)
	group := func(act kernels.Act) call {
		return func(e *engine.Engine, dst, src tensor.NHWC, a norm.Affine, _, _ tensor.Mat) {
			norm.Group(e, dst, src, groups, a, act)
		}
	}
	for _, op := range []struct {
		name string
		call call
	}{
		{"group", group(kernels.Identity)},
		{"group-silu", group(kernels.SiLU)},
		{"adagroup-silu", func(e *engine.Engine, dst, src tensor.NHWC, a norm.Affine, scale, shift tensor.Mat) {
			norm.AdaGroup(e, dst, src, groups, a, scale, shift, kernels.SiLU)
		}},
		{"layer", func(e *engine.Engine, dst, src tensor.NHWC, a norm.Affine, _, _ tensor.Mat) {
			norm.Layer(e, dst.Tokens(), src.Tokens(), a)
		}},
		{"ada", func(e *engine.Engine, dst, src tensor.NHWC, a norm.Affine, scale, shift tensor.Mat) {
			norm.Ada(e, dst.Tokens(), src.Tokens(), 1, norm.Affine{Eps: a.Eps}, scale, shift)
		}},
	} {
		for _, s := range read(b, "norm", 3) {
			h, w, c := s[0], s[1], s[2]
			each(b, kerneltest.Name("op", op.name, "h", h, "w", w, "c", c), 0, func(b *testing.B, e *engine.Engine) {
				src, dst := tensor.Make(1, h, w, c), tensor.Make(1, h, w, c)
				copy(src.Data, random(len(src.Data)))
				vector := func() tensor.Mat { return tensor.Mat{Rows: 1, Cols: c, Stride: c, Data: random(c)} }
				a := norm.Affine{Scale: random(c), Shift: random(c), Eps: eps}
				scale, shift := vector(), vector()
				op.call(e, dst, src, a, scale, shift)
				for b.Loop() {
					op.call(e, dst, src, a, scale, shift)
				}
				traffic(b, len(src.Data)+len(dst.Data))
			})
		}
	}
}
