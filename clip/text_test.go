package clip_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lanewise/lanewise/clip"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/ref"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

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
	m.weights.add("text_model.embeddings.token_embedding.weight", 0, 1, c.Vocabulary, c.Width)
	m.weights.add("text_model.embeddings.position_embedding.weight", 0, 1, c.Positions, c.Width)
	m.weights.add("text_model.embeddings.position_ids", 0, 1, 1, c.Positions) // of no use
	m.stack().add()
	m.weights.norm("text_model.final_layer_norm", c.Width)
	m.weights.add("text_projection.weight", 0, 0.2, c.Projection, c.Width)
	return m
}

// stack returns the model's layers.
func (m *model) stack() stack {
	return stack{"text_model", m.Width, m.Inner, m.Layers, m.Heads, m.Eps, m.act, m.weights}
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
func (m *model) files(config map[string]any) fs.FS { return m.weights.files(config) }

// encode returns the states of one text after the embedding and after every layer, and after the
// final norm.
func (m *model) encode(ids, positions []int, seen []bool) (hidden [][]float64, states []float64) {
	token, position := m.weights.tensor("text_model.embeddings.token_embedding.weight"), m.weights.tensor("text_model.embeddings.position_embedding.weight")
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
	hidden = m.stack().run(x, func(q, k int) (bias float32) {
		// Each takes a key out by the lowest float32, together by −Inf.
		if k > q {
			bias -= math.MaxFloat32
		}
		if seen != nil && !seen[k] {
			bias -= math.MaxFloat32
		}
		return bias
	})
	return hidden, m.stack().norm("text_model.final_layer_norm", hidden[m.Layers])
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
	y, _ := ref.Linear(1, m.Projection, m.Width, pooled, m.weights.tensor("text_projection.weight"))
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

// Skipped layers are missing from the states, and from nothing else.
func TestEncodeSkips(t *testing.T) {
	ref := newModel()
	ids := []int{0, 7, 3, 10, 10}
	hidden, states := ref.encode(ids, nil, nil)
	m, err := clip.LoadText(kerneltest.Engine(t, nil, 2), ref.files(ref.config()))
	if err != nil {
		t.Fatal(err)
	}
	for skip := range ref.Layers + 1 {
		out, err := m.Encode(t.Context(), [][]int{ids}, clip.TextOptions{Skip: skip, Hidden: true})
		if err != nil {
			t.Fatal(err)
		}
		near(t, fmt.Sprintf("states without %d layers", skip), out.States.Data, ref.stack().norm("text_model.final_layer_norm", hidden[ref.Layers-skip]))
		near(t, "pooled", out.Pooled.Data, states[3*ref.Width:][:ref.Width])
		for l, h := range out.Hidden {
			near(t, fmt.Sprintf("hidden %d", l), h.Data, hidden[l])
		}
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
		{"skip", two, clip.TextOptions{Skip: 3}, "3 layers to skip, the model has 2"},
		{"negative skip", two, clip.TextOptions{Skip: -1}, "-1 layers to skip"},
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
