package unet

import (
	"fmt"
	"io/fs"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/checkpoint"
	"github.com/lanewise/lanewise/program"
)

// Model is a U-Net's configuration and packed weights. It is immutable and safe for concurrent use:
// any number of sessions share it.
type Model struct {
	Config Config
	// Unknown lists keys of config.json that mean nothing here, Unused tensors of the checkpoint and of
	// merges that nothing asked for, with their shapes. All were ignored.
	Unknown, Unused []string
	// Bytes is how much memory the weights of linear layers and convolutions take: half as much for
	// a checkpoint of a half-width format, unless the engine's Storage says otherwise.
	Bytes int

	trunk
	up      []level // by level, from the input's size down
	outNorm *blocks.GroupNorm
	out     *blocks.Conv
}

// trunk is what a U-Net and a ControlNet have in common: how conditions enter, the way down and
// the middle.
type trunk struct {
	config Config
	engine *engine.Engine
	name   string // in errors: "unet"

	embedding embedding
	times     *timeProjections
	slots     []slot // of adapters: slot n of a context is slots[n-1]
	in        *blocks.Conv
	down      []level // by level, from the input's size down
	mid       []layer
}

// level is what happens at one size of image, on the way down or up.
type level struct {
	layers []layer
	down   downsampler // nil at the last level, and on the way up
	up     resampler   // nil at the first level, and on the way down
}

// layer is a residual block, and the attention behind it or nil.
type layer struct {
	resnet    *blocks.ResNet
	attention attender
}

// attender is attention behind a residual block: Build appends dst = the attention of src with its
// residual. dst and src do not overlap.
type attender interface {
	Build(g *blocks.Graph, dst, src program.Value)
}

// resampler makes of src an image of dst's size.
type resampler interface {
	Build(g *blocks.Graph, dst, src program.Value)
}

// downsampler is a resampler that knows the size of what it makes of an image of h × w.
type downsampler interface {
	resampler
	Size(h, w int) (int, int)
}

// Load reads a U-Net as diffusers stores it, a UNet2DConditionModel or a UNet2DModel: config.json
// beside diffusion_pytorch_model.safetensors or its shards. Weights are changed by the merges, in
// order, and packed for e, which every session of the model runs on.
//
// An error names every key whose value is not supported, or else every tensor that is missing, has
// another shape than the configuration says, or holds values that are not finite.
func Load(e *engine.Engine, fsys fs.FS, merges ...blocks.Merge) (*Model, error) {
	m := &Model{trunk: trunk{engine: e, name: "unet"}}
	about, err := m.read(fsys, ReadConfig, m.load, merges)
	if err != nil {
		return nil, err
	}
	m.Config, m.Unknown, m.Unused, m.Bytes = m.config, about.Unknown, about.Unused, about.Bytes
	return m, nil
}

// read reads the configuration and the weights of a model.
func (t *trunk) read(fsys fs.FS, configure func(*config.Config) (Config, error), load func(*blocks.Loader), merges []blocks.Merge) (checkpoint.Summary, error) {
	return checkpoint.Read(t.engine, fsys, t.name, checkpoint.Diffusers, configure, func(l *blocks.Loader, c Config) {
		l.Alias = blocks.LegacyAttention
		t.config = c
		load(l)
	}, merges...)
}

// load reads the weights of a U-Net.
func (m *Model) load(l *blocks.Loader) {
	c := &m.config
	skips := m.loadTrunk(l)
	hidden := c.Levels[len(c.Levels)-1].Channels
	m.up = make([]level, len(c.Levels))
	for i := len(c.Levels) - 1; i >= 0; i-- {
		lv, u := c.Levels[i], &m.up[i]
		name := fmt.Sprintf("up_blocks.%d", len(c.Levels)-1-i)
		o := c.resnet(lv.Up, m.times)
		for j := range lv.Layers + 1 {
			skip := skips[len(skips)-1]
			skips = skips[:len(skips)-1]
			u.layers = append(u.layers, c.loadLayer(l, name, j, hidden+skip, lv.Channels, lv.Up, o))
			hidden = lv.Channels
		}
		switch {
		case i == 0:
		case lv.Up.ResNetResampler:
			o.Up = true
			u.up = l.ResNet(name+".upsamplers.0", hidden, hidden, o)
		default:
			u.up = l.Upsample(name+".upsamplers.0", hidden, blocks.ResampleOptions{})
		}
	}
	first := c.Levels[0].Channels
	m.outNorm = l.GroupNorm("conv_norm_out", first, c.Groups, c.Eps, c.OutAct)
	m.out = l.Conv("conv_out", first, c.OutChannels, conv.Same(c.OutKernel))
	m.times.load(l)
}

