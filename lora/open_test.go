package lora_test

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/lora"
)

func TestOpenErrors(t *testing.T) {
	down, up := random(1, 2, 5), random(2, 3, 2)
	for _, test := range []struct {
		weights map[string]modeltest.Tensor
		want    []string
	}{
		{map[string]modeltest.Tensor{}, []string{name, "no tensors of a LoRA"}},
		{map[string]modeltest.Tensor{"lora_unet_a.lora_down.weight": down}, []string{name, "lora_unet_a.lora_down.weight: the other half"}},
		{map[string]modeltest.Tensor{"unet.a.lora_B.weight": up}, []string{"unet.a.lora_B.weight: the other half"}},
		{map[string]modeltest.Tensor{"lora_unet_a.alpha": one(1)}, []string{"lora_unet_a.alpha: the other half"}},
		{map[string]modeltest.Tensor{"unet.a.lora_A.weight": down, "unet.a.lora_B.weight": up, "unet.b.lora_A.weight": down, "c.alpha": one(2)},
			[]string{"unet.b.lora_A.weight: the other half", "c.alpha: the other half"}},
		{map[string]modeltest.Tensor{"unet.a.lora_A.weight": down, "unet.a.lora_B.weight": random(2, 3, 4)}, []string{"unet.a.lora_B.weight: shape [3 4], want out × 2", "[2 5]"}},
		{map[string]modeltest.Tensor{"unet.a.lora_A.weight": down, "unet.a.lora_B.weight": random(2, 3, 2, 3, 3)}, []string{"unet.a.lora_B.weight: shape [3 2 3 3]"}},
		{map[string]modeltest.Tensor{"unet.a.lora_A.weight": down, "unet.a.lora_B.weight": random(2, 6)}, []string{"unet.a.lora_B.weight: shape [6]"}},
		{map[string]modeltest.Tensor{"unet.a.lora_A.weight": random(1, 10), "unet.a.lora_B.weight": up}, []string{"unet.a.lora_A.weight: shape [10], want rank × in"}},
		{map[string]modeltest.Tensor{"unet.a.lora_A.weight": random(1, 0, 5), "unet.a.lora_B.weight": random(1, 3, 0)}, []string{"unet.a.lora_A.weight: shape [0 5]"}},
		{map[string]modeltest.Tensor{"a.lora_down.weight": random(1, 2, 5, 3, 3), "a.lora_up.weight": up, "a.lora_mid.weight": random(1, 2, 2, 3, 3)}, []string{"a.lora_mid.weight: shape [2 2 3 3]", "[2 5 3 3]"}},
		{map[string]modeltest.Tensor{"a.lora_down.weight": down, "a.lora_up.weight": up, "a.lora_mid.weight": random(1, 2, 3, 3, 3)}, []string{"a.lora_mid.weight: shape [2 3 3 3]"}},
		{map[string]modeltest.Tensor{"a.lora_down.weight": down, "a.lora_up.weight": up, "a.alpha": random(1, 2)}, []string{"a.alpha: shape [2], want one number"}},
		{map[string]modeltest.Tensor{"a.lora_down.weight": down, "a.lora_up.weight": up, "lora_unet_a.lora_up.weight": up, "unet.a.lora.down.weight": down},
			[]string{"the same layer's as a.lora_up.weight", "the same layer's as a.lora_down.weight"}},
		{map[string]modeltest.Tensor{"a.lora_A.weight": down, "a.lora_B.weight": up, "a.lora_magnitude_vector": random(1, 5)}, []string{"a.lora_magnitude_vector: shape [5], want 3 values"}},
		{map[string]modeltest.Tensor{"a.lora_A.weight": down, "a.lora_B.weight": up, "a.lora_magnitude_vector": one(1)}, []string{"a.lora_magnitude_vector: shape [], want 3 values"}},
		{map[string]modeltest.Tensor{"a.lora_magnitude_vector.default.weight": random(1, 3)}, []string{"a.lora_magnitude_vector.default.weight: the other half"}},
		{map[string]modeltest.Tensor{"a.lora_magnitude_vector.b.c.weight": random(1, 3), "a.lora_A.b": down}, []string{"none of 2", "a.lora_A.b: not"}},
		{map[string]modeltest.Tensor{"a.lora_magnitude_vector.b.c.weight": random(1, 3), "a.alpha": one(1)}, []string{"a.lora_magnitude_vector.b.c.weight: not"}},
		{map[string]modeltest.Tensor{"lora_unet_a.dora_scale": random(1, 3, 1)}, []string{"lora_unet_a.dora_scale: this is DoRA"}},
		{map[string]modeltest.Tensor{"lora_unet_a.hada_w1_a": down}, []string{"LoHa"}},
		{map[string]modeltest.Tensor{"lora_unet_a.lokr_w1": down}, []string{"LoKr"}},
		{map[string]modeltest.Tensor{"lora_unet_a.oft_blocks": down}, []string{"OFT"}},
		{map[string]modeltest.Tensor{"lora_unet_a.diff": down}, []string{"a difference of whole weights"}},
		{map[string]modeltest.Tensor{"lora_unet_a.diff_b": down}, []string{"a difference of whole biases"}},
		{map[string]modeltest.Tensor{"model.diffusion_model.out.0.weight": down}, []string{"model.diffusion_model.out.0.weight: not the name of a LoRA's tensor"}},
		{map[string]modeltest.Tensor{"unet.a.lora_embedding_A": down}, []string{"embedding"}},
		{map[string]modeltest.Tensor{"unet.a.lora_B.bias": up}, []string{"biases"}},
		{map[string]modeltest.Tensor{"conv_in.weight": down, "lora_unet_": down}, []string{"none of 2 tensors is of a LoRA, the first: conv_in.weight: not the name of a LoRA's tensor"}},
		{map[string]modeltest.Tensor{"conv_in.weight": down, "lora_unet_": down, "a.alpha": one(1)}, []string{"conv_in.weight: not the name of a LoRA's tensor", "lora_unet_: not"}},
		{map[string]modeltest.Tensor{".alpha": one(1)}, []string{".alpha: not"}},
	} {
		modeltest.Says(t, openError(t, test.weights), test.want...)
	}
}

