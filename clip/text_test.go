package clip_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/clip"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/ref"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// weights are tensors by name.
type weights map[string]weight

type weight struct {
	shape []int
	data  []float32
}

// file returns the tensors as a safetensors file.
func (ws weights) file() []byte {
	header, data := map[string]any{}, []byte{}
	for _, name := range slices.Sorted(maps.Keys(ws)) {
		begin := len(data)
		for _, v := range ws[name].data {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
		header[name] = map[string]any{"dtype": "F32", "shape": ws[name].shape, "data_offsets": []int{begin, len(data)}}
	}
	h, err := json.Marshal(header)
	if err != nil {
		panic(err)
	}
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(h))), h...), data...)
}

// model is a text encoder in float64.
type model struct {
	clip.TextConfig
	act     string // in kernels' words
	weights weights
}

// newModel makes a model of random weights.
func newModel() *model {
	c := clip.TextConfig{Vocabulary: 11, Positions: 9, Width: 24, Inner: 40, Layers: 2, Heads: 3, Projection: 5, Eps: 1e-5, End: 10}
	m := &model{c, "gelu", weights{}}
	add := func(name string, center, spread float32, shape ...int) {
		n := 1
		for _, d := range shape {
			n *= d
		}
		data := kerneltest.Random(uint64(len(m.weights)), n)
		for i := range data {
			data[i] = center + spread*data[i]
		}
		m.weights[name] = weight{shape, data}
	}
	linear := func(name string, in, out int) {
		add(name+".weight", 0, float32(1/math.Sqrt(float64(in))), out, in)
		add(name+".bias", 0, 0.3, out)
	}
	norm := func(name string) {
		add(name+".weight", 1, 0.2, c.Width)
		add(name+".bias", 0, 0.2, c.Width)
	}
	add("text_model.embeddings.token_embedding.weight", 0, 1, c.Vocabulary, c.Width)
	add("text_model.embeddings.position_embedding.weight", 0, 1, c.Positions, c.Width)
	add("text_model.embeddings.position_ids", 0, 1, 1, c.Positions) // of no use
	for i := range c.Layers {
		name := fmt.Sprintf("text_model.encoder.layers.%d.", i)
		for _, p := range []string{"q_proj", "k_proj", "v_proj", "out_proj"} {
			linear(name+"self_attn."+p, c.Width, c.Width)
		}
		norm(name + "layer_norm1")
		norm(name + "layer_norm2")
		linear(name+"mlp.fc1", c.Width, c.Inner)
		linear(name+"mlp.fc2", c.Inner, c.Width)
	}
	norm("text_model.final_layer_norm")
	add("text_projection.weight", 0, 0.2, c.Projection, c.Width)
	return m
}

// config returns the config.json.
func (m *model) config() map[string]any {
	names := map[string]string{"gelu": "gelu", "quick_gelu": "quick_gelu", "gelu_tanh": "gelu_new", "relu": "relu"}
	class := "CLIPTextModelWithProjection"
	if m.Projection == 0 {
		class = "CLIPTextModel"
	}
	return map[string]any{"architectures": []string{class}, "model_type": "clip_text_model", "hidden_act": names[m.act],
		"vocab_size": m.Vocabulary, "max_position_embeddings": m.Positions, "hidden_size": m.Width, "intermediate_size": m.Inner,
		"num_hidden_layers": m.Layers, "num_attention_heads": m.Heads, "projection_dim": 5, "layer_norm_eps": m.Eps, "eos_token_id": m.End}
}

// files returns the model's directory.
func (m *model) files(config map[string]any) fs.FS {
	text, err := json.Marshal(config)
	if err != nil {
		panic(err)
	}
	return fstest.MapFS{"config.json": {Data: text}, "model.safetensors": {Data: m.weights.file()}}
}

func (m *model) tensor(name string) []float64 {
	w, ok := m.weights[name]
	if !ok {
		panic("no tensor " + name)
	}
	d := make([]float64, len(w.data))
	for i, v := range w.data {
		d[i] = float64(v)
	}
	return d
}

func (m *model) linear(name string, x []float64, in, out int) []float64 {
	y, _ := ref.Linear(len(x)/in, out, in, x, m.tensor(name+".weight"))
	for i, b := range m.tensor(name + ".bias") {
		for r := 0; r < len(y); r += out {
			y[r+i] += b
		}
	}
	return y
}

