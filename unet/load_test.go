package unet_test

import (
	"errors"
	"io/fs"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/unet"
)

// A load that fails says everything that is wrong with the weights, each with tensor, file, and
// what is there and what should be.
func TestLoadListsBadTensors(t *testing.T) {
	c := small()
	c.Linear = true
	weights := randomWeights(t, c, 1)
	const file = "(diffusion_pytorch_model.safetensors)"

	proj := weights["down_blocks.0.attentions.0.proj_in.weight"]
	weights["down_blocks.0.attentions.0.proj_in.weight"] = modeltest.Tensor{Shape: []int{8, 8, 1, 1}, Data: proj.Data}
	weights["mid_block.resnets.1.time_emb_proj.bias"] = modeltest.Tensor{Shape: []int{8}, Data: make([]float32, 8)}
	delete(weights, "mid_block.attentions.0.transformer_blocks.0.attn1.to_k.weight")
	delete(weights, "up_blocks.0.resnets.0.conv1.weight")
	delete(weights, "conv_norm_out.bias")
	weights["conv_in.weight"].Data[17] = float32(math.NaN())
	weights["time_embedding.linear_2.bias"].Data[3] = float32(math.Inf(-1))
	weights["up_blocks.0.resnets.0.conv_1.weight"] = modeltest.Tensor{Shape: []int{1}, Data: []float32{1}}

	_, err := unet.Load(kerneltest.Engine(t, kernels.Available()[0], 1), files(t, c, weights))
	if err == nil {
		t.Fatal("no error")
	}
	want := []string{
		"unet: down_blocks.0.attentions.0.proj_in.weight: shape [8 8 1 1], want [8 8] " + file,
		"unet: mid_block.resnets.1.time_emb_proj.bias: shape [8], want [16] " + file,
		"unet: mid_block.attentions.0.transformer_blocks.0.attn1.to_k.weight: missing, want [16 16] " + file,
		"unet: up_blocks.0.resnets.0.conv1.weight: missing, want [16 32 3 3] " + file,
		"unet: conv_norm_out.bias: missing, want [8] " + file,
		"unet: conv_in.weight: value 17 is NaN " + file,
		"unet: time_embedding.linear_2.bias: value 3 is -Inf " + file,
		"unet: tensors not used: up_blocks.0.resnets.0.conv_1.weight [1] " + file,
	}
	got := strings.Split(err.Error(), "\n")
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// What is merely too much is ignored and listed.
func TestLoadListsUnused(t *testing.T) {
	c := small()
	weights := randomWeights(t, c, 1)
	weights["position_net.weight"] = modeltest.Tensor{Shape: []int{2}, Data: []float32{1, 2}}
	fsys := files(t, c, weights)
	text := string(fsys["config.json"].Data)
	fsys["config.json"].Data = []byte(strings.Replace(text, "{", `{"_diffusers_version": "0.31.0", "novelty": 3,`, 1))
	m := loadModel(t, kerneltest.Engine(t, kernels.Available()[0], 1), fsys)
	if want := []string{"position_net.weight [2]"}; !slices.Equal(m.Unused, want) {
		t.Errorf("unused %v, want %v", m.Unused, want)
	}
	if want := []string{"novelty"}; !slices.Equal(m.Unknown, want) {
		t.Errorf("unknown %v, want %v", m.Unknown, want)
	}
}

func TestLoadMissingFiles(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	for _, missing := range []string{"config.json", "diffusion_pytorch_model.safetensors"} {
		fsys := files(t, small(), nil)
		delete(fsys, missing)
		_, err := unet.Load(e, fsys)
		if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "unet: ") || !strings.Contains(err.Error(), missing) {
			t.Errorf("without %s: %v", missing, err)
		}
	}
	fsys := files(t, small(), nil)
	fsys["diffusion_pytorch_model.safetensors"] = &fstest.MapFile{Data: []byte("too short")}
	if _, err := unet.Load(e, fsys); err == nil || !strings.Contains(err.Error(), "diffusion_pytorch_model.safetensors") {
		t.Errorf("from a broken file: %v", err)
	}
}

