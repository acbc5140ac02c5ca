package bench

import (
	"testing"
	"time"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// BenchmarkEpilogue is what is fused into the product of the first feed-forward layer of Stable
// Diffusion 1.5, 4096×2560×320, by itself and with its GEGLU, whose result is half as wide. Each
// iteration runs the plain product too, without anything; "×plain" is the median of their ratios.
func BenchmarkEpilogue(b *testing.B) {
	const m, n, k, images = 4096, 2560, 320, 4
	image := func(cols int) tensor.Mat {
		return tensor.Mat{Rows: images, Cols: cols, Stride: cols, Data: random(images * cols)}
	}
	for _, op := range []struct {
		name string
		glu  bool
		pro  gemm.Prologue
		ep   func(dst tensor.Mat) gemm.Epilogue
	}{
		{"plain", false, gemm.Prologue{}, func(tensor.Mat) gemm.Epilogue { return gemm.Epilogue{} }},
		{"bias", false, gemm.Prologue{}, func(tensor.Mat) gemm.Epilogue { return gemm.Epilogue{Bias: random(n)} }},
		{"image-bias", false, gemm.Prologue{}, func(tensor.Mat) gemm.Epilogue { return gemm.Epilogue{ImageBias: image(n)} }},
		{"residual-in-place", false, gemm.Prologue{}, func(dst tensor.Mat) gemm.Epilogue { return gemm.Epilogue{Add: dst} }},
		{"residual", false, gemm.Prologue{}, func(tensor.Mat) gemm.Epilogue {
			return gemm.Epilogue{Add: tensor.Mat{Rows: m, Cols: n, Stride: n, Data: random(m * n)}}
		}},
		{"silu", false, gemm.Prologue{}, func(tensor.Mat) gemm.Epilogue { return gemm.Epilogue{Act: kernels.SiLU} }},
		{"quick_gelu", false, gemm.Prologue{}, func(tensor.Mat) gemm.Epilogue { return gemm.Epilogue{Act: kernels.QuickGELU} }},
		{"gelu_tanh", false, gemm.Prologue{}, func(tensor.Mat) gemm.Epilogue { return gemm.Epilogue{Act: kernels.GELUTanh} }},
		{"gelu", false, gemm.Prologue{}, func(tensor.Mat) gemm.Epilogue { return gemm.Epilogue{Act: kernels.GELU} }},
		{"geglu", true, gemm.Prologue{}, func(tensor.Mat) gemm.Epilogue { return gemm.Epilogue{Bias: random(n), Act: kernels.GELU} }},
		{"gate", false, gemm.Prologue{}, func(dst tensor.Mat) gemm.Epilogue { return gemm.Epilogue{Gate: image(n), Add: dst} }},
		{"moments", false, gemm.Prologue{}, func(tensor.Mat) gemm.Epilogue { return gemm.Epilogue{Moments: tensor.MakeMoments(images, m/images, n)} }},
		{"prologue", false, gemm.Prologue{Scale: image(k), Shift: image(k), Act: kernels.SiLU}, func(tensor.Mat) gemm.Epilogue { return gemm.Epilogue{} }},
	} {
		const flop = 2 * m * n * k
		each(b, kerneltest.Name("op", op.name, "m", m, "n", n, "k", k), flop, func(b *testing.B, e *engine.Engine) {
			x := tensor.Mat{Rows: m, Cols: k, Stride: k, Data: random(m * k)}
			weights := tensor.Mat{Rows: n, Cols: k, Stride: k, Data: random(n * k)}
			plain, fused := gemm.Pack(e, weights), gemm.Pack(e, weights)
			y := tensor.MakeMat(m, n)
			dst := y
			if op.glu {
				fused, dst = gemm.PackGLU(e, weights), tensor.MakeMat(m, n/2)
			}
			ep := op.ep(dst)
			timed := func(f func()) float64 {
				start := time.Now()
				f()
				return float64(time.Since(start).Nanoseconds())
			}
			var ratios []float64
			for b.Loop() {
				alone := timed(func() { gemm.Mul(e, y, x, plain, gemm.Prologue{}, gemm.Epilogue{}) })
				with := timed(func() { gemm.Mul(e, dst, x, fused, op.pro, ep) })
				ratios = append(ratios, with/alone)
			}
			b.ReportMetric(median(ratios), "×plain")
		})
	}
}
