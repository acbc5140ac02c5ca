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

// visionModel is an image encoder in float64.
type visionModel struct {
	clip.VisionConfig
	act     string // in kernels' words
	weights weights
}

// newVision makes a model of random weights for images of 11 × 11, whose last two rows and columns fill no
// patch.
func newVision() *visionModel {
	c := clip.VisionConfig{Size: 11, Channels: 3, Patch: 3, Width: 24, Inner: 40, Layers: 2, Heads: 3, Projection: 5, Eps: 1e-5}
	m := &visionModel{c, "gelu", weights{}}
	const embeddings = "vision_model.embeddings."
	m.weights.add(embeddings+"patch_embedding.weight", 0, 0.2, c.Width, c.Channels, c.Patch, c.Patch)
	m.weights.add(embeddings+"class_embedding", 0, 1, c.Width)
	m.weights.add(embeddings+"position_embedding.weight", 0, 1, c.Tokens(), c.Width)
	m.weights.add(embeddings+"position_ids", 0, 1, 1, c.Tokens()) // of no use
	m.weights.norm("vision_model.pre_layrnorm", c.Width)
	m.stack().add()
	m.weights.norm("vision_model.post_layernorm", c.Width)
	m.weights.add("visual_projection.weight", 0, 0.2, c.Projection, c.Width)
	return m
}

// stack returns the model's layers.
func (m *visionModel) stack() stack {
	return stack{"vision_model", m.Width, m.Inner, m.Layers, m.Heads, m.Eps, m.act, m.weights}
}

// config returns the config.json.
func (m *visionModel) config() map[string]any {
	names := map[string]string{"gelu": "gelu", "quick_gelu": "quick_gelu", "silu": "swish"}
	class := "CLIPVisionModelWithProjection"
	if m.Projection == 0 {
		class = "CLIPVisionModel"
	}
	return map[string]any{"architectures": []string{class}, "model_type": "clip_vision_model", "hidden_act": names[m.act],
		"image_size": m.Size, "num_channels": m.Channels, "patch_size": m.Patch, "hidden_size": m.Width, "intermediate_size": m.Inner,
		"num_hidden_layers": m.Layers, "num_attention_heads": m.Heads, "projection_dim": 5, "layer_norm_eps": m.Eps}
}

// encode returns the states of an image, given row by row with its channels innermost, before and
// after every layer, and the pooled state.
func (m *visionModel) encode(pixels []float32) (hidden [][]float64, pooled []float64) {
	const embeddings = "vision_model.embeddings."
	w, positions := m.weights.tensor(embeddings+"patch_embedding.weight"), m.weights.tensor(embeddings+"position_embedding.weight")
	x := m.weights.tensor(embeddings + "class_embedding")
	side := m.Size / m.Patch
	for p := range side * side {
		for o := range m.Width {
			sum := 0.0
			for c := range m.Channels {
				for ky := range m.Patch {
					for kx := range m.Patch {
						y, x := p/side*m.Patch+ky, p%side*m.Patch+kx
						sum += w[((o*m.Channels+c)*m.Patch+ky)*m.Patch+kx] * float64(pixels[(y*m.Size+x)*m.Channels+c])
					}
				}
			}
			x = append(x, sum)
		}
	}
	for i := range x {
		x[i] += positions[i]
	}
	s := m.stack()
	hidden = s.run(s.norm("vision_model.pre_layrnorm", x), func(q, k int) float32 { return 0 })
	return hidden, s.norm("vision_model.post_layernorm", hidden[m.Layers][:m.Width])
}

// pictures returns random pixels.
func pictures(seed uint64, n int, m *visionModel) tensor.NHWC {
	x := tensor.Make(n, m.Size, m.Size, m.Channels)
	copy(x.Data, kerneltest.Random(seed, len(x.Data)))
	return x
}

