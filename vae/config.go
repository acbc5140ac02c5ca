package vae

import (
	"fmt"
	"slices"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/kernels"
)

// Config is what an AutoencoderKL is made of.
type Config struct {
	Latents

	InChannels, OutChannels int // of images
	Levels                  []Level
	Act                     kernels.Act // of the residual blocks
	Groups                  int         // of the group norms
	MidAttention            bool        // between the two residual blocks of the middle
	// Quant and PostQuant say that a 1 × 1 convolution follows the encoder, or precedes the decoder.
	Quant, PostQuant bool
}

// Level is one size of image, from that of the images down.
type Level struct {
	Channels int
	Layers   int // residual blocks of the encoder; the decoder has one more
	// DownAttention and UpAttention say that an attention follows each residual block of the
	// encoder, of the decoder.
	DownAttention, UpAttention bool
}

// The block types of diffusers that there are here.
const (
	downBlock, attnDownBlock = "DownEncoderBlock2D", "AttnDownEncoderBlock2D"
	upBlock, attnUpBlock     = "UpDecoderBlock2D", "AttnUpDecoderBlock2D"
)

// eps is that of every norm in an AutoencoderKL.
const eps = 1e-6

// maxLevels keeps a factor of 2 for each level far from overflow.
const maxLevels = 12

// ReadConfig reads the config.json of an AutoencoderKL. A key whose value asks for something that there
// is not here is an error.
func ReadConfig(c *config.Config) (Config, error) {
	c.Only("_class_name", klClass)
	channels := c.Sizes("block_out_channels", 64)
	levels := len(channels)
	m := Config{
		Latents:      readLatents(c, 0.18215),
		InChannels:   c.Size("in_channels", 3),
		OutChannels:  c.Size("out_channels", 3),
		Act:          blocks.Activation(c, "act_fn", "silu"),
		Groups:       c.Size("norm_num_groups", 32),
		MidAttention: c.Bool("mid_block_add_attention", true),
		Quant:        c.Bool("use_quant_conv", true),
		PostQuant:    c.Bool("use_post_quant_conv", true),
	}
	m.Means, m.Stds = statistics(c, "latents_mean", m.LatentChannels), statistics(c, "latents_std", m.LatentChannels)
	if slices.Contains(m.Stds, 0) {
		c.Fail("latents_std", "numbers other than 0")
	}
	if levels > maxLevels {
		c.Fail("block_out_channels", fmt.Sprintf("at most %d levels", maxLevels))
		return m, c.Err()
	}
	m.Factor = 1 << (levels - 1)

	layers := c.Layers("layers_per_block", 1)
	down := c.Strings("down_block_types", []string{downBlock}, downBlock, attnDownBlock)
	up := c.Strings("up_block_types", []string{upBlock}, upBlock, attnUpBlock)
	want := fmt.Sprintf("a list of %d, as block_out_channels", levels)
	if len(down) != levels {
		c.Fail("down_block_types", want)
	}
	if len(up) != levels {
		c.Fail("up_block_types", want)
	}
	if c.Err() != nil {
		return m, c.Err()
	}
	for i, n := range channels {
		if n%m.Groups != 0 {
			c.Fail("norm_num_groups", fmt.Sprintf("a divisor of the block_out_channels, %v", channels))
			break
		}
		m.Levels = append(m.Levels, Level{n, layers, down[i] == attnDownBlock, up[levels-1-i] == attnUpBlock})
	}
	// Without bearing on what is computed in float32 and in one piece.
	c.Ignore("sample_size", "force_upcast")
	return m, c.Err()
}

// statistics reads a number for each channel, or nothing.
func statistics(c *config.Config, key string, channels int) []float64 {
	all := c.Floats(key)
	if all != nil && len(all) != channels || slices.ContainsFunc(all, func(x float64) bool { return !finite(x) }) {
		c.Fail(key, fmt.Sprintf("a number for each of %d latent_channels", channels))
	}
	return all
}

// TinyConfig is what an AutoencoderTiny is made of.
type TinyConfig struct {
	Latents

	InChannels, OutChannels          int // of images
	EncoderChannels, DecoderChannels int // of every stage
	EncoderBlocks, DecoderBlocks     []int
	Act                              kernels.Act
	Upsampling                       int // by how much each stage of the decoder enlarges the image
	Interpolation                    Interpolation
	// Magnitude and Shift put latents between 0 and 1, to be stored as pictures: see Unit.
	Magnitude, Shift float64
}

// Interpolation is how a decoder enlarges images, as PyTorch's Upsample calls it.
type Interpolation uint8

const (
	Nearest  Interpolation = iota // for factors that are integers, "nearest-exact" is the same
	Bilinear                      // see resample.Bilinear
	Bicubic                       // see resample.Bicubic
)

// interpolations are PyTorch's names.
var interpolations = map[string]Interpolation{"nearest": Nearest, "nearest-exact": Nearest, "bilinear": Bilinear, "bicubic": Bicubic}

// ReadTinyConfig reads the config.json of an AutoencoderTiny. A key whose value asks for something that
// there is not here is an error.
func ReadTinyConfig(c *config.Config) (TinyConfig, error) {
	c.Only("_class_name", tinyClass)
	m := TinyConfig{
		Latents:       readLatents(c, 1),
		InChannels:    c.Size("in_channels", 3),
		OutChannels:   c.Size("out_channels", 3),
		Act:           blocks.Activation(c, "act_fn", "relu"),
		Upsampling:    c.Size("upsampling_scaling_factor", 2),
		Interpolation: interpolations[c.String("upsample_fn", "nearest", "nearest", "nearest-exact", "bilinear", "bicubic")],
		Magnitude:     c.Float("latent_magnitude", 3),
		Shift:         c.Float("latent_shift", 0.5),
	}
	m.EncoderChannels, m.EncoderBlocks = readStages(c, "encoder", 1, 3, 3, 3)
	m.DecoderChannels, m.DecoderBlocks = readStages(c, "decoder", 3, 3, 3, 1)
	if !finite(m.Magnitude) || m.Magnitude == 0 {
		c.Fail("latent_magnitude", "a number other than 0")
	}
	if !finite(m.Shift) {
		c.Fail("latent_shift", "a number")
	}
	m.Factor = 1
	for range len(m.DecoderBlocks) - 1 {
		if m.Factor *= m.Upsampling; m.Factor > 1<<maxLevels {
			c.Fail("upsampling_scaling_factor", fmt.Sprintf("a factor that makes at most %d of %d stages", 1<<maxLevels, len(m.DecoderBlocks)))
			break
		}
	}
	// Without bearing on what is computed in float32; and the decoder's channels once more.
	c.Ignore("force_upcast", "block_out_channels")
	return m, c.Err()
}

// readStages reads the channels of the encoder or decoder, and how many blocks each stage has.
func readStages(c *config.Config, way string, missing ...float64) (channels int, blocks []int) {
	key := "num_" + way + "_blocks"
	for _, n := range c.Floats(key, missing...) {
		if n < 0 || n > 1<<10 || n != float64(int(n)) {
			c.Fail(key, "a list of how many blocks each stage has")
			return 0, nil
		}
		blocks = append(blocks, int(n))
	}
	key = way + "_block_out_channels"
	all := c.Sizes(key, 64, 64, 64, 64)
	if len(all) != len(blocks) || len(slices.Compact(slices.Clone(all))) != 1 {
		// Convolutions between stages keep the number of channels.
		c.Fail(key, fmt.Sprintf("a list of %d, as num_%s_blocks, all the same", len(blocks), way))
	}
	return all[0], blocks
}
