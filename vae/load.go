package vae

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/checkpoint"
	"github.com/lanewise/lanewise/kernels"
)

// Model is diffusers' AutoencoderKL (Rombach et al. 2022, "High-resolution image synthesis with
// latent diffusion models"): its configuration and packed weights. It is immutable and safe for
// concurrent use.
type Model struct {
	Config Config
	// Unknown lists keys of config.json that mean nothing here, Unused tensors of the checkpoint
	// that nothing asked for. Both were ignored.
	Unknown, Unused []string
	// Bytes is how much memory the weights of linear layers and convolutions take: half as much for
	// a checkpoint of a half-width format, unless the engine's Storage says otherwise.
	Bytes int

	engine           *engine.Engine
	encoder, decoder network
	quant, postQuant *blocks.Linear // nil where there is none
}

// network is the encoder or the decoder between its quantising convolutions: levels of one size of
// image each, in the order in which they run, and the middle.
type network struct {
	in     *blocks.Conv
	levels []level
	mid    [2]*blocks.ResNet
	attn   *blocks.SpatialAttention // between the two; nil where there is none
	norm   *blocks.GroupNorm
	out    *blocks.Conv
}

// level is what happens at one size of image, on the way down or up.
type level struct {
	layers []layer
	down   *blocks.Downsample // nil at the last level, and in the decoder
	up     *blocks.Upsample   // nil at the last level, and in the encoder
}

// layer is a residual block, and the attention behind it or nil.
type layer struct {
	resnet *blocks.ResNet
	attn   *blocks.SpatialAttention
}

// Load reads an AutoencoderKL as diffusers stores it: config.json beside
// diffusion_pytorch_model.safetensors or its shards. The names that attention has in old files (query,
// key, value, proj_attn), and its weights as 1 × 1 convolutions, are understood. Weights are packed
// for e, which every session of the model runs on.
//
// An error names every key whose value is not supported, or else every tensor that is missing, has
// another shape than the configuration says, or holds values that are not finite.
func Load(e *engine.Engine, fsys fs.FS) (*Model, error) {
	m := &Model{engine: e}
	about, err := checkpoint.Read(e, fsys, "vae", checkpoint.Diffusers, ReadConfig, m.load)
	if err != nil {
		return nil, err
	}
	m.Unknown, m.Unused, m.Bytes = about.Unknown, about.Unused, about.Bytes
	return m, nil
}

// load reads the weights.
func (m *Model) load(l *blocks.Loader, c Config) {
	l.Alias = blocks.LegacyAttention
	l.Squeeze = func(name string) bool { return strings.Contains(name, ".attentions.") }
	m.Config = c
	m.encoder, m.decoder = loadEncoder(l, &c), loadDecoder(l, &c)
	if z := c.LatentChannels; c.Quant {
		m.quant = l.Pointwise("quant_conv", 2*z, 2*z)
	}
	if z := c.LatentChannels; c.PostQuant {
		m.postQuant = l.Pointwise("post_quant_conv", z, z)
	}
}

// loadEncoder loads "encoder".
func loadEncoder(l *blocks.Loader, c *Config) (n network) {
	first, last := c.Levels[0].Channels, c.Levels[len(c.Levels)-1].Channels
	n.in = l.Conv("encoder.conv_in", c.InChannels, first, conv.Same(3))
	hidden := first
	for i, lv := range c.Levels {
		name := fmt.Sprintf("encoder.down_blocks.%d", i)
		d := level{layers: c.layers(l, name, hidden, lv.Channels, lv.Layers, lv.DownAttention)}
		if hidden = lv.Channels; i+1 < len(c.Levels) {
			d.down = l.Downsample(name+".downsamplers.0", hidden, blocks.ResampleOptions{})
		}
		n.levels = append(n.levels, d)
	}
	c.middle(l, &n, "encoder", last)
	n.norm = l.GroupNorm("encoder.conv_norm_out", last, c.Groups, eps, kernels.SiLU) // whatever Config.Act
	n.out = l.Conv("encoder.conv_out", last, 2*c.LatentChannels, conv.Same(3))
	return n
}

// loadDecoder loads "decoder".
func loadDecoder(l *blocks.Loader, c *Config) (n network) {
	first, last := c.Levels[0].Channels, c.Levels[len(c.Levels)-1].Channels
	n.in = l.Conv("decoder.conv_in", c.LatentChannels, last, conv.Same(3))
	c.middle(l, &n, "decoder", last)
	hidden := last
	for i := len(c.Levels) - 1; i >= 0; i-- {
		lv, name := c.Levels[i], fmt.Sprintf("decoder.up_blocks.%d", len(c.Levels)-1-i)
		u := level{layers: c.layers(l, name, hidden, lv.Channels, lv.Layers+1, lv.UpAttention)}
		if hidden = lv.Channels; i > 0 {
			u.up = l.Upsample(name+".upsamplers.0", hidden, blocks.ResampleOptions{})
		}
		n.levels = append(n.levels, u)
	}
	n.norm = l.GroupNorm("decoder.conv_norm_out", first, c.Groups, eps, kernels.SiLU)
	n.out = l.Conv("decoder.conv_out", first, c.OutChannels, conv.Same(3))
	return n
}

// layers loads the layers of a level.
func (c *Config) layers(l *blocks.Loader, name string, in, out, count int, attends bool) []layer {
	all := make([]layer, count)
	for i := range all {
		all[i].resnet = l.ResNet(fmt.Sprintf("%s.resnets.%d", name, i), in, out, c.resnet())
		if attends {
			all[i].attn = c.attention(l, fmt.Sprintf("%s.attentions.%d", name, i), out)
		}
		in = out
	}
	return all
}

// middle loads "mid_block" of the encoder or decoder.
func (c *Config) middle(l *blocks.Loader, n *network, way string, channels int) {
	n.mid[0] = l.ResNet(way+".mid_block.resnets.0", channels, channels, c.resnet())
	if c.MidAttention {
		n.attn = c.attention(l, way+".mid_block.attentions.0", channels)
	}
	n.mid[1] = l.ResNet(way+".mid_block.resnets.1", channels, channels, c.resnet())
}

// resnet returns the options of all residual blocks.
func (c *Config) resnet() blocks.ResNetOptions {
	return blocks.ResNetOptions{Groups: c.Groups, Eps: eps, Act: c.Act}
}

// attention loads an attention block: one head of all channels.
func (c *Config) attention(l *blocks.Loader, name string, channels int) *blocks.SpatialAttention {
	return l.SpatialAttention(name, channels, blocks.SpatialOptions{
		AttentionOptions: blocks.AttentionOptions{Heads: 1, HeadDim: channels, Bias: true},
		Groups:           c.Groups, Eps: eps, Residual: true,
	})
}
