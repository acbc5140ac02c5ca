package unet_test

import (
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/adapter"
	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
	"github.com/lanewise/lanewise/unet"
)

// The configs of small models that differ in how conditions enter.
const (
	layout = `"block_out_channels": [8, 16], "norm_num_groups": 4, "layers_per_block": 1, "cross_attention_dim": 12, "attention_head_dim": 2,
		"down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"]`
	ways = `"up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"]`
	// A condition can enter richModel everywhere: as SDXL's do, and behind the input and with a table of classes.
	richModel = `{"_class_name": "UNet2DConditionModel", ` + layout + `, ` + ways + `, "in_channels": 6, "num_class_embeds": 3,
		"addition_embed_type": "text_time", "addition_time_embed_dim": 4, "projection_class_embeddings_input_dim": 13, "time_cond_proj_dim": 7}`
	// Text and pixels share a softmax, and tokens are normed over a whole text.
	sharedSoftmax = `{"_class_name": "UNet2DConditionModel", "block_out_channels": [32, 32], "norm_num_groups": 4, "layers_per_block": 1,
		"cross_attention_dim": 32, "cross_attention_norm": "group_norm", "attention_head_dim": 8, "resnet_skip_time_act": true,
		"down_block_types": ["SimpleCrossAttnDownBlock2D", "ResnetDownsampleBlock2D"], "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
		"up_block_types": ["ResnetUpsampleBlock2D", "SimpleCrossAttnUpBlock2D"],
		"encoder_hid_dim": 12, "encoder_hid_dim_type": "text_proj", "addition_embed_type": "text", "addition_embed_type_num_heads": 3}`
	// An image's embedding makes tokens, besides those given, and joins the time embedding with a text's.
	imageTokens = `{"_class_name": "UNet2DConditionModel", ` + layout + `, ` + ways + `, "encoder_hid_dim": 10,
		"encoder_hid_dim_type": "text_image_proj", "addition_embed_type": "text_image", "class_embed_type": "timestep"}`
	// No text at all: images with a class vector.
	pixels = `{"_class_name": "UNet2DModel", "block_out_channels": [8, 16], "norm_num_groups": 4, "layers_per_block": 1, "attention_head_dim": 4,
		"down_block_types": ["AttnDownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "AttnUpBlock2D"],
		"downsample_type": "resnet", "upsample_type": "resnet", "class_embed_type": "identity", "time_embedding_type": "fourier"}`
	controlNet = `{"_class_name": "ControlNetModel", ` + layout + `, "conditioning_embedding_out_channels": [4, 6, 8], "num_class_embeds": 3}`
)

// writeModel writes the directory of a U-Net with random weights.
func writeModel(t testing.TB, config string) fs.FS {
	t.Helper()
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	return modeltest.Files(config, "diffusion_pytorch_model", 1, func(fsys fs.FS) error {
		_, err := unet.Load(e, fsys)
		return err
	})
}

// writeControlNet does so for a ControlNet.
func writeControlNet(t testing.TB, config string) fs.FS {
	t.Helper()
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	return modeltest.Files(config, "diffusion_pytorch_model", 2, func(fsys fs.FS) error {
		_, err := unet.LoadControlNet(e, fsys)
		return err
	})
}

// imagePrompt makes an adapter with random weights for models with tokens of 12 values and cross-attention
// layers of the given widths.
func imagePrompt(t testing.TB, e *engine.Engine, inners ...int) *adapter.ImagePrompt {
	t.Helper()
	weights := make(map[string]modeltest.Tensor)
	for i, inner := range inners {
		for _, part := range []string{"k", "v"} {
			name := fmt.Sprintf("ip_adapter.%d.to_%s_ip.weight", 2*i+1, part)
			weights[name] = modeltest.Random(name, 3, inner, 12)
		}
	}
	return loadImagePrompt(t, e, weights)
}

// imagePromptOf makes an adapter whose keys and values are those that a model has for text in the given
// attention modules.
func imagePromptOf(t testing.TB, e *engine.Engine, model fs.FS, modules ...string) *adapter.ImagePrompt {
	t.Helper()
	all, weights := modeltest.Read(model, checkpoint), make(map[string]modeltest.Tensor)
	for i, module := range modules {
		for _, part := range []string{"k", "v"} {
			from := fmt.Sprintf("%s.transformer_blocks.0.attn2.to_%s.weight", module, part)
			w, ok := all[from]
			if !ok {
				t.Fatalf("no %s", from)
			}
			weights[fmt.Sprintf("ip_adapter.%d.to_%s_ip.weight", 2*i+1, part)] = w
		}
	}
	return loadImagePrompt(t, e, weights)
}