// Values that ask for what there is not are errors, never another model's picture.
func TestReadConfigErrors(t *testing.T) {
	for text, want := range map[string]string{
		`"_class_name": "UNet3DConditionModel"`:                  `_class_name is "UNet3DConditionModel", supported: "UNet2DConditionModel" or "UNet2DModel"`,
		`"down_block_types": ["SkipDownBlock2D", "DownBlock2D"]`: `down_block_types is ["SkipDownBlock2D", "DownBlock2D"], supported: a list of ["AttnDownBlock2D" "CrossAttnDownBlock2D" "DownBlock2D"`,
		`"up_block_types": ["UpBlock2D", "KUpBlock2D"]`:          `up_block_types is ["UpBlock2D", "KUpBlock2D"], supported: a list of ["AttnUpBlock2D" "CrossAttnUpBlock2D" "ResnetUpsampleBlock2D"`,
		`"up_block_types": ["UpBlock2D"]`:                        `up_block_types is ["UpBlock2D"], supported: a list of 2`,
		`"mid_block_type": "MidBlock"`:                           `mid_block_type is "MidBlock", supported: "UNetMidBlock2DCrossAttn" or "UNetMidBlock2D" or "UNetMidBlock2DSimpleCrossAttn" or null`,
		`"layers_per_block": [1, 2, 3]`:                          `layers_per_block is [1, 2, 3]`,
		`"act_fn": "snake"`:                                      `act_fn is "snake", supported: "silu"`,
		`"norm_num_groups": 3`:                                   `norm_num_groups is 3, supported: a divisor of the block_out_channels, [8 16]`,
		`"norm_num_groups": null`:                                `norm_num_groups is null`,
		`"attention_head_dim": 9`:                                `attention_head_dim is 9, supported: at most as many heads as block_out_channels, 8`,
		`"num_attention_heads": [2, 17]`:                         `num_attention_heads is [2, 17]`,
		`"down_block_types": ["AttnDownBlock2D", "DownBlock2D"], "attention_head_dim": [9, 8]`: `attention_head_dim is [9, 8], supported: heads of at most block_out_channels, 8`,
		`"cross_attention_dim": [8, 16]`:         `cross_attention_dim is [8, 16], supported: one size for all levels with cross-attention`,
		`"freq_shift": 4`:                        `freq_shift is 4`,
		`"conv_in_kernel": 4`:                    `conv_in_kernel is 4, supported: an odd size`,
		`"resnet_time_scale_shift": "ada_group"`: `resnet_time_scale_shift is "ada_group", supported: "default" or "scale_shift"`,
		`"resnet_out_scale_factor": 0`:           `resnet_out_scale_factor is 0, supported: a number other than 0`,
		`"downsample_padding": 2`:                `downsample_padding is 2, supported: 0 or 1`,
		`"class_embed_type": "learned"`:          `class_embed_type is "learned", supported: null or "timestep"`,
		`"class_embed_type": "projection"`:       `projection_class_embeddings_input_dim is missing, supported: a size: class_embed_type is "projection"`,
		`"class_embeddings_concat": true`:        `class_embeddings_concat is true, supported: false, since there are no classes`,
		`"class_embeddings_concat": true, "num_class_embeds": 3, "addition_embed_type": "text"`:            `class_embeddings_concat is true, supported: false, since there is addition_embed_type`,
		`"addition_embed_type": "image_hint"`:                                                              `addition_embed_type is "image_hint", supported: null or "text"`,
		`"addition_embed_type": "text_time", "addition_time_embed_dim": 8`:                                 `projection_class_embeddings_input_dim is missing, supported: a size: addition_embed_type is "text_time"`,
		`"addition_embed_type": "text_time", "projection_class_embeddings_input_dim": 60`:                  `addition_time_embed_dim is missing, supported: a size`,
		`"addition_embed_type": "text", "addition_embed_type_num_heads": 7`:                                `addition_embed_type_num_heads is 7, supported: a divisor of the tokens' 1280 values`,
		`"addition_embed_type": "image"`:                                                                   `encoder_hid_dim is missing, supported: a size: addition_embed_type is "image"`,
		`"addition_embed_type": "text", "encoder_hid_dim": 20, "encoder_hid_dim_type": "image_proj"`:       `addition_embed_type is "text", supported: anything but "text"`,
		`"addition_embed_type": "text_image", "encoder_hid_dim": 20, "encoder_hid_dim_type": "image_proj"`: `encoder_hid_dim is 20, supported: cross_attention_dim, 1280`,
		`"encoder_hid_dim_type": "text_proj"`:                                                              `encoder_hid_dim is missing, supported: a size: there is encoder_hid_dim_type`,
		`"encoder_hid_dim": 20, "encoder_hid_dim_type": "ip_image_proj"`:                                   `encoder_hid_dim_type is "ip_image_proj", supported: null or "text_proj"`,
		`"time_embedding_type": "learned"`:                                                                 `time_embedding_type is "learned", supported: "positional" or "fourier"`,
		`"time_embedding_type": "fourier", "time_embedding_dim": 15`:                                       `time_embedding_dim is 15, supported: an even size`,
		`"_class_name": "UNet2DModel", "time_embedding_type": "learned"`:                                   `num_train_timesteps is missing, supported: a size`,
		`"_class_name": "UNet2DModel", "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"]`:        `supported: a list of ["AttnDownBlock2D" "DownBlock2D" "ResnetDownsampleBlock2D"]`,
		`"_class_name": "UNet2DModel", "attn_norm_num_groups": 3`:                                          `attn_norm_num_groups is 3, supported: a divisor of the last of block_out_channels, 16`,
		`"cross_attention_norm": "layer_norm", "mid_block_type": "UNetMidBlock2DSimpleCrossAttn"`:          `cross_attention_norm is "layer_norm", supported: anything but a norm of 16 channels for tokens of 1280 values`,
		`"cross_attention_dim": null`:                                                                      `cross_attention_dim is null, supported: a size: there are blocks with cross-attention`,
		`"attention_type": "gated"`:                                                                        `attention_type is "gated", supported: "default"`,
		`"dual_cross_attention": true`:                                                                     `dual_cross_attention is true, supported: false`,
		`"reverse_transformer_layers_per_block": [1, 2, 3]`:                                                `reverse_transformer_layers_per_block is [1, 2, 3]`,
		`"transformer_layers_per_block": [[1, 2], 2]`:                                                      `transformer_layers_per_block is [[1, 2], 2], supported: a count, or a list with one for each of 2 levels, which may be lists with one for each of the layers, [3 3]`,
		`"num_class_embeds": -1`:                                                                           `num_class_embeds is -1`,
		`"down_block_types": ["DownBlock2D"], "up_block_types": ["UpBlock2D"]`:                             `down_block_types is ["DownBlock2D"], supported: a list of 2`,
	} {
		file, err := config.Parse("config.json", []byte(`{"block_out_channels": [8, 16], "norm_num_groups": 4, `+text+"}"))
		if strings.Contains(text, "norm_num_groups") {
			file, err = config.Parse("config.json", []byte(`{"block_out_channels": [8, 16], `+text+"}"))
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unet.ReadConfig(file); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "config.json") {
			t.Errorf("%s:\n\tgot  %v\n\twant %s", text, err, want)
		}
	}
}

