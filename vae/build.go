package vae

import (
	"fmt"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/internal/size"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// Space describes the latents.
func (m *Model) Space() Latents { return m.Config.Latents }

// Encoder prepares to encode batch images of height × width, with the default Options or those
// given. Every level halves the size, rounded
// down; it is an error where nothing is left.
func (m *Model) Encoder(batch, height, width int, options ...Options) (*Encoder, error) {
	if err := size.Check("images", batch, height, width, 1); err != nil {
		return nil, fmt.Errorf("vae: %w", err)
	}
	if least := m.Config.Factor; height < least || width < least {
		return nil, fmt.Errorf("vae: images of %d×%d are too small, want at least %d×%d", height, width, least, least)
	}
	g, err := newGraph(m.engine, options)
	if err != nil {
		return nil, err
	}
	images := tensor.NHWC{N: batch, H: height, W: width, C: m.Config.InChannels}
	return newEncoder(g, images, m.Config.Latents, true, func(x program.Value) program.Value {
		n := &m.encoder
		h := n.in.Image(g, x)
		n.in.Build(g, h, x, blocks.Fuse{})
		h = n.buildMid(g, n.buildLevels(g, h))
		y := n.buildOut(g, h)
		return quantise(g, m.quant, y)
	}), nil
}

// Decoder prepares to decode batch latents of height × width, every one Config.Factor pixels wide and
// high, with the default Options or those given.
func (m *Model) Decoder(batch, height, width int, options ...Options) (*Decoder, error) {
	if err := size.Check("latents", batch, height, width, m.Config.Factor); err != nil {
		return nil, fmt.Errorf("vae: %w", err)
	}
	g, err := newGraph(m.engine, options)
	if err != nil {
		return nil, err
	}
	latents := tensor.NHWC{N: batch, H: height, W: width, C: m.Config.LatentChannels}
	return newDecoder(g, latents, func(x program.Value) program.Value {
		n := &m.decoder
		x = quantise(g, m.postQuant, x)
		h := n.in.Image(g, x)
		n.in.Build(g, h, x, blocks.Fuse{})
		h = n.buildLevels(g, n.buildMid(g, h))
		return n.buildOut(g, h)
	}), nil
}

// quantise appends a 1 × 1 convolution of x, if there is one, and returns its output.
func quantise(g *blocks.Graph, by *blocks.Linear, x program.Value) program.Value {
	if by == nil {
		return x
	}
	y := g.Image(x.N, x.H, x.W, by.Out)
	by.Build(g, y, x, blocks.Fuse{})
	return y
}

// buildLevels appends the levels, and returns what they make of h.
func (n *network) buildLevels(g *blocks.Graph, h program.Value) program.Value {
	for _, lv := range n.levels {
		for _, l := range lv.layers {
			h = build(g, l.resnet, l.attn, h)
		}
		if lv.down != nil {
			to := lv.down.Image(g, h)
			lv.down.Build(g, to, h)
			h = to
		}
		if lv.up != nil {
			to := lv.up.Image(g, h)
			lv.up.Build(g, to, h)
			h = to
		}
	}
	return h
}

// buildMid appends the middle, and returns what it makes of h.
func (n *network) buildMid(g *blocks.Graph, h program.Value) program.Value {
	h = build(g, n.mid[0], n.attn, h)
	return build(g, n.mid[1], nil, h)
}

// build appends a residual block and the attention behind it, if there is one, and returns what they
// make of x.
func build(g *blocks.Graph, r *blocks.ResNet, a *blocks.SpatialAttention, x program.Value) program.Value {
	h := g.Image(x.N, x.H, x.W, r.Out)
	r.Build(g, h, x)
	if a != nil {
		a.Build(g, h, h)
	}
	return h
}

// buildOut appends the last norm and convolution, and returns what they make of h.
func (n *network) buildOut(g *blocks.Graph, h program.Value) program.Value {
	n.norm.Build(g, h, h)
	y := n.out.Image(g, h)
	n.out.Build(g, y, h, blocks.Fuse{})
	return y
}
