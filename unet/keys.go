package unet

import (
	"fmt"
	"math"
	"slices"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/config"
)

// crossNorms are diffusers' names of norms of tokens.
var crossNorms = map[string]blocks.CrossNorm{
	"": blocks.NoCrossNorm, "layer_norm": blocks.CrossLayerNorm, "group_norm": blocks.CrossGroupNorm,
}

// readTrunk reads what all classes have, and returns the channels of the levels.
func (m *Config) readTrunk(c *config.Config, inChannels int, missing ...int) []int {
	m.InChannels = c.Size("in_channels", inChannels)
	m.Act = blocks.Activation(c, "act_fn", "silu")
	m.Groups = c.Size("norm_num_groups", 32)
	m.Eps = c.Float("norm_eps", 1e-5)
	m.ScaleShift = c.String("resnet_time_scale_shift", "default", "scale_shift") == "scale_shift"
	m.DownsamplePadding = c.Int("downsample_padding", 1)
	m.CosFirst = c.Bool("flip_sin_to_cos", true)
	m.FreqShift = c.Float("freq_shift", 0)
	c.Only("downsample_padding", 0, 1)
	return c.Sizes("block_out_channels", missing...)
}

// crossDown and crossUp are the block types of Stable Diffusion: the defaults of
// UNet2DConditionModel and ControlNetModel.
func crossDown(levels int) []string {
	return append(slices.Repeat([]string{"CrossAttnDownBlock2D"}, levels-1), "DownBlock2D")
}

func crossUp(levels int) []string {
	return append([]string{"UpBlock2D"}, slices.Repeat([]string{"CrossAttnUpBlock2D"}, levels-1)...)
}

// readOptions reads the keys that UNet2DConditionModel and ControlNetModel share.
func readOptions(c *config.Config, levels int) *options {
	// What diffusers calls the dimension of a transformer's head is the number of heads:
	// https://github.com/huggingface/diffusers/issues/2011
	o := &options{headsKey: "attention_head_dim", dimsKey: "attention_head_dim", outScale: 1}
	o.headDims = c.SizePerLevel(o.dimsKey, levels, 8)
	if c.Has("num_attention_heads") {
		o.headsKey = "num_attention_heads"
	}
	o.heads = c.SizePerLevel(o.headsKey, levels, 8)
	o.onlyCross = c.BoolPerLevel("only_cross_attention", levels, false)
	return o
}

// readTransformers reads how many transformer blocks each layer has, on the way down and up, by
// level.
func readTransformers(c *config.Config, layers []int) (down, up [][]int) {
	more := func(layers []int) []int { // a layer more at each level
		all := slices.Clone(layers)
		for i := range all {
			all[i]++
		}
		return all
	}
	const key, upKey = "transformer_layers_per_block", "reverse_transformer_layers_per_block"
	down = c.CountsPerLayer(key, layers, 1)
	if !c.Has(upKey) {
		return down, c.CountsPerLayer(key, more(layers), 1)
	}
	reversed := more(layers)
	slices.Reverse(reversed)
	up = c.CountsPerLayer(upKey, reversed, 1) // in the order of the way up
	slices.Reverse(up)
	return down, up
}

// readMid reads the kind of the middle block, one of those given, the first by default.
func (m *Config) readMid(c *config.Config, o *options, transformers [][]int, names ...string) {
	scale := scaleFactor(c, "mid_block_scale_factor")
	name := c.String("mid_block_type", names[0], names...)
	if name == "" {
		return
	}
	last := len(m.Levels) - 1
	k := midKinds[name]
	m.Mid = Mid{ResNets: 1, Block: o.block(c, k, last, m.Levels[last].Channels, transformers[last][:1])}
	if k.attention != NoAttention {
		m.Mid.ResNets = 2
	}
	// only_cross_attention is for the levels.
	m.Mid.ResNetResampler, m.Mid.OnlyCross, m.Mid.OutScale = false, false, scale
}

// readContext reads what cross-attention attends to.
func (m *Config) readContext(c *config.Config) {
	const key, kindKey, dimKey = "cross_attention_dim", "encoder_hid_dim_type", "encoder_hid_dim"
	dims := make([]int, len(m.Levels))
	if !c.Null(key) {
		dims = c.SizePerLevel(key, len(m.Levels), 1280)
	} else if m.Attends() {
		c.Fail(key, "a size: there are blocks with cross-attention")
	}
	m.CrossDim = dims[len(dims)-1]
	for i, l := range m.Levels {
		if (l.Down.Attention.Crosses() || l.Up.Attention.Crosses()) && dims[i] != m.CrossDim {
			c.Fail(key, "one size for all levels with cross-attention and for the last")
			break
		}
	}
	m.ContextDim = m.CrossDim
	dim, kind := c.Size(dimKey, 0), c.String(kindKey, "", "text_proj", "image_proj", "text_image_proj")
	switch {
	case dim == 0 && kind == "":
		return
	case dim == 0:
		c.Fail(dimKey, "a size: there is "+kindKey)
	case m.CrossDim == 0:
		c.Fail(key, "a size: there is "+dimKey)
	case kind == "" || kind == "text_proj":
		m.ContextKind, m.ContextDim = ProjectedTokens, dim
	case kind == "image_proj":
		m.ContextKind, m.ContextDim, m.ImageDim = ImageTokens, 0, dim
	case kind == "text_image_proj":
		m.ContextKind, m.ContextDim, m.ImageDim = ImageAndTokens, dim, m.CrossDim
	}
}