// loadImagePrompt loads an adapter of these layers, whose network makes tokens of 12 values.
func loadImagePrompt(t testing.TB, e *engine.Engine, weights map[string]modeltest.Tensor) *adapter.ImagePrompt {
	t.Helper()
	for name, shape := range map[string][]int{"proj.weight": {24, 5}, "proj.bias": {24}, "norm.weight": {12}, "norm.bias": {12}} {
		weights["image_proj."+name] = modeltest.Random(name, 3, shape...)
	}
	p, err := adapter.LoadImagePrompt(e, oneFile("ip.safetensors", modeltest.Safetensors(weights)), "ip.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// richInners are the widths of richModel's cross-attention layers in the order of adapters: down, up, up, mid.
var richInners = []int{8, 8, 8, 16}

func randomMat(seed uint64, rows, cols int) tensor.Mat {
	return tensor.Mat{Rows: rows, Cols: cols, Stride: cols, Data: kerneltest.Random(seed, rows*cols)}
}

// randomResidual returns a residual for every skip, the middle and every level of richModel at h × w.
func randomResidual(seed uint64, n, h, w int) cond.Residual {
	half := func(x int) int { return (x + 1) / 2 }
	image := func(i uint64, h, w, c int) tensor.NHWC { return randomImages(seed+i, n, h, w, c) }
	return cond.Residual{
		Skips:  []tensor.NHWC{image(1, h, w, 8), image(2, h, w, 8), image(3, half(h), half(w), 8), image(4, 1, 1, 16)},
		Mid:    image(5, half(h), half(w), 16),
		Levels: []tensor.NHWC{image(6, h, w, 8), image(7, half(h), half(w), 16), image(8, half(h), half(w), 16)},
		Scale:  0.5,
	}
}

// richConds are conditions of richModel, with an adapter, that differ in all that those of a batch may.
func richConds(h, w int) []cond.Cond {
	base := func(seed uint64) cond.Cond {
		return cond.Cond{Pooled: kerneltest.Random(seed, 5), Sizes: []float64{512, 2.5}}
	}
	masked := base(10)
	masked.Context = []cond.Context{{Tokens: randomMat(11, 9, 12), Mask: []float32{0, -1, 0, -10000, 0, 0, 0.5, -10000, float32(math.Inf(-1))}}}
	masked.Class = 2
	both := base(20)
	both.Context = []cond.Context{{Tokens: randomMat(21, 3, 12), Scale: 0.7}, {Slot: 1, Tokens: randomMat(22, 2, 12), Scale: 0.6}, {Slot: 1, Tokens: randomMat(23, 4, 12)}}
	both.Vector = kerneltest.Random(24, 32)
	both.Guidance = kerneltest.Random(25, 7)
	both.Concat = randomImages(26, 1, h, w, 2)
	both.Residual = []cond.Residual{randomResidual(30, 1, h, w), {Mid: randomImages(40, 1, 1, 1, 16)}}
	image := base(50)
	image.Context = []cond.Context{{Slot: 1, Tokens: randomMat(51, 120, 12), Scale: -1}}
	image.Concat = randomImages(52, 1, h, w, 2)
	image.Sizes, image.Pooled = image.Sizes[:1], kerneltest.Random(53, 9)
	return []cond.Cond{masked, both, image}
}

// Images whose conditions differ in which contexts they have, in tokens, masks, scales, maps and
// residuals come out of a batch as they do alone, bit for bit, on any number of workers.
func TestDifferentConditionsSameBits(t *testing.T) {
	const h, w = 7, 6
	text := func(seed uint64, tokens int) cond.Cond {
		return cond.Cond{Context: []cond.Context{{Tokens: randomMat(seed, tokens, 12), Scale: float32(seed % 3)}}}
	}
	shared := []cond.Cond{text(3, 130), text(1, 2), text(2, 5)}
	shared[2].Context[0].Mask = []float32{0, -10000, 0, 0, -3}
	images := []cond.Cond{text(1, 3), {}, text(2, 6)}
	for i := range images {
		if images[i].Context != nil {
			images[i].Context[0].Tokens = randomMat(uint64(i), 3+3*i, 10)
		}
		images[i].Pooled, images[i].Class = kerneltest.Random(uint64(60+i), 24), 100*i
	}
	vectors := []cond.Cond{{Vector: kerneltest.Random(1, 32)}, {Vector: kerneltest.Random(2, 32)}, {Vector: kerneltest.Random(3, 32)}}
	for name, test := range map[string]struct {
		config   string
		channels int // of x
		conds    []cond.Cond
	}{
		"rich":           {richModel, 4, richConds(h, w)},
		"shared softmax": {sharedSoftmax, 4, shared},
		"image tokens":   {imageTokens, 4, images},
		"pixels":         {pixels, 3, vectors},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := writeModel(t, test.config)
			kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
				var alone []float32
				for _, workers := range []int{1, 2, 7} {
					e := kerneltest.Engine(t, set, workers)
					m := loadModel(t, e, fsys)
					if name == "rich" {
						var err error
						if m, err = m.Adapt(imagePrompt(t, e, richInners...)); err != nil {
							t.Fatal(err)
						}
					}
					x := randomImages(70, 3, h, w, test.channels)
					times := []float64{981, 20.5, 500}
					if workers == 1 {
						for i, c := range test.conds {
							one, in := x.Images(i, i+1), []cond.Cond{c}
							if name == "rich" && c.Concat.Data == nil { // what others have is zeros here
								in[0].Concat = tensor.Make(1, h, w, 2)
							}
							alone = append(alone, forward(t, bind(t, m, 1, h, w, in...), one, m.Config.OutChannels, times[i]).Data...)
						}
					}
					all := forward(t, bind(t, m, 3, h, w, test.conds...), x, m.Config.OutChannels, times...)
					kerneltest.Same(t, kerneltest.Name("workers", workers), all.Data, alone)
				}
			})
		})
	}
}

