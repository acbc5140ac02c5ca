package bench

import (
	"testing"
	"time"

	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/norm"
	"github.com/lanewise/lanewise/tensor"
)

// BenchmarkNormConv is a group norm with SiLU and the convolution behind it. "ms" is the norm written to
// memory and then convolved. Medians of the ratio to it, in the same iteration, are of
//
//   - ×read: the statistics, and a convolution that applies the norm while it reads. MB-saved is the
//     traffic that this leaves out: an image is not written, and read once less.
//   - ×moments: the norm in memory, from moments that were gathered before, and a convolution that
//     gathers those of its output: what a chain of the two would take.
//
// All give the same bits.
func BenchmarkNormConv(b *testing.B) {
	const groups = 32
	for _, s := range []struct{ batch, side, channels, k int }{
		{1, 512, 128, 3}, {1, 256, 256, 3}, {1, 128, 512, 3}, {1, 64, 320, 3}, {1, 32, 640, 3}, {1, 16, 1280, 3},
		{1, 64, 320, 1}, {2, 32, 32, 3}, {2, 16, 64, 3},
	} {
		for _, alg := range []conv.Algorithm{conv.Direct, conv.Winograd4} {
			c, g := s.channels, conv.Same(s.k)
			flop := 2 * float64(s.batch*s.side*s.side) * float64(c*c*s.k*s.k)
			name := kerneltest.Name("b", s.batch, "h", s.side, "w", s.side, "c", c, "k", s.k, "alg", alg)
			if s.k == 1 && alg != conv.Direct {
				continue
			}
			each(b, name, flop, func(b *testing.B, e *engine.Engine) {
				src := tensor.Make(s.batch, s.side, s.side, c)
				copy(src.Data, random(len(src.Data)))
				normed, dst := tensor.Make(s.batch, s.side, s.side, c), tensor.Make(s.batch, s.side, s.side, c)
				packed := conv.Pack(e, random(c*c*s.k*s.k), c, c, g)
				weights := packed.With(e, packed.Choose(s.side, s.side, s.side, s.side, conv.Options{Algorithm: alg}))
				affine := norm.Affine{Scale: random(c), Shift: random(c), Eps: 1e-5}
				known, ahead := affine, gemm.Epilogue{Moments: tensor.MakeMoments(s.batch, s.side*s.side, c)}
				known.Moments = ahead.Moments
				mat := func() tensor.Mat { return tensor.MakeMat(s.batch, c) }
				to := norm.Coefficients{Mean: mat(), Scale: mat(), Shift: mat()}
				pro := gemm.Prologue{Mean: to.Mean, Scale: to.Scale, Shift: to.Shift, Act: kernels.SiLU}
				ways := []struct {
					name string
					run  func()
				}{
					{"ms", func() {
						norm.Group(e, normed, src, groups, affine, kernels.SiLU)
						conv.Apply(e, dst, normed, weights, gemm.Prologue{}, gemm.Epilogue{})
					}},
					{"×read", func() {
						norm.GroupCoefficients(e, to, src, groups, affine)
						conv.Apply(e, dst, src, weights, pro, gemm.Epilogue{})
					}},
					{"×moments", func() {
						norm.Group(e, normed, src, groups, known, kernels.SiLU)
						conv.Apply(e, dst, normed, weights, gemm.Prologue{}, ahead)
					}},
				}
				metrics := make([][]float64, len(ways))
				for b.Loop() {
					base := 1.0
					for i, way := range ways {
						start := time.Now()
						way.run()
						ms := 1e3 * time.Since(start).Seconds()
						metrics[i] = append(metrics[i], ms/base)
						if i == 0 {
							base = ms
						}
					}
				}
				for i, way := range ways {
					b.ReportMetric(median(metrics[i]), way.name)
				}
				b.ReportMetric(2*4*float64(len(src.Data))/1e6, "MB-saved")
			})
		}
	}
}
