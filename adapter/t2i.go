package adapter

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

// T2I makes features of a picture: a T2I-Adapter. It is immutable and safe for concurrent use: any
// number of sessions share it.
type T2I struct {
	Config T2IConfig
	// Unknown lists keys of config.json that mean nothing here, Unused tensors of the checkpoint
	// that nothing asked for. Both were ignored.
	Unknown, Unused []string
	// Bytes is how much memory the weights take.
	Bytes int

	engine *engine.Engine
	in     *blocks.Conv // nil where there is none
	body   []t2iBlock
}

// T2IConfig is what a T2I-Adapter is made of: diffusers' T2IAdapter.
type T2IConfig struct {
	Type T2IType
	// InChannels are those of the picture, of which blocks of Factor × Factor pixels are one pixel of the
	// first level.
	InChannels, Factor int
	// Channels are those of the features, by level.
	Channels []int
	// Layers is how many residual layers each level has.
	Layers int
}

// T2IType is the shape of a T2I-Adapter.
type T2IType string

const (
	// FullT2I has a level for every entry of Channels, each of half the size of the one before.
	FullT2I T2IType = "full_adapter"
	// FullXLT2I has such levels too, but only the third is of half the size.
	FullXLT2I T2IType = "full_adapter_xl"
	// LightT2I computes with a quarter of the channels, halves the size at every level, and has one more
	// with the last one's channels.
	LightT2I T2IType = "light_adapter"
)

// t2iBlock is one level:
//
//	y = out(layers(in(pool(x))))
//
// of which all but the layers may be absent. pool averages 2 × 2 pixels, in and out are 1 × 1
// convolutions.
type t2iBlock struct {
	name    string
	pool    bool
	in, out *blocks.Linear // or nil
	width   int            // channels of the layers
	layers  []t2iLayer
}

// t2iLayer is y = x + second(ReLU(first(x))).
type t2iLayer struct {
	first  *blocks.Conv
	second layer
}

// layer is a convolution of some size.
type layer interface {
	Build(g *blocks.Graph, dst, src program.Value, f blocks.Fuse)
}

// LoadT2I reads a T2I-Adapter as diffusers stores it: config.json beside
// diffusion_pytorch_model.safetensors or its shards.
//
// An error names every key whose value is not supported, or else every tensor that is missing, has
// another shape than the configuration says, or holds values that are not finite.
func LoadT2I(e *engine.Engine, fsys fs.FS) (*T2I, error) {
	a := &T2I{engine: e}
	about, err := checkpoint.Read(e, fsys, "adapter", checkpoint.Diffusers, readT2IConfig, a.load)
	if err != nil {
		return nil, err
	}
	a.Unknown, a.Unused, a.Bytes = about.Unknown, about.Unused, about.Bytes
	return a, nil
}

// readT2IConfig reads the config.json of a T2IAdapter.
func readT2IConfig(c *config.Config) (T2IConfig, error) {
	c.Only("_class_name", "T2IAdapter")
	types := []string{string(FullT2I), string(FullXLT2I), string(LightT2I)}
	a := T2IConfig{
		Type:       T2IType(c.String("adapter_type", types[0], types...)),
		InChannels: c.Size("in_channels", 3),
		Factor:     c.Size("downscale_factor", 8),
		Channels:   c.Sizes("channels", 320, 640, 1280, 1280),
		Layers:     c.Int("num_res_blocks", 2),
	}
	if a.Layers < 0 || a.Layers > mostLayers {
		c.Fail("num_res_blocks", fmt.Sprintf("0 to %d", mostLayers))
	}
	const most = 1 << 24 // channels of the first level's input
	if a.Factor > most || a.Factor*a.Factor > most/a.InChannels {
		c.Fail("downscale_factor", fmt.Sprintf("a size whose square times in_channels is at most %d", most))
	}
	for i, n := range a.Channels {
		switch {
		case a.Type == FullXLT2I && i > 2 && n != a.Channels[i-1]:
			c.Fail("channels", "from the third on the same, for full_adapter_xl")
			return a, c.Err()
		case a.Type == LightT2I && n < lightShare:
			c.Fail("channels", fmt.Sprintf("at least %d each, for light_adapter", lightShare))
			return a, c.Err()
		}
	}
	return a, c.Err()
}

// mostLayers keeps a wrong config.json from filling the memory with names.
const mostLayers = 1 << 10

// lightShare is how many times as many channels the features of a light adapter have as its layers.
const lightShare = 4

// load reads the weights.
func (a *T2I) load(l *blocks.Loader, c T2IConfig) {
	a.Config = c
	in := c.InChannels * c.Factor * c.Factor
	channels := c.Channels
	if c.Type == LightT2I {
		channels = append(channels[:len(channels):len(channels)], channels[len(channels)-1])
	} else {
		a.in = l.Conv("adapter.conv_in", in, channels[0], conv.Same(3))
		in = channels[0]
	}
	for i, out := range channels {
		b := t2iBlock{name: fmt.Sprintf("adapter.body.%d", i), width: out, pool: i > 0}
		switch {
		case c.Type == LightT2I:
			b.width = out / lightShare
			b.in = l.Pointwise(b.name+".in_conv", in, b.width)
			b.out = l.Pointwise(b.name+".out_conv", b.width, out)
		case in != out:
			b.in = l.Pointwise(b.name+".in_conv", in, out)
		}
		if c.Type == FullXLT2I {
			b.pool = i == 2
		}
		for j := range c.Layers {
			name := fmt.Sprintf("%s.resnets.%d", b.name, j)
			y := t2iLayer{first: l.Conv(name+".block1", b.width, b.width, conv.Same(3))}
			if c.Type == LightT2I {
				y.second = l.Conv(name+".block2", b.width, b.width, conv.Same(3))
			} else {
				y.second = l.Pointwise(name+".block2", b.width, b.width)
			}
			b.layers = append(b.layers, y)
		}
		a.body = append(a.body, b)
		in = out
	}
}