// A missing key has diffusers' default: Stable Diffusion 1's U-Net.
func TestReadConfigDefaults(t *testing.T) {
	file, err := config.Parse("config.json", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := unet.ReadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	var levels []unet.Level
	for i, n := range []int{320, 640, 1280, 1280} {
		block := unet.Block{OutScale: 1}
		up := block
		if i < 3 {
			block = unet.Block{Attention: unet.Transformers, Heads: 8, HeadDim: n / 8, OutScale: 1, Transformers: []int{1, 1}}
			up = block
			up.Transformers = []int{1, 1, 1}
		}
		levels = append(levels, unet.Level{Channels: n, Layers: 2, Down: block, Up: up})
	}
	mid := unet.Block{Attention: unet.Transformers, Heads: 8, HeadDim: 160, OutScale: 1, Transformers: []int{1}}
	want := unet.Config{
		InChannels: 4, OutChannels: 4, InKernel: 3, OutKernel: 3, Levels: levels, Mid: unet.Mid{ResNets: 2, Block: mid},
		Act: kernels.SiLU, OutAct: kernels.SiLU, Groups: 32, Eps: 1e-5, DownsamplePadding: 1,
		TimeDim: 1280, CosFirst: true, TimeInnerAct: kernels.SiLU, ClassAct: kernels.SiLU, ContextDim: 1280, CrossDim: 1280,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// An option reaches the blocks that diffusers tells of it, and no others.
func TestOptionsReachTheirBlocks(t *testing.T) {
	read := func(text string) unet.Config {
		t.Helper()
		file, err := config.Parse("config.json", []byte(`{"block_out_channels": [8, 16, 32], "norm_num_groups": 4, "cross_attention_dim": 32,
			"resnet_skip_time_act": true, "resnet_out_scale_factor": 2, "mid_block_scale_factor": 3, "cross_attention_norm": "group_norm",
			"only_cross_attention": true, "downsample_type": "resnet", "upsample_type": "resnet", `+text+"}"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := unet.ReadConfig(file)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	level := func(channels int, down, up unet.Block) unet.Level {
		return unet.Level{Channels: channels, Layers: 2, Down: down, Up: up}
	}
	added := func(channels, headDim int) unet.Block {
		return unet.Block{Attention: unet.AddedKV, Heads: channels / headDim, HeadDim: headDim, OnlyCross: true, CrossNorm: blocks.CrossGroupNorm,
			ResNetResampler: true, SkipTimeAct: true, OutScale: 2}
	}
	want := []unet.Level{
		level(8, unet.Block{Attention: unet.Transformers, Heads: 2, HeadDim: 4, Transformers: []int{1, 1}, OnlyCross: true, OutScale: 1},
			// The dimensions of heads are in the order of the way up there.
			unet.Block{Attention: unet.Spatial, Heads: 1, HeadDim: 8, Groups: 4, OutScale: 1}),
		level(16, unet.Block{Attention: unet.Spatial, Heads: 4, HeadDim: 4, Groups: 4, OutScale: 1}, added(16, 4)),
		level(32, added(32, 8), unet.Block{ResNetResampler: true, SkipTimeAct: true, OutScale: 2}),
	}
	c := read(`"attention_head_dim": [2, 4, 8], "down_block_types": ["CrossAttnDownBlock2D", "AttnDownBlock2D", "SimpleCrossAttnDownBlock2D"],
		"up_block_types": ["ResnetUpsampleBlock2D", "SimpleCrossAttnUpBlock2D", "AttnUpBlock2D"]`)
	if !reflect.DeepEqual(c.Levels, want) {
		t.Errorf("levels\n\t%+v\nwant\n\t%+v", c.Levels, want)
	}

	mid := added(32, 8)
	mid.ResNetResampler, mid.OutScale = false, 3
	more := mid
	more.OnlyCross = false
	for text, want := range map[string]unet.Mid{
		`"attention_head_dim": 8, "mid_block_type": "UNetMidBlock2D"`: {ResNets: 1, Block: unet.Block{OutScale: 3}},
		`"attention_head_dim": 8, "mid_block_type": "UNetMidBlock2DCrossAttn"`: {
			ResNets: 2, Block: unet.Block{Attention: unet.Transformers, Heads: 8, HeadDim: 4, Transformers: []int{1}, OutScale: 3}},
		`"mid_block_type": null`: {},
		`"attention_head_dim": 8, "mid_block_type": "UNetMidBlock2DSimpleCrossAttn"`:                                          {ResNets: 2, Block: mid},
		`"attention_head_dim": 8, "mid_block_type": "UNetMidBlock2DSimpleCrossAttn", "mid_block_only_cross_attention": false`: {ResNets: 2, Block: more},
		`"_class_name": "UNet2DModel", "attention_head_dim": 8`: {
			ResNets: 2, Block: unet.Block{Attention: unet.Spatial, Heads: 4, HeadDim: 8, Groups: 4, OutScale: 3}},
		`"_class_name": "UNet2DModel", "attention_head_dim": null, "resnet_time_scale_shift": "scale_shift"`: {
			ResNets: 2, Block: unet.Block{Attention: unet.Spatial, Heads: 1, HeadDim: 32, OutScale: 3}},
		`"_class_name": "UNet2DModel", "add_attention": false`: {ResNets: 2, Block: unet.Block{OutScale: 3}},
	} {
		c := read(text + `, "down_block_types": ["DownBlock2D", "DownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "UpBlock2D", "UpBlock2D"]`)
		if !reflect.DeepEqual(c.Mid, want) {
			t.Errorf("%s\n\tmid  %+v\n\twant %+v", text, c.Mid, want)
		}
	}
}

// The shapes of 1 × 1 convolutions and of linear layers hold the same numbers.
func TestProjectionShapes(t *testing.T) {
	c := small()
	conv := randomWeights(t, c, 1)
	linear := maps.Clone(conv)
	for name, w := range conv {
		if strings.HasSuffix(name, "proj_in.weight") || strings.HasSuffix(name, "proj_out.weight") {
			if len(w.Shape) != 4 {
				t.Fatalf("%s has shape %v", name, w.Shape)
			}
			linear[name] = modeltest.Tensor{Shape: w.Shape[:2], Data: w.Data}
		}
	}
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	x := randomImages(1, 1, 4, 4, c.InChannels)
	m := loadModel(t, e, files(t, c, conv))
	want := forward(t, bind(t, m, 1, 4, 4, randomCond(2, m, 3)), x, c.OutChannels, 1)
	c.Linear = true
	m = loadModel(t, e, files(t, c, linear))
	got := forward(t, bind(t, m, 1, 4, 4, randomCond(2, m, 3)), x, c.OutChannels, 1)
	if !slices.Equal(got.Data, want.Data) {
		t.Error("linear projections make another output than the same convolutions")
	}
}