func TestVisionEncode(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*visionModel)
		hidden bool
	}{
		{"plain", func(*visionModel) {}, false},
		{"hidden states", func(*visionModel) {}, true},
		{"no projection", func(m *visionModel) {
			m.Projection = 0
			delete(m.weights, "visual_projection.weight")
		}, false},
		{"quick_gelu", func(m *visionModel) { m.act = "quick_gelu" }, false},
		{"swish", func(m *visionModel) { m.act = "silu" }, false},
		{"eps", func(m *visionModel) { m.Eps = 0.1 }, false},
		{"heads", func(m *visionModel) { m.Heads = 4 }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := newVision()
			c.change(want)
			x := pictures(1, 3, want)
			kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
				m, err := clip.LoadVision(kerneltest.Engine(t, set, 2), want.weights.files(want.config()))
				if err != nil {
					t.Fatal(err)
				}
				got := m.Config
				if got.Act = want.Act; got != want.VisionConfig || m.Config.Act.String() != want.act || len(m.Unused) > 0 || m.Unknown != nil || m.Bytes == 0 {
					t.Errorf("%+v, unused %v, unknown %v, %d bytes", m.Config, m.Unused, m.Unknown, m.Bytes)
				}
				out, err := m.Encode(t.Context(), x, clip.VisionOptions{Hidden: c.hidden})
				if err != nil {
					t.Fatal(err)
				}
				if out.Tokens != 10 {
					t.Errorf("%d tokens, want 10", out.Tokens)
				}
				if c.hidden != (len(out.Hidden) == want.Layers+1) {
					t.Fatalf("%d hidden states", len(out.Hidden))
				}
				for i := range x.N {
					hidden, pooled := want.encode(x.Images(i, i+1).Data)
					rows := func(m tensor.Mat) []float32 { return m.Slice(i*out.Tokens, (i+1)*out.Tokens).Data }
					near(t, "states", rows(out.States), hidden[want.Layers])
					for l, h := range out.Hidden {
						near(t, fmt.Sprintf("hidden %d", l), rows(h), hidden[l])
					}
					near(t, "pooled", out.Pooled.Row(i), pooled)
					if want.Projection == 0 {
						if out.Embedding.Data != nil {
							t.Error("an embedding")
						}
						continue
					}
					embedding, _ := ref.Linear(1, want.Projection, want.Width, pooled, want.weights.tensor("visual_projection.weight"))
					near(t, "embedding", out.Embedding.Row(i), embedding)
				}
			})
		})
	}
}

