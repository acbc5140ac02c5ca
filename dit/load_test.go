package dit_test

import (
	"errors"
	"io/fs"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/dit"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/kernels"
)

// withWeights is a model directory with other weights.
func withWeights(files fstest.MapFS, weights map[string]modeltest.Tensor) fstest.MapFS {
	return fstest.MapFS{"config.json": files["config.json"], weightsFile: {Data: modeltest.Safetensors(weights)}}
}

// A load that fails says everything that is wrong with the weights, each with tensor, file, and
// what is there and what should be.
func TestLoadListsBadTensors(t *testing.T) {
	good := files(t, alpha)
	weights := modeltest.Read(good, weightsBase)
	delete(weights, "transformer_blocks.1.scale_shift_table")
	delete(weights, "adaln_single.linear.bias")
	weights["pos_embed.proj.weight"] = modeltest.Tensor{Shape: []int{24, 4, 4}, Data: make([]float32, 24*16)}
	weights["caption_projection.linear_1.bias"].Data[3] = float32(math.NaN())
	weights["proj.bias"] = modeltest.Tensor{Shape: []int{2}, Data: make([]float32, 2)}
	_, err := dit.Load(kerneltest.Engine(t, kernels.Available()[0], 1), withWeights(good, weights))
	if err == nil {
		t.Fatal("no error")
	}
	const file = "(" + weightsFile + ")"
	want := []string{
		"dit: transformer_blocks.1.scale_shift_table: missing, want [6 24] " + file,
		"dit: adaln_single.linear.bias: missing, want [144] " + file,
		"dit: pos_embed.proj.weight: shape [24 4 4], want [24 4 2 2] " + file,
		"dit: caption_projection.linear_1.bias: value 3 is NaN " + file,
		"dit: tensors not used: proj.bias [2] " + file,
	}
	got := strings.Split(err.Error(), "\n")
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// What is merely too much is ignored and listed: older files hold the positions.
func TestLoadListsUnused(t *testing.T) {
	good := files(t, classes)
	weights := modeltest.Read(good, weightsBase)
	weights["pos_embed.pos_embed"] = modeltest.Tensor{Shape: []int{1, 16, 24}, Data: make([]float32, 16*24)}
	fsys := withWeights(good, weights)
	fsys["config.json"] = &fstest.MapFile{Data: []byte(strings.Replace(classes, "{", `{"_diffusers_version": "0.31.0", "novelty": 3,`, 1))}
	m := load(t, kerneltest.Engine(t, kernels.Available()[0], 1), fsys)
	if want := []string{"pos_embed.pos_embed [1 16 24]"}; !slices.Equal(m.Unused, want) {
		t.Errorf("unused %v, want %v", m.Unused, want)
	}
	if want := []string{"novelty"}; !slices.Equal(m.Unknown, want) {
		t.Errorf("unknown %v, want %v", m.Unknown, want)
	}
}

func TestLoadMissingFiles(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	for _, missing := range []string{"config.json", weightsFile} {
		fsys := withWeights(fstest.MapFS{"config.json": {Data: []byte(classes)}}, nil)
		delete(fsys, missing)
		if _, err := dit.Load(e, fsys); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "dit: ") || !strings.Contains(err.Error(), missing) {
			t.Errorf("without %s: %v", missing, err)
		}
	}
}

// negate is a Merge that turns the sign of one tensor.
type negate struct {
	name string
	used bool
}

func (n *negate) Add(_ *engine.Engine, w []float32, name string, _ []int) error {
	if name == n.name {
		n.used = true
		for i := range w {
			w[i] = -w[i]
		}
	}
	return nil
}

func (n *negate) Unused() []string {
	if n.used {
		return nil
	}
	return []string{n.name}
}

func (n *negate) Err() error { return nil }

// Merges change what is loaded: of a last layer whose sign is turned, so is the output's.
func TestLoadMerges(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	fsys := files(t, classes)
	m := load(t, e, fsys)
	merged, err := dit.Load(e, fsys, &negate{name: "proj_out_2.weight"}, &negate{name: "proj_out_2.bias"}, &negate{name: "nothing"})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"nothing"}; !slices.Equal(merged.Unused, want) {
		t.Errorf("unused %v, want %v", merged.Unused, want)
	}
	x := images(1, 1, 8, 8, 4)
	want := forward(t, bind(t, m, 1, 8, 8, condition(1, m, 0)), x, 8, 5)
	got := forward(t, bind(t, merged, 1, 8, 8, condition(1, m, 0)), x, 8, 5)
	for i := range got.Data {
		got.Data[i] = -got.Data[i]
	}
	kerneltest.Same(t, "out", got.Data, want.Data)
}

