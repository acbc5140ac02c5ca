package dit_test

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/dit"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// Small models of every layout.
const (
	// classes is a DiT of five classes and none.
	classes = `{"_class_name": "DiTTransformer2DModel", "num_attention_heads": 3, "attention_head_dim": 8, "in_channels": 4, "out_channels": 8,
		"num_layers": 2, "sample_size": 8, "patch_size": 2, "num_embeds_ada_norm": 5}`
	// alpha is a PixArt-α: captions, sizes, learned variance.
	alpha = `{"_class_name": "PixArtTransformer2DModel", "num_attention_heads": 3, "attention_head_dim": 8, "in_channels": 4, "out_channels": 8,
		"num_layers": 2, "sample_size": 8, "patch_size": 2, "cross_attention_dim": 24, "caption_channels": 10, "use_additional_conditions": true}`
	// sigma is a PixArt-Σ in its older class, without learned variance: tokens as wide as the model takes
	// them, no sizes.
	sigma = `{"_class_name": "Transformer2DModel", "norm_type": "ada_norm_single", "num_attention_heads": 2, "attention_head_dim": 8,
		"in_channels": 3, "num_layers": 2, "sample_size": 8, "patch_size": 2, "cross_attention_dim": 7, "attention_bias": true,
		"activation_fn": "gelu-approximate", "interpolation_scale": 2}`
	// captions is a DiT with labels and captions.
	captions = `{"_class_name": "Transformer2DModel", "norm_type": "ada_norm_zero", "num_embeds_ada_norm": 3, "num_attention_heads": 2,
		"attention_head_dim": 8, "in_channels": 4, "num_layers": 2, "sample_size": 8, "patch_size": 1, "cross_attention_dim": 6}`
)

var layouts = map[string]string{"classes": classes, "alpha": alpha, "sigma": sigma, "captions": captions}

// The checkpoint, without and with its extension.
const (
	weightsBase = "diffusion_pytorch_model"
	weightsFile = weightsBase + ".safetensors"
)

// files writes a model directory with random weights.
func files(t testing.TB, config string) fstest.MapFS {
	t.Helper()
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	return modeltest.Files(config, weightsBase, 1, func(fsys fs.FS) error {
		_, err := dit.Load(e, fsys)
		return err
	})
}

// shared makes the embeddings of all blocks those of the first, as published checkpoints have them.
func shared(t testing.TB, files fstest.MapFS) fstest.MapFS {
	t.Helper()
	weights := modeltest.Read(files, weightsBase)
	for name := range weights {
		if rest, ok := strings.CutPrefix(name, "transformer_blocks.1.norm1.emb."); ok {
			weights[name] = weights["transformer_blocks.0.norm1.emb."+rest]
		}
	}
	return fstest.MapFS{"config.json": files["config.json"], weightsFile: {Data: modeltest.Safetensors(weights)}}
}

func load(t testing.TB, e *engine.Engine, fsys fs.FS) *dit.Model {
	t.Helper()
	m, err := dit.Load(e, fsys)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// session makes a session.
func session(t testing.TB, m *dit.Model, batch, h, w int) *dit.Session {
	t.Helper()
	s, err := m.Session(batch, h, w)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bind makes a session and binds it.
func bind(t testing.TB, m *dit.Model, batch, h, w int, conds ...cond.Cond) *dit.Bound {
	t.Helper()
	b, err := session(t, m, batch, h, w).Bind(conds...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// mat is a random matrix.
func mat(seed uint64, rows, cols int) tensor.Mat {
	return tensor.Mat{Rows: rows, Cols: cols, Stride: cols, Data: kerneltest.Random(seed, rows*cols)}
}

// images returns n random images.
func images(seed uint64, n, h, w, c int) tensor.NHWC {
	return tensor.NHWC{N: n, H: h, W: w, C: c, Stride: c, Data: kerneltest.Random(seed, n*h*w*c)}
}

// condition returns a random condition that fits m, with so many tokens.
func condition(seed uint64, m *dit.Model, tokens int) cond.Cond {
	var c cond.Cond
	if dim := m.Config.ContextDim; dim > 0 {
		c = cond.Text(mat(seed, tokens, dim))
	}
	if m.Config.Labels > 0 {
		c.Class = int(seed) % m.Config.Labels
	}
	if m.Config.Sizes {
		c.Sizes = []float64{512 + 64*float64(seed), 768, 0.67}
	}
	return c
}

// forward runs b on x at times and returns the output.
func forward(t testing.TB, b *dit.Bound, x tensor.NHWC, outChannels int, times ...float64) tensor.NHWC {
	t.Helper()
	out := tensor.Make(len(times), x.H, x.W, outChannels)
	kerneltest.Fill(out.Data)
	if err := b.ForwardEach(t.Context(), out, x, times); err != nil {
		t.Fatal(err)
	}
	return out
}
