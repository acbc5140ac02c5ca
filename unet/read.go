package unet

import (
	"fmt"
	"slices"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/kernels"
)

// The classes of diffusers that there are here.
const (
	conditionClass, pixelClass, controlClass = "UNet2DConditionModel", "UNet2DModel", "ControlNetModel"
)

// ReadConfig reads the config.json of a UNet2DConditionModel or a UNet2DModel. A key whose value asks
// for something that there is not here is an error.
func ReadConfig(c *config.Config) (Config, error) {
	read := readCondition
	if c.String("_class_name", conditionClass, conditionClass, pixelClass) == pixelClass {
		read = readPixel
	}
	m := read(c)
	m.check(c)
	return m, c.Err()
}

// readCondition reads the config.json of a UNet2DConditionModel.
func readCondition(c *config.Config) Config {
	m := Config{
		OutChannels: c.Size("out_channels", 4),
		InKernel:    oddSize(c, "conv_in_kernel"),
		OutKernel:   oddSize(c, "conv_out_kernel"),
		CenterInput: c.Bool("center_input_sample", false),
		TimePostAct: blocks.Activation(c, "timestep_post_act", ""),
		TimeAct:     blocks.Activation(c, "time_embedding_act_fn", ""),
		GuidanceDim: c.Size("time_cond_proj_dim", 0),
		ClassConcat: c.Bool("class_embeddings_concat", false),

		LinearProjection: c.Bool("use_linear_projection", false),
	}
	channels := m.readTrunk(c, 4, 320, 640, 1280, 1280)
	levels := len(channels)
	m.OutAct, m.TimeInnerAct, m.ClassAct = m.Act, m.Act, m.Act
	if c.String("time_embedding_type", "positional", "fourier") == "fourier" {
		m.TimeKind = FourierTime
		if m.TimeDim = sizeOr(c, "time_embedding_dim", 2*channels[0]); m.TimeDim%2 != 0 {
			c.Fail("time_embedding_dim", "an even size")
		}
	} else {
		m.TimeDim = sizeOr(c, "time_embedding_dim", 4*channels[0])
	}

	o := readOptions(c, levels)
	o.groups = m.Groups
	o.crossNorm = crossNorms[c.String("cross_attention_norm", "", "layer_norm", "group_norm")]
	o.skipTimeAct, o.outScale = c.Bool("resnet_skip_time_act", false), scaleFactor(c, "resnet_out_scale_factor")
	layers := c.LayersPerLevel("layers_per_block", levels, 2)
	down := readKinds(c, "down_block_types", crossDown(levels), downKinds, true)
	up := readKinds(c, "up_block_types", crossUp(levels), upKinds, true)
	transformers, upTransformers := readTransformers(c, layers)
	for i, n := range channels {
		m.Levels = append(m.Levels, Level{
			Channels: n, Layers: layers[i],
			Down: o.block(c, down[i], i, n, transformers[i]),
			Up:   o.up().block(c, up[levels-1-i], i, n, upTransformers[i]),
		})
	}
	m.readMid(c, o, transformers, "UNetMidBlock2DCrossAttn", "UNetMidBlock2D", "UNetMidBlock2DSimpleCrossAttn", "")
	const onlyCross = "mid_block_only_cross_attention"
	if m.Mid.Attention == AddedKV { // no other kind is told of it
		m.Mid.OnlyCross = o.onlyCross[0] && !c.List("only_cross_attention")
		if c.Has(onlyCross) {
			m.Mid.OnlyCross = c.Bool(onlyCross, false)
		}
	}

	m.readContext(c)
	m.readClass(c, "timestep", "identity", "projection", "simple_projection")
	m.readPooled(c, "text", "text_time", "image", "text_image")

	// Supported as diffusers has it by default.
	c.Only("dual_cross_attention", false)
	c.Only("attention_type", "default")
	c.Ignore(onlyCross, "sample_size", "dropout", "upcast_attention")
	return m
}

// readPixel reads the config.json of a UNet2DModel.
func readPixel(c *config.Config) Config {
	m := Config{
		OutChannels: c.Size("out_channels", 3),
		InKernel:    3,
		OutKernel:   3,
		CenterInput: c.Bool("center_input_sample", false),
		// Whatever act_fn is.
		OutAct: kernels.SiLU, TimeInnerAct: kernels.SiLU, ClassAct: kernels.SiLU,
	}
	channels := m.readTrunk(c, 3, 224, 448, 672, 896)
	levels := len(channels)
	m.TimeDim = 4 * channels[0]
	switch c.String("time_embedding_type", "positional", "fourier", "learned") {
	case "fourier":
		m.TimeKind, m.DivideByTime, m.CosFirst = LogFourierTime, true, false
	case "learned":
		m.TimeKind = LearnedTime
		if m.TimeSteps = c.Size("num_train_timesteps", 0); m.TimeSteps == 0 {
			c.Fail("num_train_timesteps", "a size: the times are learned")
		}
	}
	m.readClass(c, "timestep", "identity")

	const dimKey = "attention_head_dim"
	o := &options{dimsKey: dimKey, headDims: channels, groups: m.Groups, outScale: 1}
	if !c.Null(dimKey) {
		o.headDims = slices.Repeat([]int{c.Size(dimKey, 8)}, levels)
	}
	ways := [2]options{*o, *o}
	for i, key := range []string{"downsample_type", "upsample_type"} {
		ways[i].resnetResample = c.String(key, "conv", "resnet") == "resnet"
	}
	layers := c.LayersPerLevel("layers_per_block", levels, 2)
	down := readKinds(c, "down_block_types", append([]string{"DownBlock2D"}, slices.Repeat([]string{"AttnDownBlock2D"}, levels-1)...), downKinds, false)
	up := readKinds(c, "up_block_types", append(slices.Repeat([]string{"AttnUpBlock2D"}, levels-1), "UpBlock2D"), upKinds, false)
	for i, n := range channels {
		m.Levels = append(m.Levels, Level{
			Channels: n, Layers: layers[i],
			Down: ways[0].block(c, down[i], i, n, nil),
			Up:   ways[1].block(c, up[levels-1-i], i, n, nil),
		})
	}

	// The middle's norm is left out where time scales and shifts, unless it is asked for.
	const groupsKey = "attn_norm_num_groups"
	last := channels[levels-1]
	switch {
	case c.Has(groupsKey):
		if o.groups = c.Size(groupsKey, 0); o.groups > 0 && last%o.groups != 0 {
			c.Fail(groupsKey, fmt.Sprintf("a divisor of the last of block_out_channels, %d", last))
		}
	case m.ScaleShift:
		o.groups = 0
	}
	var k kind
	if c.Bool("add_attention", true) {
		k.attention = Spatial
	}
	m.Mid = Mid{ResNets: 2, Block: o.block(c, k, levels-1, last, nil)}
	m.Mid.OutScale = scaleFactor(c, "mid_block_scale_factor")
	c.Ignore("num_train_timesteps", "sample_size", "dropout")
	return m
}
