package unet

import (
	"fmt"
	"io/fs"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/safetensors"
)

// Model is a U-Net's configuration and packed weights. It is immutable and safe for concurrent use:
// any number of sessions share it.
type Model struct {
	Config Config
	// Unknown lists keys of config.json that mean nothing here, Unused tensors of the checkpoint
	// that nothing asked for. Both were ignored.
	Unknown, Unused []string
	// Bytes is how much memory the weights of linear layers and convolutions take: half as much for
	// a checkpoint of a half-width format, unless the engine's Storage says otherwise.
	Bytes int

	engine *engine.Engine

	sinusoid    *blocks.Sinusoid
	time        *blocks.TimeEmbedding
	classes     *blocks.Table // nil where there are none
	projections *blocks.TimeProjections

	in       *blocks.Conv
	down, up []level // by level, from the input's size down
	mid      []layer
	outNorm  *blocks.GroupNorm
	out      *blocks.Conv
}

// level is what happens at one size of image, on the way down or up.
type level struct {
	layers []layer
	down   *blocks.Downsample // nil at the last level, and on the way up
	up     *blocks.Upsample   // nil at the first level, and on the way down
}

// layer is a residual block, and the transformer behind it or nil.
type layer struct {
	resnet      *blocks.ResNet
	transformer *blocks.Transformer2D
}

// Load reads a U-Net as diffusers stores it: config.json beside diffusion_pytorch_model.safetensors
// or its shards. Weights are packed for e, which every session of the model runs on.
//
// An error names every key whose value is not supported, or else every tensor that is missing, has
// another shape than the configuration says, or holds values that are not finite.
func Load(e *engine.Engine, fsys fs.FS) (*Model, error) {
	file, err := config.Open(fsys, "config.json")
	if err != nil {
		return nil, fmt.Errorf("unet: %w", err)
	}
	c, err := ReadConfig(file)
	if err != nil {
		return nil, fmt.Errorf("unet: %w", err)
	}
	weights, err := safetensors.OpenSharded(fsys, "diffusion_pytorch_model")
	if err != nil {
		return nil, fmt.Errorf("unet: %w", err)
	}
	defer weights.Close()
	l := blocks.NewLoader(e, weights, "unet")
	m := load(l, c)
	if err := l.Err(); err != nil {
		return nil, err
	}
	m.Unknown, m.Unused, m.Bytes = file.Unknown(), l.Unused(), l.Bytes()
	return m, nil
}

// load reads the weights of a U-Net.
func load(l *blocks.Loader, c Config) *Model {
	m := &Model{Config: c, engine: l.Engine}
	first, last := c.Levels[0].Channels, c.Levels[len(c.Levels)-1].Channels

	m.sinusoid = blocks.NewSinusoid(first, c.CosFirst, c.FreqShift)
	m.time = l.TimeEmbedding("time_embedding", first, c.TimeDim, blocks.TimeEmbeddingOptions{Act: c.Act, Post: c.TimePostAct})
	if c.Classes > 0 {
		m.classes = l.Table("class_embedding", c.Classes, c.TimeDim)
	}
	m.projections = blocks.NewTimeProjections(c.TimeDim)
	o := blocks.ResNetOptions{Groups: c.Groups, Eps: c.Eps, Act: c.Act, Time: m.projections, ScaleShift: c.ScaleShift}

	m.in = l.Conv("conv_in", c.InChannels, first, conv.Same(c.InKernel))
	skips := []int{first} // channels of what the way down keeps for the way up
	hidden := first
	for i, lv := range c.Levels {
		name := fmt.Sprintf("down_blocks.%d", i)
		var d level
		for j := range lv.Layers {
			d.layers = append(d.layers, layer{l.ResNet(fmt.Sprintf("%s.resnets.%d", name, j), hidden, lv.Channels, o), nil})
			if lv.DownAttention {
				d.layers[j].transformer = l.Transformer2D(fmt.Sprintf("%s.attentions.%d", name, j), lv.Channels, c.transformer(lv, lv.OnlyCross))
			}
			hidden = lv.Channels
			skips = append(skips, hidden)
		}
		if i+1 < len(c.Levels) {
			d.down = l.Downsample(name+".downsamplers.0", hidden, blocks.ResampleOptions{Padding: c.DownsamplePadding})
			skips = append(skips, hidden)
		}
		m.down = append(m.down, d)
	}

	if c.Mid != NoMid {
		m.mid = []layer{{l.ResNet("mid_block.resnets.0", last, last, o), nil}}
	}
	if c.Mid == CrossMid {
		// Diffusers does not hand only_cross_attention to the mid block.
		m.mid[0].transformer = l.Transformer2D("mid_block.attentions.0", last, c.transformer(c.Levels[len(c.Levels)-1], false))
		m.mid = append(m.mid, layer{l.ResNet("mid_block.resnets.1", last, last, o), nil})
	}

	m.up = make([]level, len(c.Levels))
	for i := len(c.Levels) - 1; i >= 0; i-- {
		lv, u := c.Levels[i], &m.up[i]
		name := fmt.Sprintf("up_blocks.%d", len(c.Levels)-1-i)
		for j := range lv.Layers + 1 {
			skip := skips[len(skips)-1]
			skips = skips[:len(skips)-1]
			u.layers = append(u.layers, layer{l.ResNet(fmt.Sprintf("%s.resnets.%d", name, j), hidden+skip, lv.Channels, o), nil})
			if lv.UpAttention {
				u.layers[j].transformer = l.Transformer2D(fmt.Sprintf("%s.attentions.%d", name, j), lv.Channels, c.transformer(lv, lv.OnlyCross))
			}
			hidden = lv.Channels
		}
		if i > 0 {
			u.up = l.Upsample(name+".upsamplers.0", hidden, blocks.ResampleOptions{})
		}
	}

	m.outNorm = l.GroupNorm("conv_norm_out", first, c.Groups, c.Eps, c.Act)
	m.out = l.Conv("conv_out", first, c.OutChannels, conv.Same(c.OutKernel))
	m.projections.Load(l)
	return m
}

// transformer returns the options of a level's transformers.
func (c *Config) transformer(lv Level, onlyCross bool) blocks.TransformerOptions {
	return blocks.TransformerOptions{
		Heads: lv.Heads, HeadDim: lv.Channels / lv.Heads, Layers: lv.Transformers, Context: c.ContextDim,
		Groups: c.Groups, Linear: c.LinearProjection, OnlyCross: onlyCross,
	}
}
