package modeltest_test

import (
	"io/fs"
	"math"
	"testing"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/unet"
)

// Dense writes what Files makes, cut to bfloat16.
func TestDense(t *testing.T) {
	e := kerneltest.EngineOf(t, engine.Options{Workers: 1})
	const config = `{"_class_name": "UNet2DModel", "block_out_channels": [8, 16], "norm_num_groups": 4,
		"down_block_types": ["DownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "UpBlock2D"]}`
	load := func(fsys fs.FS) error {
		_, err := unet.Load(e, fsys)
		return err
	}
	const base, seed = "diffusion_pytorch_model", 3
	fsys, err := modeltest.Dense(t.TempDir(), config, base, seed, load)
	if err != nil {
		t.Fatal(err)
	}
	if err := load(fsys); err != nil {
		t.Fatal(err)
	}
	want, got := modeltest.Read(modeltest.Files(config, base, seed, load), base), modeltest.Read(fsys, base)
	if len(got) != len(want) || len(got) < 20 {
		t.Fatalf("%d tensors, want %d", len(got), len(want))
	}
	for name, w := range want {
		for i, v := range w.Data {
			w.Data[i] = math.Float32frombits(math.Float32bits(v) &^ 0xffff)
		}
		kerneltest.Same(t, name, got[name].Data, w.Data)
	}
}