// An image's states depend neither on the number of workers, nor on what else is in the batch, nor
// on who else encodes, nor on how files name tensors.
func TestVisionEncodeSameBits(t *testing.T) {
	files := newVision()
	x := pictures(2, 3, files)
	var want [][]float32
	for _, workers := range []int{1, 2, 7} {
		m, err := clip.LoadVision(kerneltest.Engine(t, nil, workers), files.weights.files(files.config()))
		if err != nil {
			t.Fatal(err)
		}
		var callers sync.WaitGroup
		for range 2 {
			callers.Go(func() {
				for i := range x.N {
					if _, err := m.Encode(t.Context(), x.Images(i, x.N), clip.VisionOptions{}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		batch, err := m.Encode(t.Context(), x, clip.VisionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		kept := slices.Clone(batch.States.Data)
		for i := range x.N {
			one, err := m.Encode(t.Context(), x.Images(i, i+1), clip.VisionOptions{Hidden: true})
			if err != nil {
				t.Fatal(err)
			}
			if len(want) <= i {
				want = append(want, one.States.Data)
			}
			kerneltest.Same(t, "alone", one.States.Data, want[i])
			kerneltest.Same(t, "in a batch", batch.States.Slice(i*10, (i+1)*10).Data, want[i])
			kerneltest.Same(t, "embedding", batch.Embedding.Row(i), one.Embedding.Row(0))
		}
		kerneltest.Same(t, "batch afterwards", batch.States.Data, kept)
		callers.Wait()
		bare, err := clip.LoadVision(kerneltest.Engine(t, nil, workers), files.weights.without("vision_model.").files(files.config()))
		if err != nil {
			t.Fatal(err)
		}
		out, err := bare.Encode(t.Context(), x, clip.VisionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		kerneltest.Same(t, "without a prefix", out.States.Data, kept)
	}
}

func TestVisionEncodeErrors(t *testing.T) {
	files := newVision()
	m, err := clip.LoadVision(kerneltest.Engine(t, nil, 1), files.weights.files(files.config()))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []tensor.NHWC{tensor.Make(0, 11, 11, 3), tensor.Make(1, 12, 11, 3), tensor.Make(1, 11, 10, 3), tensor.Make(1, 11, 11, 4)} {
		want := "clip: images are " + x.Shape() + ", want n×11×11×3"
		if _, err := m.Encode(t.Context(), x, clip.VisionOptions{}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Encode(ctx, pictures(1, 1, files), clip.VisionOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if _, err := m.Encode(t.Context(), pictures(1, 1, files), clip.VisionOptions{}); err != nil {
		t.Errorf("after a canceled call: %v", err)
	}
}

func TestLoadVisionErrors(t *testing.T) {
	const norm = "vision_model.pre_layrnorm.bias"
	for _, c := range []struct {
		name   string
		change func(m *visionModel, config map[string]any)
		want   []string
	}{
		{"activation", func(_ *visionModel, c map[string]any) { c["hidden_act"] = "snake" }, []string{"hidden_act", "snake", "quick_gelu"}},
		{"class", func(_ *visionModel, c map[string]any) { c["architectures"] = []string{"CLIPTextModel"} }, []string{"architectures", "CLIPTextModel", "CLIPVisionModel"}},
		{"type", func(_ *visionModel, c map[string]any) { c["model_type"] = "siglip_vision_model" }, []string{"model_type", "siglip_vision_model"}},
		{"heads", func(_ *visionModel, c map[string]any) { c["num_attention_heads"] = 5 }, []string{"num_attention_heads", "hidden_size"}},
		{"eps", func(_ *visionModel, c map[string]any) { c["layer_norm_eps"] = -1 }, []string{"layer_norm_eps"}},
		{"patch", func(_ *visionModel, c map[string]any) { c["patch_size"] = 12 }, []string{"patch_size", "at most image_size"}},
		{"size", func(_ *visionModel, c map[string]any) { c["image_size"] = 1 << 20 }, []string{"image_size", "65536 patches"}},
		{"pixels", func(_ *visionModel, c map[string]any) { c["image_size"], c["patch_size"] = 1<<20, 1<<20 }, []string{"image_size", "67108864 pixels"}},
		{"missing", func(m *visionModel, _ map[string]any) { delete(m.weights, norm) }, []string{norm, "missing", "[24]"}},
		{"tokens", func(_ *visionModel, c map[string]any) { c["image_size"] = 12 }, []string{"position_embedding.weight", "[10 24]", "[17 24]"}},
		{"not finite", func(m *visionModel, _ map[string]any) { m.weights[norm].Data[3] = float32(math.Inf(1)) }, []string{norm, "+Inf"}},
		{"projection", func(m *visionModel, _ map[string]any) { delete(m.weights, "visual_projection.weight") }, []string{"visual_projection.weight", "missing"}},
		{"spelling", func(m *visionModel, _ map[string]any) {
			m.weights["vision_model.pre_layernorm.bias"] = m.weights[norm]
			delete(m.weights, norm)
		}, []string{norm, "missing", "not used: vision_model.embeddings.position_ids [1 10], vision_model.pre_layernorm.bias [24]"}},
	} {
		m := newVision()
		config := m.config()
		c.change(m, config)
		_, err := clip.LoadVision(kerneltest.Engine(t, nil, 1), m.weights.files(config))
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, want := range append(c.want, "clip: ") {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", c.name, err, want)
			}
		}
	}
	m := newVision()
	files := m.weights.files(m.config())
	delete(files, "model.safetensors")
	if _, err := clip.LoadVision(kerneltest.Engine(t, nil, 1), files); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no weights: %v", err)
	}
	delete(files, "config.json")
	if _, err := clip.LoadVision(kerneltest.Engine(t, nil, 1), files); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no files: %v", err)
	}
}

// What a file has beyond the model is listed, but for lists of positions.
func TestLoadVisionUnused(t *testing.T) {
	files := newVision()
	files.weights.add("vision_model.head.weight", 0, 1, 2, 3)
	config := files.config()
	config["interpolate"] = true
	config["projection_dim"], files.Projection = 7, 0
	config["architectures"] = []string{"CLIPVisionModel"}
	m, err := clip.LoadVision(kerneltest.Engine(t, nil, 1), files.weights.files(config))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"vision_model.head.weight [2 3]", "visual_projection.weight [5 24]"}; !slices.Equal(m.Unused, want) {
		t.Errorf("unused %q, want %q", m.Unused, want)
	}
	if want := []string{"interpolate"}; !slices.Equal(m.Unknown, want) {
		t.Errorf("unknown %q, want %q", m.Unknown, want)
	}
}