func (m *model) norm(name string, x []float64) []float64 {
	var y []float64
	for r := 0; r < len(x); r += m.Width {
		y = append(y, ref.LayerNorm(x[r:r+m.Width], m.tensor(name+".weight"), m.tensor(name+".bias"), float64(m.Eps))...)
	}
	return y
}

// attention is causal attention with a mask, head by head.
func (m *model) attention(name string, x []float64, seen []bool) []float64 {
	tokens, size := len(x)/m.Width, m.Width/m.Heads
	bias := make([]float32, tokens*tokens)
	for q := range tokens {
		for k := range tokens {
			// Each takes a key out by the lowest float32, together by −Inf.
			if k > q {
				bias[q*tokens+k] -= math.MaxFloat32
			}
			if seen != nil && !seen[k] {
				bias[q*tokens+k] -= math.MaxFloat32
			}
		}
	}
	head := func(name string, h int) []float32 { // as ref wants them: an error of 2⁻²⁴
		var part []float32
		all := m.linear(name, x, m.Width, m.Width)
		for t := range tokens {
			for _, v := range all[t*m.Width+h*size:][:size] {
				part = append(part, float32(v))
			}
		}
		return part
	}
	mixed := make([]float64, len(x))
	for h := range m.Heads {
		out, _ := ref.Attention(head(name+".q_proj", h), head(name+".k_proj", h), head(name+".v_proj", h), bias, tokens, tokens, size, 1/math.Sqrt(float64(size)))
		for t := range tokens {
			copy(mixed[t*m.Width+h*size:], out[t*size:][:size])
		}
	}
	return m.linear(name+".out_proj", mixed, m.Width, m.Width)
}

// encode returns the states of one text after the embedding and after every layer, and after the
// final norm.
func (m *model) encode(ids, positions []int, seen []bool) (hidden [][]float64, states []float64) {
	token, position := m.tensor("text_model.embeddings.token_embedding.weight"), m.tensor("text_model.embeddings.position_embedding.weight")
	var x []float64
	for t, id := range ids {
		at := t
		if positions != nil {
			at = positions[t]
		}
		for c := range m.Width {
			x = append(x, token[id*m.Width+c]+position[at*m.Width+c])
		}
	}
	plus := func(y []float64) []float64 {
		sum := slices.Clone(x)
		for i, v := range y {
			sum[i] += v
		}
		return sum
	}
	hidden = append(hidden, x)
	for i := range m.Layers {
		name := fmt.Sprintf("text_model.encoder.layers.%d.", i)
		x = plus(m.attention(name+"self_attn", m.norm(name+"layer_norm1", x), seen))
		inner := m.linear(name+"mlp.fc1", m.norm(name+"layer_norm2", x), m.Width, m.Inner)
		for i, v := range inner {
			inner[i] = ref.Acts[m.act](v)
		}
		x = plus(m.linear(name+"mlp.fc2", inner, m.Inner, m.Width))
		hidden = append(hidden, x)
	}
	return hidden, m.norm("text_model.final_layer_norm", x)
}

// near fails the test where a float32 encoder with sums of up to 40 terms, two layers deep, may
// not be: golden cases deviate by 2e-6.
func near(t *testing.T, what string, got []float32, want []float64) {
	t.Helper()
	kerneltest.Near(t, what, got, want, func(int) float64 { return 2e-5 })
}

