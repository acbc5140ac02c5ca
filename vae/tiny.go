package vae

import (
	"fmt"
	"io/fs"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/checkpoint"
	"github.com/lanewise/lanewise/internal/size"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/resample"
	"github.com/lanewise/lanewise/tensor"
)

// Tiny is diffusers' AutoencoderTiny (Bohan, "TAESD"): plain convolutions without norms or attention, which
// approximate the latents of a large autoencoder at a fraction of its cost. It is immutable and safe
// for concurrent use.
type Tiny struct {
	Config TinyConfig
	// Unknown lists keys of config.json that mean nothing here, Unused tensors of the checkpoint
	// that nothing asked for. Both were ignored.
	Unknown, Unused []string
	// Bytes is how much memory the weights take.
	Bytes int

	engine           *engine.Engine
	encoder, decoder tinyNetwork
}

// tinyNetwork is the encoder or decoder of a Tiny: stages between a first convolution and a last.
type tinyNetwork struct {
	in, out *blocks.Conv
	stages  []tinyStage
}

// tinyStage is what happens at one size of image.
type tinyStage struct {
	resize *blocks.Conv // to this size, before the blocks; nil in the first stage
	blocks []tinyBlock
}

// tinyBlock is y = relu(x + c(act(b(act(a(x)))))) with convolutions a, b and c.
type tinyBlock struct {
	name string
	conv [3]*blocks.Conv
}

// LoadTiny reads an AutoencoderTiny as diffusers stores it: config.json beside
// diffusion_pytorch_model.safetensors or its shards. Errors are those of [Load].
func LoadTiny(e *engine.Engine, fsys fs.FS) (*Tiny, error) {
	m := &Tiny{engine: e}
	about, err := checkpoint.Read(e, fsys, "vae", checkpoint.Diffusers, ReadTinyConfig, func(l *blocks.Loader, c TinyConfig) {
		m.Config, m.encoder, m.decoder = c, loadTinyEncoder(l, &c), loadTinyDecoder(l, &c)
	})
	if err != nil {
		return nil, err
	}
	m.Unknown, m.Unused, m.Bytes = about.Unknown, about.Unused, about.Bytes
	return m, nil
}

// tinyNames numbers the modules of an nn.Sequential.
type tinyNames struct {
	way  string
	next int
}

// name returns the name of the next module.
func (n *tinyNames) name() string {
	n.next++
	return fmt.Sprintf("%s.layers.%d", n.way, n.next-1)
}

// blocks loads a stage's blocks.
func (n *tinyNames) blocks(l *blocks.Loader, channels, count int) []tinyBlock {
	all := make([]tinyBlock, count)
	for i := range all {
		b := &all[i]
		b.name = n.name()
		for j := range b.conv {
			b.conv[j] = l.Conv(fmt.Sprintf("%s.conv.%d", b.name, 2*j), channels, channels, conv.Same(3))
		}
	}
	return all
}

// loadTinyEncoder loads "encoder.layers".
func loadTinyEncoder(l *blocks.Loader, c *TinyConfig) (t tinyNetwork) {
	n := tinyNames{way: "encoder"}
	half := conv.Same(3)
	half.Stride = 2
	t.in = l.Conv(n.name(), c.InChannels, c.EncoderChannels, conv.Same(3))
	for i, count := range c.EncoderBlocks {
		var s tinyStage
		if i > 0 {
			s.resize = l.Filter(n.name(), c.EncoderChannels, c.EncoderChannels, half)
		}
		s.blocks = n.blocks(l, c.EncoderChannels, count)
		t.stages = append(t.stages, s)
	}
	t.out = l.Conv(n.name(), c.EncoderChannels, c.LatentChannels, conv.Same(3))
	return t
}

// loadTinyDecoder loads "decoder.layers".
func loadTinyDecoder(l *blocks.Loader, c *TinyConfig) (t tinyNetwork) {
	n := tinyNames{way: "decoder"}
	enlarged := conv.Same(3)
	enlarged.Upsample = c.Interpolation == Nearest
	t.in = l.Conv(n.name(), c.LatentChannels, c.DecoderChannels, conv.Same(3))
	n.name() // the activation
	for i, count := range c.DecoderBlocks {
		var s tinyStage
		if i > 0 {
			n.name() // the upsampling
			s.resize = l.Filter(n.name(), c.DecoderChannels, c.DecoderChannels, enlarged)
		}
		s.blocks = n.blocks(l, c.DecoderChannels, count)
		t.stages = append(t.stages, s)
	}
	t.out = l.Conv(n.name(), c.DecoderChannels, c.OutChannels, conv.Same(3))
	return t
}

// Space describes the latents.
func (m *Tiny) Space() Latents { return m.Config.Latents }