// A missing key has diffusers' default, which differs between the classes.
func TestReadConfigDefaults(t *testing.T) {
	for text, want := range map[string]dit.Config{
		`{"_class_name": "DiTTransformer2DModel"}`: {
			InChannels: 4, OutChannels: 4, Patch: 2, Size: 32, Interpolation: 1, Layers: 28, Heads: 16, HeadDim: 72, Bias: true,
			FeedForward: blocks.GELUTanh, Norm: blocks.AdaZero, Eps: 1e-5, Labels: 1001,
		},
		`{"_class_name": "PixArtTransformer2DModel"}`: {
			InChannels: 4, OutChannels: 8, Patch: 2, Size: 128, Interpolation: 2, Layers: 28, Heads: 16, HeadDim: 72, Bias: true,
			FeedForward: blocks.GELUTanh, Norm: blocks.AdaSingle, Eps: 1e-6, Sizes: true, ContextDim: 1152,
		},
		`{"_class_name": "PixArtTransformer2DModel", "out_channels": null, "sample_size": 64, "caption_channels": 4096, "interpolation_scale": null}`: {
			InChannels: 4, OutChannels: 4, Patch: 2, Size: 64, Interpolation: 1, Layers: 28, Heads: 16, HeadDim: 72, Bias: true,
			FeedForward: blocks.GELUTanh, Norm: blocks.AdaSingle, Eps: 1e-6, ContextDim: 4096, Caption: true,
		},
		`{"in_channels": 3, "patch_size": 4, "sample_size": 128, "norm_type": "ada_norm_zero", "num_embeds_ada_norm": 10}`: {
			InChannels: 3, OutChannels: 3, Patch: 4, Size: 128, Interpolation: 2, Layers: 1, Heads: 16, HeadDim: 88,
			FeedForward: blocks.GEGLU, Norm: blocks.AdaZero, Eps: 1e-5, Affine: true, Labels: 11,
		},
		`{"in_channels": 3, "patch_size": 4, "sample_size": 128, "norm_type": "ada_norm_single", "attention_head_dim": 6,
			"use_additional_conditions": false, "double_self_attention": true, "cross_attention_dim": 9, "caption_channels": 7}`: {
			InChannels: 3, OutChannels: 3, Patch: 4, Size: 128, Interpolation: 2, Layers: 1, Heads: 16, HeadDim: 6,
			FeedForward: blocks.GEGLU, Norm: blocks.AdaSingle, Eps: 1e-5, Affine: true, DoubleSelf: true,
		},
	} {
		file, err := config.Parse("config.json", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		got, err := dit.ReadConfig(file)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", text, err, got, want)
		}
	}
}

// Values that ask for what there is not are errors, never another model's picture.
func TestReadConfigErrors(t *testing.T) {
	const patches = `"in_channels": 4, "sample_size": 8, "patch_size": 2, `
	for text, want := range map[string]string{
		`"_class_name": "SD3Transformer2DModel"`:                                                       `_class_name is "SD3Transformer2DModel", supported: `,
		`"_class_name": "DiTTransformer2DModel", "norm_type": "ada_norm"`:                              `norm_type is "ada_norm", supported: "ada_norm_zero"`,
		`"_class_name": "PixArtTransformer2DModel", "norm_type": "ada_norm"`:                           `norm_type is "ada_norm", supported: "ada_norm_single"`,
		`"_class_name": "DiTTransformer2DModel", "num_embeds_ada_norm": null`:                          `num_embeds_ada_norm is null`,
		`"_class_name": "DiTTransformer2DModel", "activation_fn": "relu"`:                              `activation_fn is "relu", supported: `,
		`"_class_name": "DiTTransformer2DModel", "attention_head_dim": 5, "num_attention_heads": 3`:    `attention_head_dim is 5, supported: a size that makes the heads together a multiple of 4, not 15`,
		`"_class_name": "PixArtTransformer2DModel", "attention_head_dim": 8, "num_attention_heads": 4`: `use_additional_conditions is missing, supported: false for tokens of 32 columns`,
		`"_class_name": "PixArtTransformer2DModel", "caption_channels": 9, "cross_attention_dim": 9`:   `cross_attention_dim is 9, supported: 1152, as many columns as all heads have`,
		`"_class_name": "PixArtTransformer2DModel", "attention_type": "gated"`:                         `attention_type is "gated", supported: "default"`,
		`"_class_name": "PixArtTransformer2DModel", "interpolation_scale": 0`:                          `interpolation_scale is 0, supported: a number above 0`,
		`"_class_name": "DiTTransformer2DModel", "patch_size": 33`:                                     `patch_size is 33, supported: at most sample_size, 32`,
		patches + `"norm_type": "layer_norm"`:                                                          `norm_type is "layer_norm", supported: "ada_norm_zero" or "ada_norm_single"`,
		patches + `"num_layers": 1`:                                                                    `norm_type is missing, supported: ada_norm_zero or ada_norm_single`,
		patches + `"norm_type": "ada_norm_zero"`:                                                       `num_embeds_ada_norm is missing, supported: a number of classes`,
		patches + `"norm_type": "ada_norm_single", "num_vector_embeds": 8`:                             `num_vector_embeds is 8`,
		`"norm_type": "ada_norm_single", "in_channels": 4, "sample_size": 8`:                           `patch_size is missing, supported: a size`,
		`"norm_type": "ada_norm_single", "in_channels": 4, "patch_size": 2`:                            `sample_size is missing, supported: a size`,
		`"norm_type": "ada_norm_single", "sample_size": 4, "patch_size": 2`:                            `in_channels is missing, supported: a size`,
	} {
		file, err := config.Parse("config.json", []byte("{"+text+"}"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := dit.ReadConfig(file); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "config.json") {
			t.Errorf("%s:\n\tgot  %v\n\twant %s", text, err, want)
		}
	}
}