func TestEncode(t *testing.T) {
	ids := [][]int{{0, 7, 3, 10, 10}, {1, 2, 10, 4, 5}, {9, 9, 8, 1, 2}}
	for _, c := range []struct {
		name   string
		change func(*model)
		o      clip.TextOptions
		ends   []int
	}{
		{"plain", func(*model) {}, clip.TextOptions{}, []int{3, 2, 0}},
		{"hidden states", func(*model) {}, clip.TextOptions{Hidden: true}, []int{3, 2, 0}},
		{"no projection", func(m *model) { m.Projection = 0 }, clip.TextOptions{}, []int{3, 2, 0}},
		{"end of old files", func(m *model) { m.End = 2 }, clip.TextOptions{}, []int{3, 2, 0}},
		{"other end", func(m *model) { m.End = 4 }, clip.TextOptions{}, []int{0, 3, 0}},
		{"first end", func(m *model) { m.End = 9 }, clip.TextOptions{}, []int{0, 0, 0}},
		{"quick_gelu", func(m *model) { m.act = "quick_gelu" }, clip.TextOptions{}, []int{3, 2, 0}},
		{"gelu_new", func(m *model) { m.act = "gelu_tanh" }, clip.TextOptions{}, []int{3, 2, 0}},
		{"relu", func(m *model) { m.act = "relu" }, clip.TextOptions{}, []int{3, 2, 0}},
		{"eps", func(m *model) { m.Eps = 0.1 }, clip.TextOptions{}, []int{3, 2, 0}},
		{"heads", func(m *model) { m.Heads = 4 }, clip.TextOptions{}, []int{3, 2, 0}},
		{"positions", func(*model) {}, clip.TextOptions{Positions: [][]int{{4, 5, 6, 7, 8}, {0, 0, 0, 0, 0}, {8, 2, 4, 1, 3}}}, []int{3, 2, 0}},
		{"mask", func(*model) {}, clip.TextOptions{Mask: [][]bool{
			{true, true, true, false, false}, {false, false, true, true, false}, {true, true, true, true, true}}}, []int{3, 2, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ref := newModel()
			c.change(ref)
			kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
				m, err := clip.LoadText(kerneltest.Engine(t, set, 2), ref.files(ref.config()))
				if err != nil {
					t.Fatal(err)
				}
				if m.Config.Act.String() != ref.act {
					t.Errorf("activation %v, want %s", m.Config.Act, ref.act)
				}
				out, err := m.Encode(t.Context(), ids, c.o)
				if err != nil {
					t.Fatal(err)
				}
				if out.Tokens != 5 {
					t.Errorf("%d tokens, want 5", out.Tokens)
				}
				if c.o.Hidden != (len(out.Hidden) == ref.Layers+1) {
					t.Fatalf("%d hidden states", len(out.Hidden))
				}
				for i, text := range ids {
					var positions []int
					var seen []bool
					if c.o.Positions != nil {
						positions = c.o.Positions[i]
					}
					if c.o.Mask != nil {
						seen = c.o.Mask[i]
					}
					hidden, states := ref.encode(text, positions, seen)
					rows := func(m tensor.Mat) []float32 { return m.Slice(i*5, (i+1)*5).Data }
					near(t, "states", rows(out.States), states)
					for l, h := range out.Hidden {
						near(t, fmt.Sprintf("hidden %d", l), rows(h), hidden[l])
					}
					pooled := states[c.ends[i]*ref.Width:][:ref.Width]
					near(t, "pooled", out.Pooled.Row(i), pooled)
					if ref.Projection == 0 {
						if out.Embedding.Data != nil {
							t.Error("an embedding")
						}
						continue
					}
					near(t, "embedding", out.Embedding.Row(i), ref.project(pooled))
				}
			})
		})
	}
}

func (m *model) project(pooled []float64) []float64 {
	y, _ := ref.Linear(1, m.Projection, m.Width, pooled, m.tensor("text_projection.weight"))
	return y
}

