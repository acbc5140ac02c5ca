package lora_test

import (
	"io/fs"
	"math"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/clip"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/lora"
)

// What is not finite is blamed on the merge if it is the merge's, and on the model if it is the model's.
func TestNotFinite(t *testing.T) {
	const config = `{"vocab_size": 9, "max_position_embeddings": 4, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2}`
	const layer, kohya = "text_model.encoder.layers.0.mlp.fc1", "lora_te_text_model_encoder_layers_0_mlp_fc1"
	e := kerneltest.Engine(t, nil, 1)
	dir := modeltest.Files(config, "model", 1, func(fsys fs.FS) error {
		_, err := clip.LoadText(e, fsys)
		return err
	})
	file := modeltest.Safetensors(map[string]modeltest.Tensor{
		kohya + ".lora_down.weight": modeltest.Random("down", 1, 2, 8),
		kohya + ".lora_up.weight":   modeltest.Random("up", 1, 12, 2),
	})
	f, err := lora.Open(fstest.MapFS{"a.safetensors": {Data: file}}, "a.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, test := range []struct {
		scale float64
		says  string
	}{
		{math.NaN(), "clip: lora: a.safetensors: scale NaN"},
		{math.Inf(-1), "clip: lora: a.safetensors: scale -Inf"},
		{1e39, layer + ".weight: value 0 is "},
		{1e39, "(after what was merged)"},
	} {
		if _, err := clip.LoadText(e, dir, f.Text(test.scale)); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("scale %v: %v, want %q", test.scale, err, test.says)
		}
	}
	if _, err := clip.LoadText(e, dir, f.Text(1)); err != nil {
		t.Error(err)
	}

	weights := map[string]modeltest.Tensor{
		layer + ".weight": {Shape: []int{12, 8}, Data: make([]float32, 12*8)},
		layer + ".bias":   {Shape: []int{12}, Data: make([]float32, 12)},
	}
	weights[layer+".weight"].Data[5] = float32(math.NaN())
	dir["model.safetensors"] = &fstest.MapFile{Data: modeltest.Safetensors(weights)}
	if _, err := clip.LoadText(e, dir, f.Text(1)); err == nil || !strings.Contains(err.Error(), layer+".weight: value 5 is NaN (model.safetensors)") {
		t.Errorf("a model's NaN: %v", err)
	}
}
