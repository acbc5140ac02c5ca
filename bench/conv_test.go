package bench

import (
	"testing"

	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/tensor"
)

// BenchmarkConv is a convolution that keeps the image's size, or halves it, with a bias. Its
// operations are counted as of the direct sum, whatever the algorithm.
func BenchmarkConv(b *testing.B) {
	for _, s := range shapes(b, "conv", 7) {
		n, h, w, in, out, k := s[0], s[1], s[2], s[3], s[4], s[5]
		g := conv.Same(k)
		g.Stride = s[6]
		flop := 2 * float64(n*(h/g.Stride)*(w/g.Stride)) * float64(in*out*k*k)
		name := kerneltest.Name("b", n, "h", h, "w", w, "in", in, "out", out, "k", k, "s", g.Stride, "alg", "auto")
		each(b, name, flop, func(b *testing.B, e *engine.Engine) {
			weights := conv.Pack(e, random(out*in*k*k), out, in, g)
			src := tensor.Make(n, h, w, in)
			copy(src.Data, random(len(src.Data)))
			dst := tensor.Make(n, h/g.Stride, w/g.Stride, out)
			bias := random(out)
			conv.Apply(e, dst, src, weights, gemm.Prologue{}, gemm.Epilogue{Bias: bias})
			for b.Loop() {
				conv.Apply(e, dst, src, weights, gemm.Prologue{}, gemm.Epilogue{Bias: bias})
			}
			report(b, flop, e.Set(), e.Workers())
		})
	}
}
