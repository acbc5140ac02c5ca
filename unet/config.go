package unet

import (
	"fmt"
	"slices"

	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/kernels"
)

// Config is what a U-Net is made of: diffusers' UNet2DConditionModel with its per-level lists
// turned into levels, and what has no bearing on a forward pass left out.
type Config struct {
	InChannels, OutChannels int
	InKernel, OutKernel     int  // sizes of the first and the last convolution
	CenterInput             bool // the input is 2x−1

	Levels []Level // from the input's size down
	Mid    Mid

	Act               kernels.Act // of the residual blocks
	Groups            int         // of the group norms
	Eps               float64     // of the group norms, but for those of transformers
	ScaleShift        bool        // the time embedding scales and shifts, instead of being added
	DownsamplePadding int         // 1, or 0 for below and right alone

	TimeDim     int         // width of the time embedding
	CosFirst    bool        // order of the sinusoid
	FreqShift   float64     // of the sinusoid
	TimePostAct kernels.Act // after the time embedding's network
	TimeAct     kernels.Act // after the class was added

	Classes int // labels of the class embedding; 0 is no classes

	ContextDim       int  // columns of a prompt's tokens
	LinearProjection bool // transformers project by linear layers, not 1 × 1 convolutions
}

// Level is one size of image: the blocks on the way down, and those on the way back up.
type Level struct {
	Channels int
	// Layers is the number of residual blocks on the way down; there is one more on the way up.
	Layers int
	// DownAttention and UpAttention say that a transformer follows each residual block.
	DownAttention, UpAttention bool
	// Heads divides Channels in the transformers, Transformers is their number of blocks.
	Heads, Transformers int
	// OnlyCross says that these blocks attend to the prompt alone.
	OnlyCross bool
}

// Mid is the kind of block between down and up.
type Mid uint8

const (
	NoMid    Mid = iota // what comes down goes up
	PlainMid            // one residual block
	CrossMid            // a transformer between two residual blocks
)

// The block types of diffusers that there are here.
const (
	downBlock, crossDownBlock = "DownBlock2D", "CrossAttnDownBlock2D"
	upBlock, crossUpBlock     = "UpBlock2D", "CrossAttnUpBlock2D"
	midBlock, crossMidBlock   = "UNetMidBlock2D", "UNetMidBlock2DCrossAttn"
)

// activations are diffusers' names.
var activations = map[string]kernels.Act{
	"": kernels.Identity, "silu": kernels.SiLU, "swish": kernels.SiLU,
	"gelu": kernels.GELU, "mish": kernels.Mish, "relu": kernels.ReLU,
}

// ReadConfig reads the config.json of a UNet2DConditionModel. A key whose value asks for something
// that there is not here is an error.
func ReadConfig(c *config.Config) (Config, error) {
	c.Only("_class_name", "UNet2DConditionModel")
	channels := c.Sizes("block_out_channels", 320, 640, 1280, 1280)
	levels := len(channels)
	m := Config{
		InChannels:  c.Size("in_channels", 4),
		OutChannels: c.Size("out_channels", 4),
		InKernel:    oddSize(c, "conv_in_kernel"),
		OutKernel:   oddSize(c, "conv_out_kernel"),
		CenterInput: c.Bool("center_input_sample", false),

		Act:               activation(c, "act_fn", "silu"),
		Groups:            c.Size("norm_num_groups", 32),
		Eps:               c.Float("norm_eps", 1e-5),
		ScaleShift:        c.String("resnet_time_scale_shift", "default", "scale_shift") == "scale_shift",
		DownsamplePadding: c.Int("downsample_padding", 1),

		CosFirst:    c.Bool("flip_sin_to_cos", true),
		FreqShift:   c.Float("freq_shift", 0),
		TimeDim:     c.Size("time_embedding_dim", 0),
		TimePostAct: activation(c, "timestep_post_act", ""),
		TimeAct:     activation(c, "time_embedding_act_fn", ""),

		Classes: c.Size("num_class_embeds", 0),

		LinearProjection: c.Bool("use_linear_projection", false),
	}
	if m.TimeDim == 0 {
		m.TimeDim = 4 * channels[0]
	}
	m.readLevels(c, channels)
	m.readContext(c, levels)

	c.Only("downsample_padding", 0, 1)
	if float64(channels[0]/2) == m.FreqShift {
		c.Fail("freq_shift", "anything but half of the first channels")
	}
	for _, l := range m.Levels {
		if l.Channels%m.Groups != 0 {
			c.Fail("norm_num_groups", fmt.Sprintf("a divisor of the block_out_channels, %v", channels))
			break
		}
	}

	// Supported as diffusers has it by default.
	c.Only("time_embedding_type", "positional")
	c.Only("mid_block_scale_factor", 1)
	c.Only("attention_type", "default")
	for _, key := range []string{"dual_cross_attention", "class_embeddings_concat"} {
		c.Only(key, false)
	}
	for _, key := range []string{"class_embed_type", "addition_embed_type", "encoder_hid_dim", "encoder_hid_dim_type",
		"time_cond_proj_dim", "reverse_transformer_layers_per_block"} {
		c.Only(key, nil)
	}
	// Without bearing on the blocks that there are here, on inference, or in float32.
	c.Ignore("sample_size", "dropout", "upcast_attention", "resnet_skip_time_act", "resnet_out_scale_factor",
		"cross_attention_norm", "mid_block_only_cross_attention", "addition_embed_type_num_heads",
		"addition_time_embed_dim", "projection_class_embeddings_input_dim")
	return m, c.Err()
}