// loadTrunk reads the weights up to the middle, but for the time projections, which follow when all
// blocks have asked for theirs. It returns the channels of all that the way down keeps for the way up.
func (t *trunk) loadTrunk(l *blocks.Loader) (skips []int) {
	c := &t.config
	t.embedding.load(l, c)
	t.times = &timeProjections{blocks.NewTimeProjections(c.blockTimeDim()), blocks.NewTimeProjections(c.blockTimeDim())}

	hidden := c.Levels[0].Channels
	t.in = l.Conv("conv_in", c.InChannels, hidden, conv.Same(c.InKernel))
	skips = []int{hidden}
	for i, lv := range c.Levels {
		name := fmt.Sprintf("down_blocks.%d", i)
		o := c.resnet(lv.Down, t.times)
		var d level
		for j := range lv.Layers {
			d.layers = append(d.layers, c.loadLayer(l, name, j, hidden, lv.Channels, lv.Down, o))
			hidden = lv.Channels
			skips = append(skips, hidden)
		}
		if i+1 < len(c.Levels) {
			if lv.Down.ResNetResampler {
				o.Down = true
				d.down = l.ResNet(name+".downsamplers.0", hidden, hidden, o)
			} else {
				d.down = l.Downsample(name+".downsamplers.0", hidden, blocks.ResampleOptions{Padding: c.DownsamplePadding})
			}
			skips = append(skips, hidden)
		}
		t.down = append(t.down, d)
	}

	o := c.resnet(c.Mid.Block, t.times)
	for j := range c.Mid.ResNets {
		b := c.Mid.Block
		if j+1 == c.Mid.ResNets {
			b.Attention = NoAttention // only between residual blocks
		}
		t.mid = append(t.mid, c.loadLayer(l, "mid_block", j, hidden, hidden, b, o))
	}
	return skips
}

// loadLayer loads layer j of a block.
func (c *Config) loadLayer(l *blocks.Loader, block string, j, in, channels int, b Block, o blocks.ResNetOptions) layer {
	made := layer{resnet: l.ResNet(fmt.Sprintf("%s.resnets.%d", block, j), in, channels, o)}
	name := fmt.Sprintf("%s.attentions.%d", block, j)
	switch b.Attention {
	case Transformers:
		made.attention = l.Transformer2D(name, channels, blocks.TransformerOptions{
			Heads: b.Heads, HeadDim: b.HeadDim, Layers: b.Transformers[j], Context: c.CrossDim,
			Groups: c.Groups, Linear: c.LinearProjection, OnlyCross: b.OnlyCross,
		})
	case Spatial:
		made.attention = l.SpatialAttention(name, channels, blocks.SpatialOptions{
			AttentionOptions: blocks.AttentionOptions{Heads: b.Heads, HeadDim: b.HeadDim, Bias: true},
			Groups:           b.Groups, Eps: c.Eps, Residual: true, Rescale: b.OutScale,
		})
	case AddedKV:
		const eps = 1e-5
		made.attention = l.AddedKVAttention(name, channels, c.CrossDim, blocks.AddedKVOptions{
			AttentionOptions: blocks.AttentionOptions{Heads: b.Heads, HeadDim: b.HeadDim, Bias: true, CrossNorm: b.CrossNorm, CrossGroups: crossNormGroups},
			Groups:           c.Groups, Eps: eps, OnlyCross: b.OnlyCross,
		})
	}
	return made
}

// resnet returns the options of a block's residual blocks.
func (c *Config) resnet(b Block, times *timeProjections) blocks.ResNetOptions {
	o := blocks.ResNetOptions{Groups: c.Groups, Eps: c.Eps, Act: c.Act, Time: times.activated, ScaleShift: c.ScaleShift, OutScale: b.OutScale}
	if b.SkipTimeAct {
		o.Time = times.raw
	}
	return o
}

// timeProjections are those of the residual blocks that take the time embedding after an activation,
// and of those that take it as it is.
type timeProjections struct{ activated, raw *blocks.TimeProjections }

// load loads what the residual blocks have asked for.
func (p *timeProjections) load(l *blocks.Loader) {
	p.activated.Load(l)
	p.raw.Load(l)
}