// A condition of several images can have a map and a residual for each, or one for all.
func TestImagesOfACondition(t *testing.T) {
	const h, w = 6, 6
	e := kerneltest.Engine(t, kernels.Available()[0], 2)
	m, err := loadModel(t, e, writeModel(t, richModel)).Adapt(imagePrompt(t, e, richInners...))
	if err != nil {
		t.Fatal(err)
	}
	one, each := richConds(h, w)[1], richConds(h, w)[1]
	each.Concat = randomImages(1, 2, h, w, 2)
	each.Residual = []cond.Residual{randomResidual(2, 2, h, w), randomResidual(20, 1, h, w)}
	x := randomImages(3, 2, h, w, 4)
	got := tensor.Make(4, h, w, 4)
	if err := bind(t, m, 4, h, w, one, each).Forward(t.Context(), got, x, 7); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		in := x.Images(i, i+1)
		kerneltest.Same(t, kerneltest.Name("of one map", i), got.Images(i, i+1).Data, forward(t, bind(t, m, 1, h, w, one), in, 4, 7).Data)
		own := each
		own.Concat = each.Concat.Images(i, i+1)
		own.Residual = slices.Clone(each.Residual)
		own.Residual[0] = cond.Residual{Mid: own.Residual[0].Mid.Images(i, i+1), Scale: own.Residual[0].Scale}
		for _, skip := range each.Residual[0].Skips {
			own.Residual[0].Skips = append(own.Residual[0].Skips, skip.Images(i, i+1))
		}
		for _, features := range each.Residual[0].Levels {
			own.Residual[0].Levels = append(own.Residual[0].Levels, features.Images(i, i+1))
		}
		kerneltest.Same(t, kerneltest.Name("of two maps", i), got.Images(2+i, 3+i).Data, forward(t, bind(t, m, 1, h, w, own), in, 4, 7).Data)
	}
}

// Of the parts of a condition each has an effect, and what it does not have is not left from another bound
// of the session.
func TestEveryPartOfACondition(t *testing.T) {
	const h, w = 6, 6
	e := kerneltest.Engine(t, kernels.Available()[0], 2)
	m, err := loadModel(t, e, writeModel(t, richModel)).Adapt(imagePrompt(t, e, richInners...))
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Session(1, h, w)
	if err != nil {
		t.Fatal(err)
	}
	whole := richConds(h, w)[1]
	x := randomImages(1, 1, h, w, 4)
	run := func(c cond.Cond) []float32 {
		b, err := s.Bind(c)
		if err != nil {
			t.Fatal(err)
		}
		return forward(t, b, x, 4, 300).Data
	}
	want := run(whole)
	residual := whole.Residual[0]
	for name, change := range map[string]func(c *cond.Cond){
		"text":            func(c *cond.Cond) { c.Context = c.Context[1:] },
		"text scale":      func(c *cond.Cond) { c.Context[0].Scale = 0.6 },
		"an image prompt": func(c *cond.Cond) { c.Context = c.Context[:2] },
		"image scale":     func(c *cond.Cond) { c.Context[1].Scale = 0.7 },
		"vector":          func(c *cond.Cond) { c.Vector = nil },
		"pooled":          func(c *cond.Cond) { c.Pooled = make([]float32, 5) },
		"sizes":           func(c *cond.Cond) { c.Sizes = []float64{512, 3} },
		"guidance":        func(c *cond.Cond) { c.Guidance = nil },
		"concat":          func(c *cond.Cond) { c.Concat = tensor.Make(1, h, w, 2) },
		"residuals":       func(c *cond.Cond) { c.Residual = nil },
		"skips": func(c *cond.Cond) {
			c.Residual[0] = cond.Residual{Mid: residual.Mid, Levels: residual.Levels, Scale: 0.5}
		},
		"mid":            func(c *cond.Cond) { c.Residual[0].Mid = tensor.NHWC{} },
		"levels":         func(c *cond.Cond) { c.Residual[0].Levels = nil },
		"one level":      func(c *cond.Cond) { c.Residual[0].Levels = residual.Levels[:1] },
		"residual scale": func(c *cond.Cond) { c.Residual[0].Scale = 0 },
	} {
		c := whole
		c.Context, c.Residual = slices.Clone(c.Context), slices.Clone(c.Residual)
		change(&c)
		if slices.Equal(run(c), want) {
			t.Errorf("%s: no difference", name)
		}
		kerneltest.Same(t, "after another bound", run(whole), want)
	}
}

