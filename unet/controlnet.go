package unet

import (
	"fmt"
	"io/fs"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
)

// ControlNet adds an image to what a U-Net is conditioned on: edges, depth, a pose (Zhang et al. 2023,
// "Adding conditional control to text-to-image diffusion models"; diffusers' ControlNetModel). It is
// a copy of the U-Net's way down and middle that was trained on, whose input has the image's
// features added, and whose outputs are added to the U-Net's own, each through a convolution:
//
//	h = conv_in(x) + embedding(image)
//	residual[i] = conv[i](skip[i](h))
//
// Like a Model it is immutable and safe for concurrent use.
type ControlNet struct {
	Config Config
	// Unknown, Unused and Bytes are as those of a Model.
	Unknown, Unused []string
	Bytes           int

	// ImageChannels is how many channels the image has, Factor how many times it is larger than what is
	// denoised.
	ImageChannels, Factor int
	// Reversed says that the model wants the image's channels in reverse: blue, green, red. Bind
	// takes them as red, green, blue.
	Reversed bool
	// Pooled says that residuals are averaged over each image, to one pixel.
	Pooled bool

	trunk
	widths []int // channels of the image's features, each half the size of the one before
	image  imageEmbedding
	skips  []*blocks.Linear
	middle *blocks.Linear
}

// LoadControlNet reads a ControlNet as diffusers stores it: config.json beside
// diffusion_pytorch_model.safetensors or its shards. Weights, merges and errors are as those of Load.
func LoadControlNet(e *engine.Engine, fsys fs.FS, merges ...blocks.Merge) (*ControlNet, error) {
	n := &ControlNet{trunk: trunk{engine: e, name: "controlnet"}}
	about, err := n.read(fsys, n.readConfig, n.load, merges)
	if err != nil {
		return nil, err
	}
	n.Config, n.Unknown, n.Unused, n.Bytes = n.config, about.Unknown, about.Unused, about.Bytes
	return n, nil
}

// readConfig reads the config.json of a ControlNetModel.
func (n *ControlNet) readConfig(c *config.Config) (Config, error) {
	c.Only("_class_name", controlClass)
	n.ImageChannels = c.Size("conditioning_channels", 3)
	n.Reversed = c.String("controlnet_conditioning_channel_order", "rgb", "bgr") == "bgr"
	n.Pooled = c.Bool("global_pool_conditions", false)
	n.widths = c.Sizes("conditioning_embedding_out_channels", 16, 32, 96, 256)
	n.Factor = 1 << min(len(n.widths)-1, 30)

	m := Config{InKernel: 3, ClassAct: kernels.SiLU, LinearProjection: c.Bool("use_linear_projection", false)}
	channels := m.readTrunk(c, 4, 320, 640, 1280, 1280)
	levels := len(channels)
	m.TimeDim, m.TimeInnerAct = 4*channels[0], m.Act
	o := readOptions(c, levels)
	o.groups = m.Groups
	layers := c.LayersPerLevel("layers_per_block", levels, 2)
	down := readKinds(c, "down_block_types", crossDown(levels), downKinds, true)
	transformers := c.CountsPerLayer("transformer_layers_per_block", layers, 1)
	for i, width := range channels {
		m.Levels = append(m.Levels, Level{Channels: width, Layers: layers[i], Down: o.block(c, down[i], i, width, transformers[i])})
	}
	m.readMid(c, o, transformers, "UNetMidBlock2DCrossAttn", "UNetMidBlock2D")
	c.Only("encoder_hid_dim", nil)
	m.readContext(c)
	m.readClass(c, "timestep", "identity", "projection")
	m.readPooled(c, "text", "text_time")
	m.check(c)
	c.Ignore("sample_size", "upcast_attention")
	return m, c.Err()
}

// load reads the weights of a ControlNet.
func (n *ControlNet) load(l *blocks.Loader) {
	skips := n.loadTrunk(l)
	n.times.load(l)
	n.image = loadImageEmbedding(l, "controlnet_cond_embedding", n.ImageChannels, n.widths, skips[0])
	for i, channels := range skips {
		n.skips = append(n.skips, l.Pointwise(fmt.Sprintf("controlnet_down_blocks.%d", i), channels, channels))
	}
	last := skips[len(skips)-1]
	n.middle = l.Pointwise("controlnet_mid_block", last, last)
}

// imageEmbedding brings an image to the size and the channels of the first convolution's output: 3 × 3
// convolutions with SiLU between them, of which every other from the third on halves the image.
type imageEmbedding []*blocks.Conv

// loadImageEmbedding loads "conv_in", "blocks" and "conv_out".
func loadImageEmbedding(l *blocks.Loader, name string, in int, widths []int, out int) imageEmbedding {
	same, half := conv.Same(3), conv.Same(3)
	half.Stride = 2
	e := imageEmbedding{l.Conv(name+".conv_in", in, widths[0], same)}
	for i := range len(widths) - 1 {
		e = append(e,
			l.Conv(fmt.Sprintf("%s.blocks.%d", name, 2*i), widths[i], widths[i], same),
			l.Conv(fmt.Sprintf("%s.blocks.%d", name, 2*i+1), widths[i], widths[i+1], half))
	}
	return append(e, l.Conv(name+".conv_out", widths[len(widths)-1], out, same))
}

// build appends the embedding of images.
func (e imageEmbedding) build(g *blocks.Graph, src program.Value) program.Value {
	for i, c := range e {
		f := blocks.Fuse{Act: kernels.SiLU}
		if i+1 == len(e) {
			f.Act = kernels.Identity
		}
		dst := c.Image(g, src)
		c.Build(g, dst, src, f)
		src = dst
	}
	return src
}

// size returns the size of the embedding of an image of height × width. It follows the sizes that
// halving convolutions give.
func (n *ControlNet) size(height, width int) (int, int) {
	for range len(n.widths) - 1 {
		height, width = (height+1)/2, (width+1)/2
	}
	return height, width
}