// readClass reads how classes join the time embedding, in one of the ways given or by a table.
func (m *Config) readClass(c *config.Config, ways ...string) {
	const key, dimKey, labelsKey = "class_embed_type", "projection_class_embeddings_input_dim", "num_class_embeds"
	labels, dim := c.Size(labelsKey, 0), c.Size(dimKey, 0)
	switch way := c.String(key, "", ways...); way {
	case "":
		if labels > 0 {
			m.ClassKind, m.Classes, m.VectorDim = ClassTable, labels, m.TimeDim
		}
	case "timestep":
		m.ClassKind = ClassTime
	case "identity":
		m.ClassKind, m.VectorDim = ClassVector, m.TimeDim
	default:
		m.ClassKind, m.VectorDim = ClassNetwork, dim
		if way == "simple_projection" {
			m.ClassKind = ClassLinear
		}
		if dim == 0 {
			c.Fail(dimKey, fmt.Sprintf("a size: %s is %q", key, way))
		}
	}
}

// readPooled reads how whole texts and images join the time embedding, in one of the ways given or not
// at all. It follows readContext.
func (m *Config) readPooled(c *config.Config, ways ...string) {
	const key, dimKey, sizeKey, headsKey = "addition_embed_type", "projection_class_embeddings_input_dim",
		"addition_time_embed_dim", "addition_embed_type_num_heads"
	way := c.String(key, "", ways...)
	dim, size, heads := c.Size(dimKey, 0), c.Size(sizeKey, 0), c.Size(headsKey, 64)
	m.PooledDim = m.ImageDim
	image := m.ImageDim // what the tokens need
	switch way {
	case "text":
		m.PooledKind, m.PooledHeads = PooledTokens, heads
		if m.ContextDim == 0 {
			c.Fail(key, `anything but "text", since there are no tokens or an image makes them`)
		} else if m.ContextDim%heads != 0 {
			c.Fail(headsKey, fmt.Sprintf("a divisor of the tokens' %d values", m.ContextDim))
		}
	case "text_time":
		m.PooledKind, m.PooledDim, m.SizeDim = PooledSizes, dim, size
		switch {
		case dim == 0:
			c.Fail(dimKey, fmt.Sprintf("a size: %s is %q", key, way))
		case size == 0 || float64(size/2) == m.FreqShift:
			c.Fail(sizeKey, fmt.Sprintf("a size: %s is %q (and half of it is not freq_shift)", key, way))
		case image > 0:
			c.Fail(key, `anything but "text_time", since an image makes tokens`)
		}
	case "image":
		if m.ImageDim = c.Size("encoder_hid_dim", 0); m.ImageDim == 0 {
			c.Fail("encoder_hid_dim", fmt.Sprintf("a size: %s is %q", key, way))
		}
		m.PooledKind, m.PooledDim = PooledImage, m.ImageDim
	case "text_image":
		if m.ImageDim = m.CrossDim; m.CrossDim == 0 {
			c.Fail("cross_attention_dim", fmt.Sprintf("a size: %s is %q", key, way))
		}
		m.PooledKind, m.PooledDim = PooledTextAndImage, 2*m.CrossDim
	}
	if image > 0 && image != m.ImageDim {
		c.Fail("encoder_hid_dim", fmt.Sprintf("cross_attention_dim, %d, since an image makes tokens and joins the time embedding", m.CrossDim))
	}
}

// check looks for what does not go together.
func (m *Config) check(c *config.Config) {
	sizes := make([]int, len(m.Levels))
	for i, l := range m.Levels {
		sizes[i] = l.Channels
	}
	if slices.ContainsFunc(sizes, func(n int) bool { return n%m.Groups != 0 }) {
		c.Fail("norm_num_groups", fmt.Sprintf("a divisor of the block_out_channels, %v", sizes))
	}
	if m.TimeKind == SinusoidTime && float64(m.Levels[0].Channels/2) == m.FreqShift {
		c.Fail("freq_shift", "anything but half of the first channels")
	}
	switch {
	case m.ClassConcat && m.ClassKind == NoClass:
		c.Fail("class_embeddings_concat", "false, since there are no classes")
	case m.ClassConcat && m.PooledKind != NoPooled:
		c.Fail("class_embeddings_concat", "false, since there is addition_embed_type")
	}
	all := []Block{m.Mid.Block}
	channels := []int{m.Levels[len(m.Levels)-1].Channels}
	for _, l := range m.Levels {
		all = append(all, l.Down, l.Up)
		channels = append(channels, l.Channels, l.Channels)
	}
	for i, b := range all {
		switch {
		case b.CrossNorm == blocks.CrossLayerNorm && channels[i] != m.CrossDim:
			c.Fail("cross_attention_norm", fmt.Sprintf("anything but a norm of %d channels for tokens of %d values", channels[i], m.CrossDim))
			return
		case b.CrossNorm == blocks.CrossGroupNorm && m.CrossDim%crossNormGroups != 0:
			c.Fail("cross_attention_norm", fmt.Sprintf("anything but a norm of %d groups for tokens of %d values", crossNormGroups, m.CrossDim))
			return
		}
	}
}

// crossNormGroups is how many groups diffusers' group norm of tokens has.
const crossNormGroups = 32

// oddSize reads the size of a convolution that keeps the size of its image.
func oddSize(c *config.Config, key string) int {
	k := c.Size(key, 3)
	if k%2 == 0 {
		c.Fail(key, "an odd size")
	}
	return k
}

// sizeOr reads a size that may be null, which is as good as missing.
func sizeOr(c *config.Config, key string, missing int) int {
	if size := c.Size(key, 0); size > 0 {
		return size
	}
	return missing
}

// scaleFactor reads what an output is divided by.
func scaleFactor(c *config.Config, key string) float64 {
	s := c.Float(key, 1)
	if s == 0 || math.IsNaN(s) || math.IsInf(s, 0) {
		c.Fail(key, "a number other than 0")
	}
	return s
}