// What Bind keeps of a condition, it reads in every Forward; the rest it has read.
func TestBindKeepsMapsAlone(t *testing.T) {
	const h, w = 6, 6
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	m, err := loadModel(t, e, writeModel(t, richModel)).Adapt(imagePrompt(t, e, richInners...))
	if err != nil {
		t.Fatal(err)
	}
	c := richConds(h, w)[1]
	x := randomImages(1, 1, h, w, 4)
	b := bind(t, m, 1, h, w, c)
	want := forward(t, b, x, 4, 300).Data
	clear(c.Context[0].Tokens.Data)
	clear(c.Context[1].Tokens.Data)
	clear(c.Vector)
	clear(c.Pooled)
	clear(c.Guidance)
	kerneltest.Same(t, "vectors and tokens cleared", forward(t, b, x, 4, 300).Data, want)
	for name, data := range map[string][]float32{"concat": c.Concat.Data, "a skip": c.Residual[0].Skips[1].Data, "mid": c.Residual[0].Mid.Data} {
		clear(data)
		if got := forward(t, b, x, 4, 300).Data; slices.Equal(got, want) {
			t.Errorf("%s cleared: no difference", name)
		} else {
			want = got
		}
	}
}

func TestConditionsDoNotAllocate(t *testing.T) {
	const h, w = 6, 6
	e := kerneltest.Engine(t, kernels.Available()[0], 2)
	m, err := loadModel(t, e, writeModel(t, richModel)).Adapt(imagePrompt(t, e, richInners...))
	if err != nil {
		t.Fatal(err)
	}
	shared := loadModel(t, e, writeModel(t, sharedSoftmax))
	text := cond.Cond{Context: []cond.Context{{Tokens: randomMat(1, 5, 12)}, {Tokens: randomMat(2, 3, 12)}}}
	for name, b := range map[string]*unet.Bound{
		"rich":           bind(t, m, 3, h, w, richConds(h, w)...),
		"shared softmax": bind(t, shared, 3, h, w, text),
		"pixels":         bind(t, loadModel(t, e, writeModel(t, pixels)), 3, h, w, cond.Cond{Vector: kerneltest.Random(1, 32)}),
	} {
		channels := 4
		if name == "pixels" {
			channels = 3
		}
		x, out := randomImages(1, 3, h, w, channels), tensor.Make(3, h, w, channels)
		kerneltest.NoAllocations(t, name, func() {
			if err := b.Forward(t.Context(), out, x, 500); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A label's vector is the label, and one that is half of each of two lies between them.
func TestClassVector(t *testing.T) {
	m := loadModel(t, kerneltest.Engine(t, kernels.Available()[0], 1), writeModel(t, richModel))
	const h, w = 4, 4
	c := cond.Cond{Context: []cond.Context{{Tokens: randomMat(1, 3, 12)}}, Pooled: kerneltest.Random(2, 13)}
	x := randomImages(3, 1, h, w, 6)
	run := func(c cond.Cond) []float32 { return forward(t, bind(t, m, 1, h, w, c), x, 4, 5).Data }
	c.Class = 1
	want := run(c)
	rows := make([][]float32, 3)
	for i := range rows {
		var err error
		if rows[i], err = m.ClassVector(i); err != nil {
			t.Fatal(err)
		}
	}
	c.Vector, c.Class = rows[1], 0
	kerneltest.Same(t, "by its vector", run(c), want)
	clear(rows[1]) // a copy
	c.Vector, c.Class = nil, 1
	kerneltest.Same(t, "again", run(c), want)
	for _, label := range []int{-1, 3} {
		if _, err := m.ClassVector(label); err == nil || !strings.Contains(err.Error(), "want 0 to 2") {
			t.Errorf("class %d: %v", label, err)
		}
	}
	none := loadModel(t, kerneltest.Engine(t, kernels.Available()[0], 1), writeModel(t, pixels))
	if _, err := none.ClassVector(0); err == nil || !strings.Contains(err.Error(), "no table") {
		t.Errorf("without classes: %v", err)
	}
}
