package modeltest_test

import (
	"io/fs"
	"math"
	"testing"

	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/tensor"
	"github.com/lanewise/lanewise/unet"
)

// A model that there are no weights of runs, keeps magnitudes, and is another one for another seed.
func TestFiles(t *testing.T) {
	e := kerneltest.EngineOf(t, engine.Options{Workers: 1})
	const config = `{"_class_name": "UNet2DConditionModel", "block_out_channels": [8, 16], "norm_num_groups": 4, "cross_attention_dim": 12,
		"attention_head_dim": 2, "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"]}`
	outputs := make(map[uint64]float32)
	for _, seed := range []uint64{1, 2} {
		var m *unet.Model
		files := modeltest.Files(config, "diffusion_pytorch_model", seed, func(fsys fs.FS) (err error) {
			m, err = unet.Load(e, fsys)
			return err
		})
		if len(files) != 2 || len(m.Unused) > 0 {
			t.Fatalf("%d files, unused %v", len(files), m.Unused)
		}
		s, err := m.Session(1, 8, 8)
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.Bind(cond.Cond{Context: []cond.Context{{Tokens: tensor.MakeMat(3, 12)}}})
		if err != nil {
			t.Fatal(err)
		}
		x, out := tensor.Make(1, 8, 8, 4), tensor.Make(1, 8, 8, 4)
		copy(x.Data, kerneltest.Random(1, len(x.Data)))
		if err := b.Forward(t.Context(), out, x, 500); err != nil {
			t.Fatal(err)
		}
		square := 0.0
		for _, v := range out.Data {
			square += float64(v) * float64(v)
		}
		if rms := math.Sqrt(square / float64(len(out.Data))); !(rms > 0.1 && rms < 10) {
			t.Errorf("seed %d: outputs of rms %v", seed, rms)
		}
		outputs[seed] = out.Data[0]
	}
	if outputs[1] == outputs[2] {
		t.Error("two seeds give one model")
	}
}

func TestFilesPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic for a config that no model has")
		}
	}()
	e := kerneltest.EngineOf(t, engine.Options{Workers: 1})
	modeltest.Files(`{"_class_name": "Nothing"}`, "model", 1, func(fsys fs.FS) error { _, err := unet.Load(e, fsys); return err })
}