func TestOpenFaceErrors(t *testing.T) {
	layers := []string{"a.attn1", "a.attn2"}
	for name1, want := range map[string]string{
		"ip_adapter.2.to_q_lora.down.weight":  "ip_adapter.2.to_q_lora.down.weight: layer 2, want one of 0 to 1",
		"ip_adapter.-1.to_q_lora.down.weight": "layer -1",
		"ip_adapter.x.to_q_lora.down.weight":  "layer x",
		"ip_adapter.0.to_q.weight":            "ip_adapter.0.to_q.weight: not the name",
		"ip_adapter.0":                        "ip_adapter.0: not the name",
		"to_q_lora.down.weight":               "to_q_lora.down.weight: not the name",
		"ip_adapter.0.to_q_lora.up.weight":    "ip_adapter.0.to_q_lora.up.weight: the other half",
		"ip_adapter.1.to_k_ip.weight":         "no tensors of a LoRA",
	} {
		text := modeltest.Safetensors(map[string]modeltest.Tensor{name1: random(1, 2, 2), "image_proj.norm.weight": random(1, 2)})
		_, err := lora.OpenFace(fstest.MapFS{name: {Data: text}}, name, layers)
		modeltest.Says(t, err, "lora: ", name, want)
	}
}

func TestOpenWrongFiles(t *testing.T) {
	pair := map[string]modeltest.Tensor{"a.lora_A.weight": random(1, 2, 5), "a.lora_B.weight": random(2, 3, 2)}
	metadata := func(text string) []byte {
		return modeltest.SafetensorsWith(map[string]string{"lora_adapter_metadata": text}, pair)
	}
	for _, test := range []struct {
		fsys fstest.MapFS
		file string
		want []string
	}{
		{fstest.MapFS{}, name, []string{name}},
		{fstest.MapFS{name: {Data: []byte("short")}}, name, []string{name, "truncated"}},
		{fstest.MapFS{name: {Data: metadata("[]")}}, name, []string{name, "lora_adapter_metadata"}},
		{fstest.MapFS{name: {Data: metadata(`{"unet.lora_alpha": "much"}`)}}, name, []string{name, "lora_adapter_metadata"}},
		{fstest.MapFS{"adapter_model.safetensors": {Data: modeltest.Safetensors(pair)}, "adapter_config.json": {Data: []byte("{")}},
			"adapter_model.safetensors", []string{"adapter_model.safetensors", "adapter_config.json"}},
	} {
		_, err := lora.Open(test.fsys, test.file)
		modeltest.Says(t, err, append(test.want, "lora: ")...)
	}
	if _, err := lora.Open(fstest.MapFS{}, name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
}

// FuzzOpen opens files of arbitrary names and shapes: lines of a name and sizes, "a.lora_A.weight 2 5".
func FuzzOpen(f *testing.F) {
	for _, s := range spellings {
		f.Add(s.down+" 2 3\n"+s.up+" 4 2", 2)
	}
	f.Add("lora_unet_output_blocks_2_2_conv.lora_down.weight 2 3 3 3\nlora_unet_output_blocks_2_2_conv.lora_up.weight 4 2 1 1\nlora_unet_output_blocks_2_2_conv.alpha", 1)
	f.Add("a.lora_down.weight 2 3\na.lora_mid.weight 2 2 3 3\na.lora_up.weight 4 2", -1)
	f.Add("lora_unet_middle_block_99999999999999999999_.alpha\nlora_unet_input_blocks_0.lora_A..weight 1", 0)
	e := kerneltest.Engine(f, kernels.Available()[0], 1)
	f.Fuzz(func(t *testing.T, text string, layers int) {
		weights := map[string]modeltest.Tensor{}
		for line := range strings.Lines(text) {
			words := strings.Fields(line)
			if len(words) == 0 || words[0] == "__metadata__" {
				continue
			}
			var shape []int
			for _, word := range words[1:min(len(words), 6)] {
				if n, err := strconv.Atoi(word); err == nil && n >= 0 {
					shape = append(shape, n%6)
				}
			}
			weights[strings.ToValidUTF8(words[0], "")] = random(1, shape...)
		}
		file, err := lora.Open(fstest.MapFS{name: {Data: modeltest.Safetensors(weights)}}, name)
		if err != nil {
			modeltest.Says(t, err, name)
			return
		}
		defer file.Close()
		file.LayersPerBlock = layers
		held := 0
		for _, m := range []*lora.Merge{file.UNet(1), file.Text(1), file.Text2(1)} {
			if unused := m.Unused(); len(unused) > 0 {
				held += len(unused)
				if m.Err() == nil {
					t.Error("no error where nothing was used")
				}
			}
			for _, s := range spellings {
				if err := m.Add(e, make([]float32, 12), s.name, []int{4, 3}); err != nil {
					modeltest.Says(t, err, name)
				}
			}
		}
		if held == 0 {
			t.Error("a file with nothing for any model")
		}
	})
}