// Encoder prepares to encode batch images of height × width, with the default Options or those
// given. Every stage halves the size, rounded
// up.
func (m *Tiny) Encoder(batch, height, width int, options ...Options) (*Encoder, error) {
	if err := size.Check("images", batch, height, width, 1); err != nil {
		return nil, fmt.Errorf("vae: %w", err)
	}
	g, err := newGraph(m.engine, options)
	if err != nil {
		return nil, err
	}
	images := tensor.NHWC{N: batch, H: height, W: width, C: m.Config.InChannels}
	return newEncoder(g, images, m.Config.Latents, false, func(x program.Value) program.Value {
		each(g, "encoder.unit", x, func(pixel []float32) {
			for i, v := range pixel {
				pixel[i] = (v + 1) / 2
			}
		})
		return m.encoder.build(g, x, kernels.Identity, m.Config.Act, func(c *blocks.Conv, x program.Value) program.Value {
			return built(g, c, c.Image(g, x), x)
		})
	}), nil
}

// Decoder prepares to decode batch latents of height × width, every one Config.Factor pixels wide and
// high, with the default Options or those given.
func (m *Tiny) Decoder(batch, height, width int, options ...Options) (*Decoder, error) {
	if err := size.Check("latents", batch, height, width, m.Config.Factor); err != nil {
		return nil, fmt.Errorf("vae: %w", err)
	}
	g, err := newGraph(m.engine, options)
	if err != nil {
		return nil, err
	}
	latents := tensor.NHWC{N: batch, H: height, W: width, C: m.Config.LatentChannels}
	return newDecoder(g, latents, func(x program.Value) program.Value {
		// Latents beyond what the encoder gives saturate: 3·tanh(z/3).
		each(g, "decoder.clamp", x, func(pixel []float32) {
			for i, v := range pixel {
				pixel[i] = v / 3
			}
		})
		g.Activate("decoder.clamp", x, x, kernels.Tanh)
		each(g, "decoder.clamp", x, func(pixel []float32) {
			for i, v := range pixel {
				pixel[i] = float32(3 * v)
			}
		})
		y := m.decoder.build(g, x, m.Config.Act, m.Config.Act, func(c *blocks.Conv, x program.Value) program.Value {
			return m.enlarge(g, c, x)
		})
		each(g, "decoder.signed", y, func(pixel []float32) {
			for i, v := range pixel {
				pixel[i] = float32(2*v) - 1
			}
		})
		return y
	}), nil
}

// enlarge appends a convolution between stages of the decoder over x enlarged, and returns its output.
func (m *Tiny) enlarge(g *blocks.Graph, c *blocks.Conv, x program.Value) program.Value {
	k := m.Config.Upsampling
	to := g.Image(x.N, k*x.H, k*x.W, c.Out)
	interpolate := resample.Bilinear
	switch m.Config.Interpolation {
	case Nearest: // the convolution reads through it
		return built(g, c, to, x)
	case Bicubic:
		interpolate = resample.Bicubic
	}
	large := g.Image(to.N, to.H, to.W, x.C)
	g.Add(program.Op{Name: c.Name, Kind: "resample", Dst: large, Src: []program.Value{x}, Bind: func(mem program.Memory) func() {
		d, s := mem.Image(large), mem.Image(x)
		return func() { interpolate(g.Engine, d, s) }
	}})
	return built(g, c, to, large)
}

// built appends dst = a convolution of src, and returns dst.
func built(g *blocks.Graph, c *blocks.Conv, dst, src program.Value) program.Value {
	c.Build(g, dst, src, blocks.Fuse{})
	return dst
}

// build appends the network, with an activation behind its first convolution and another in its
// blocks; resize appends a convolution between stages and returns its output.
func (t *tinyNetwork) build(g *blocks.Graph, x program.Value, first, act kernels.Act, resize func(c *blocks.Conv, x program.Value) program.Value) program.Value {
	h := t.in.Image(g, x)
	t.in.Build(g, h, x, blocks.Fuse{Act: first})
	for _, s := range t.stages {
		if s.resize != nil {
			h = resize(s.resize, h)
		}
		for _, b := range s.blocks {
			p, q := g.Image(h.N, h.H, h.W, h.C), g.Image(h.N, h.H, h.W, h.C)
			b.conv[0].Build(g, p, h, blocks.Fuse{Act: act})
			b.conv[1].Build(g, q, p, blocks.Fuse{Act: act})
			b.conv[2].Build(g, h, q, blocks.Fuse{Add: h})
			g.Activate(b.name+".fuse", h, h, kernels.ReLU)
		}
	}
	return built(g, t.out, t.out.Image(g, h), h)
}