// A text's states depend neither on the number of workers, nor on what else is in the batch, nor on
// who else encodes.
func TestEncodeSameBits(t *testing.T) {
	ids := [][]int{{0, 7, 3, 10, 10}, {1, 2, 10, 4, 5}, {9, 9, 8, 1, 2}}
	files := newModel()
	var want [][]float32
	for _, workers := range []int{1, 2, 7} {
		m, err := clip.LoadText(kerneltest.Engine(t, nil, workers), files.files(files.config()))
		if err != nil {
			t.Fatal(err)
		}
		var callers sync.WaitGroup
		for range 3 {
			callers.Go(func() {
				for i := range ids {
					if _, err := m.Encode(t.Context(), ids[i:], clip.TextOptions{}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		batch, err := m.Encode(t.Context(), ids, clip.TextOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range ids {
			one, err := m.Encode(t.Context(), ids[i:i+1], clip.TextOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if len(want) <= i {
				want = append(want, one.States.Data)
			}
			kerneltest.Same(t, "alone", one.States.Data, want[i])
			kerneltest.Same(t, "in a batch", batch.States.Slice(i*5, (i+1)*5).Data, want[i])
		}
		callers.Wait()
	}
}

// Weights of a half-width format take half the memory, and no text tells.
func TestEncodeHalfWidth(t *testing.T) {
	for _, ty := range []kernels.HalfType{kernels.BFloat16, kernels.Float16} {
		files := newModel()
		for _, w := range files.weights {
			kerneltest.Truncate(w.data, ty)
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

// What one call returns stays as it is when the next one runs, with a mask or without.
func TestEncodeKeepsResults(t *testing.T) {
	files := newModel()
	m, err := clip.LoadText(kerneltest.Engine(t, nil, 1), files.files(files.config()))
	if err != nil {
		t.Fatal(err)
	}
	ids := [][]int{{0, 7, 3}}
	encode := func(ids [][]int, o clip.TextOptions) *clip.TextOutput {
		out, err := m.Encode(t.Context(), ids, o)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	first := encode(ids, clip.TextOptions{Hidden: true})
	states, hidden := slices.Clone(first.States.Data), slices.Clone(first.Hidden[1].Data)
	masked := encode([][]int{{4, 4, 4}}, clip.TextOptions{Mask: [][]bool{{false, true, true}}, Positions: [][]int{{8, 7, 6}}})
	again := encode(ids, clip.TextOptions{})
	kerneltest.Same(t, "states", first.States.Data, states)
	kerneltest.Same(t, "hidden states", first.Hidden[1].Data, hidden)
	kerneltest.Same(t, "states again", again.States.Data, states)
	if slices.Equal(masked.States.Data, states) {
		t.Error("another text has the same states")
	}
}

func TestEncodeErrors(t *testing.T) {
	files := newModel()
	m, err := clip.LoadText(kerneltest.Engine(t, nil, 1), files.files(files.config()))
	if err != nil {
		t.Fatal(err)
	}
	two := [][]int{{1, 2}, {3, 4}}
	for _, c := range []struct {
		name string
		ids  [][]int
		o    clip.TextOptions
		want string
	}{
		{"no text", nil, clip.TextOptions{}, "no ids"},
		{"empty text", [][]int{{}}, clip.TextOptions{}, "no ids"},
		{"long text", [][]int{make([]int, 10)}, clip.TextOptions{}, "10 tokens, the model has 9"},
		{"ragged", [][]int{{1, 2}, {3}}, clip.TextOptions{}, "text 1 are 1, want 2"},
		{"negative id", [][]int{{1, 2}, {3, -1}}, clip.TextOptions{}, "token 1 of text 1 is id -1"},
		{"large id", [][]int{{11, 2}}, clip.TextOptions{}, "id 11, the vocabulary has 11"},
		{"mask of one", two, clip.TextOptions{Mask: [][]bool{{true, true}}}, "mask of 1 texts for 2"},
		{"short mask", two, clip.TextOptions{Mask: [][]bool{{true, true}, {true}}}, "mask of text 1 are 1, want 2"},
		{"positions of one", two, clip.TextOptions{Positions: [][]int{{1, 2}}}, "positions of 1 texts for 2"},
		{"position", two, clip.TextOptions{Positions: [][]int{{1, 2}, {9, 1}}}, "position 9, the model has 9"},
		{"negative position", two, clip.TextOptions{Positions: [][]int{{1, 2}, {0, -1}}}, "position -1"},
	} {
		if _, err := m.Encode(t.Context(), c.ids, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Encode(ctx, two, clip.TextOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if _, err := m.Encode(t.Context(), two, clip.TextOptions{}); err != nil {
		t.Errorf("after a canceled call: %v", err)
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
		{"eps", func(_ *model, c map[string]any) { c["layer_norm_eps"] = 0 }, []string{"layer_norm_eps"}},
		{"missing", func(m *model, _ map[string]any) { delete(m.weights, fc1) }, []string{fc1, "missing"}},
		{"shape", func(_ *model, c map[string]any) { c["intermediate_size"] = 41 }, []string{fc1, "[40 24]", "[41 24]"}},
		{"not finite", func(m *model, _ map[string]any) { m.weights[fc1].data[3] = float32(math.NaN()) }, []string{fc1, "NaN"}},
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
