package unet_test

import (
	"testing"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

// A checkpoint of a half-width type stays that in memory, and its images are those of float32 storage;
// so are those of the same weights in an F32 checkpoint, which loading finds out.
func TestHalfWidthCheckpoint(t *testing.T) {
	const h, w = 9, 8
	c := varied()
	for dtype, ty := range map[string]kernels.HalfType{"BF16": kernels.BFloat16, "F16": kernels.Float16} {
		weights := randomWeights(t, c, 1)
		for _, w := range weights {
			kerneltest.Truncate(w.Data, ty)
		}
		t.Run(dtype, func(t *testing.T) {
			kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
				run := func(storage engine.Storage, dtype string) ([]float32, int) {
					e := kerneltest.EngineOf(t, engine.Options{Set: set, Workers: 2, Storage: storage})
					for name, w := range weights {
						w.Type = dtype
						weights[name] = w
					}
					m := loadModel(t, e, files(t, c, weights))
					b := bind(t, m, 2, h, w, randomCond(2, m, 7), randomCond(3, m, 7))
					return forward(t, b, randomImages(1, 2, h, w, c.InChannels), c.OutChannels, 981, 20.5).Data, m.Bytes
				}
				want, bytes := run(engine.Float32, dtype)
				for _, stored := range []string{dtype, "F32"} {
					got, half := run(engine.Compact, stored)
					kerneltest.Same(t, "from "+stored, got, want)
					if 2*half != bytes {
						t.Errorf("from %s: %d bytes of %s weights, %d of float32", stored, half, dtype, bytes)
					}
				}
			})
		})
	}
}

// Weights that fit no half-width type stay float32.
func TestFloat32Checkpoint(t *testing.T) {
	c := small()
	fsys := randomModel(t, c)
	set := kernels.Available()[0]
	compact := loadModel(t, kerneltest.EngineOf(t, engine.Options{Set: set}), fsys)
	wide := loadModel(t, kerneltest.EngineOf(t, engine.Options{Set: set, Storage: engine.Float32}), fsys)
	if compact.Bytes != wide.Bytes || wide.Bytes == 0 {
		t.Errorf("%d bytes, %d of float32", compact.Bytes, wide.Bytes)
	}
}