// readLevels reads the kinds of blocks and what every level has a value of. Lists of the way up
// start at the bottom.
func (m *Config) readLevels(c *config.Config, channels []int) {
	levels := len(channels)
	down := c.Strings("down_block_types", append(slices.Repeat([]string{crossDownBlock}, levels-1), downBlock), downBlock, crossDownBlock)
	up := c.Strings("up_block_types", append([]string{upBlock}, slices.Repeat([]string{crossUpBlock}, levels-1)...), upBlock, crossUpBlock)
	layers := c.SizePerLevel("layers_per_block", levels, 2)
	transformers := c.SizePerLevel("transformer_layers_per_block", levels, 1)
	onlyCross := c.BoolPerLevel("only_cross_attention", levels, false)
	// What diffusers calls the dimension of a head is the number of heads:
	// https://github.com/huggingface/diffusers/issues/2011
	headsKey := "attention_head_dim"
	if c.Has("num_attention_heads") {
		c.Ignore(headsKey)
		headsKey = "num_attention_heads"
	}
	heads := c.SizePerLevel(headsKey, levels, 8)
	if len(down) != levels || len(up) != levels {
		for _, key := range []string{"down_block_types", "up_block_types"} {
			c.Fail(key, fmt.Sprintf("a list of %d, as block_out_channels", levels))
		}
		return
	}
	switch c.String("mid_block_type", crossMidBlock, midBlock, "") {
	case crossMidBlock:
		m.Mid = CrossMid
	case midBlock:
		m.Mid = PlainMid
	}
	for i, n := range channels {
		l := Level{
			Channels: n, Layers: layers[i],
			DownAttention: down[i] == crossDownBlock, UpAttention: up[levels-1-i] == crossUpBlock,
			Heads: heads[i], Transformers: transformers[i], OnlyCross: onlyCross[i],
		}
		m.Levels = append(m.Levels, l)
		attends := l.DownAttention || l.UpAttention || i == levels-1 && m.Mid == CrossMid
		if attends && l.Heads > n {
			c.Fail(headsKey, fmt.Sprintf("at most as many heads as block_out_channels, %v", channels))
		}
	}
}

// readContext reads the width of the prompt's tokens, the same for all levels.
func (m *Config) readContext(c *config.Config, levels int) {
	const key = "cross_attention_dim"
	dims := c.SizePerLevel(key, levels, 1280)
	for _, dim := range dims {
		if dim != dims[0] {
			c.Fail(key, "one size for all levels")
			return
		}
	}
	m.ContextDim = dims[0]
}

// oddSize reads the size of a convolution that keeps the size of its image.
func oddSize(c *config.Config, key string) int {
	k := c.Size(key, 3)
	if k%2 == 0 {
		c.Fail(key, "an odd size")
	}
	return k
}

// activation reads the name of an activation; null, where it is the default, is none.
func activation(c *config.Config, key, missing string) kernels.Act {
	return activations[c.String(key, missing, "silu", "swish", "gelu", "mish", "relu")]
}

// Attends says whether the model has cross-attention at all.
func (m *Config) Attends() bool {
	for _, l := range m.Levels {
		if l.DownAttention || l.UpAttention {
			return true
		}
	}
	return m.Mid == CrossMid
}
