package unet_test

import (
	"math"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

// Against get_guidance_scale_embedding of diffusers' pipelines, in float64: [sin | cos] of
// 1000·(scale − 1)·10000^(−i/(half − 1)).
func TestGuidanceVector(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	m := loadModel(t, e, writeModel(t, `{"_class_name": "UNet2DConditionModel", `+layout+`, `+ways+`, "time_cond_proj_dim": 17}`))
	const half, scale = 8, 7.5
	want, bound := make([]float64, 17), make([]float64, 17)
	for i := range half {
		a := 1000 * (scale - 1) * math.Pow(10000, -float64(i)/(half-1))
		want[i], want[half+i] = math.Sin(a), math.Cos(a)
		bound[i] = 0x1p-24 * (14*a + 1) // roundings of the exponent, up to 9.3, the frequency and the product
		bound[half+i] = bound[i]
	}
	kerneltest.Near(t, "guidance", m.GuidanceVector(scale), want, func(i int) float64 { return bound[i] })

	plain := loadModel(t, e, writeModel(t, plainUNet))
	if v := plain.GuidanceVector(scale); v != nil {
		t.Errorf("a model that is told no scale has %v", v)
	}
}
