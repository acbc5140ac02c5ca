package clip_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/clip"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

// doubling is a merge that doubles one tensor.
type doubling struct{ name string }

func (d doubling) Add(_ *engine.Engine, w []float32, name string, shape []int) error {
	if name != d.name {
		return nil
	}
	if len(shape) != 2 || shape[0]*shape[1] != len(w) {
		return fmt.Errorf("%d values of shape %v", len(w), shape)
	}
	for i := range w {
		w[i] *= 2
	}
	return nil
}
func (doubling) Unused() []string { return []string{"lora of another model"} }
func (doubling) Err() error       { return nil }

// A file's names may lack the model's; a merge sees them whole, and what it changes is all that changes.
func TestLoadTextNames(t *testing.T) {
	const fc2 = "text_model.encoder.layers.1.mlp.fc2.weight"
	files := newModel()
	encode := func(ws weights, merges ...blocks.Merge) ([]float32, *clip.TextModel) {
		m, err := clip.LoadText(kerneltest.Engine(t, nil, 2), ws.files(files.config()), merges...)
		if err != nil {
			t.Fatal(err)
		}
		out, err := m.Encode(t.Context(), [][]int{{0, 7, 3, 10, 10}}, clip.TextOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return out.States.Data, m
	}
	bare := files.weights.without("text_model.")
	want, m := encode(files.weights)
	if len(m.Unused) > 0 || m.Unknown != nil {
		t.Errorf("unused %q, unknown %q", m.Unused, m.Unknown)
	}
	got, _ := encode(bare)
	kerneltest.Same(t, "without a prefix", got, want)
	bare.add("logit_scale", 0, 1, 1)
	merged, m := encode(bare, doubling{fc2})
	if want := []string{"logit_scale [1]", "lora of another model"}; !slices.Equal(m.Unused, want) {
		t.Errorf("unused %q, want %q", m.Unused, want)
	}
	for i := range files.weights[fc2].Data {
		files.weights[fc2].Data[i] *= 2
	}
	want, _ = encode(files.weights)
	kerneltest.Same(t, "merged", merged, want)
}

// Weights of a half-width format take half the memory, and no text tells.
func TestEncodeHalfWidth(t *testing.T) {
	for _, ty := range []kernels.HalfType{kernels.BFloat16, kernels.Float16} {
		files := newModel()
		for _, w := range files.weights {
			kerneltest.Truncate(w.Data, ty)
		}
		encode := func(storage engine.Storage) ([]float32, int) {
			m, err := clip.LoadText(kerneltest.EngineOf(t, engine.Options{Storage: storage}), files.files(files.config()))
			if err != nil {
				t.Fatal(err)
			}
			out, err := m.Encode(t.Context(), [][]int{{0, 7, 3, 10, 10}}, clip.TextOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return out.States.Data, m.Bytes
		}
		want, bytes := encode(engine.Float32)
		got, half := encode(engine.Compact)
		kerneltest.Same(t, ty.String(), got, want)
		if 2*half != bytes || half == 0 {
			t.Errorf("%d bytes of %v, %d of float32", half, ty, bytes)
		}
	}
}

func TestLoadTextErrors(t *testing.T) {
	const fc1 = "text_model.encoder.layers.1.mlp.fc1.weight"
	for _, c := range []struct {
		name   string
		change func(m *model, config map[string]any)
		want   []string
	}{
		{"activation", func(_ *model, c map[string]any) { c["hidden_act"] = "snake" }, []string{"hidden_act", "snake", "quick_gelu"}},
		{"class", func(_ *model, c map[string]any) { c["architectures"] = []string{"T5EncoderModel"} }, []string{"architectures", "T5EncoderModel", "CLIPTextModel"}},
		{"two classes", func(_ *model, c map[string]any) {
			c["architectures"] = []string{"CLIPTextModel", "CLIPTextModel"}
		}, []string{"architectures"}},
		{"type", func(_ *model, c map[string]any) { c["model_type"] = "clip_vision_model" }, []string{"model_type", "clip_vision_model"}},
		{"heads", func(_ *model, c map[string]any) { c["num_attention_heads"] = 5 }, []string{"num_attention_heads", "hidden_size"}},
		{"layers", func(_ *model, c map[string]any) { c["num_hidden_layers"] = 1 << 24 }, []string{"num_hidden_layers", "1024"}},
		{"eps", func(_ *model, c map[string]any) { c["layer_norm_eps"] = 0 }, []string{"layer_norm_eps"}},
		{"missing", func(m *model, _ map[string]any) { delete(m.weights, fc1) }, []string{fc1, "missing"}},
		{"shape", func(_ *model, c map[string]any) { c["intermediate_size"] = 41 }, []string{fc1, "[40 24]", "[41 24]"}},
		{"not finite", func(m *model, _ map[string]any) { m.weights[fc1].Data[3] = float32(math.NaN()) }, []string{fc1, "NaN"}},
		{"projection", func(m *model, _ map[string]any) { delete(m.weights, "text_projection.weight") }, []string{"text_projection.weight", "missing"}},
	} {
		m := newModel()
		config := m.config()
		c.change(m, config)
		_, err := clip.LoadText(kerneltest.Engine(t, nil, 1), m.files(config))
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, want := range append(c.want, "clip") {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", c.name, err, want)
			}
		}
	}
	if _, err := clip.LoadText(kerneltest.Engine(t, nil, 1), fstest.MapFS{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no files: %v", err)
	}
	m := newModel()
	if _, err := clip.LoadText(kerneltest.Engine(t, nil, 1), fstest.MapFS{"config.json": m.files(m.config()).(fstest.MapFS)["config.json"]}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no weights: %v", err)
	}
}
