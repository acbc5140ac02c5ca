package dit

import (
	"fmt"
	"maps"
	"slices"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/config"
)

// Config is what a transformer over patches is made of, whichever of diffusers' classes it is of.
type Config struct {
	InChannels, OutChannels int
	Patch                   int // rows and columns of pixels that make a token
	// Size is that of the square images which the model was trained with, in pixels. Images of
	// any size have their patches at the places that these have, Interpolation times closer.
	Size          int
	Interpolation float64

	Layers         int // transformer blocks
	Heads, HeadDim int // of the attentions; a token is as wide as all heads together
	Bias           bool
	FeedForward    blocks.FeedForwardKind

	Norm   blocks.NormKind // AdaZero of DiT, AdaSingle of PixArt
	Affine bool            // layer norms have weights
	Eps    float64         // of the norms, but for the first of AdaZero and the last of all

	// Labels is how many classes there are, the last of which, most often, is that of no class: what
	// guidance guides away from. 0 is no classes.
	Labels int
	// Sizes says that the model is told the picture's height, width and aspect ratio.
	Sizes bool

	// ContextDim is how many columns a caption's tokens have; 0 is no captions.
	ContextDim int
	// Caption says that they are projected before the attentions see them.
	Caption bool
	// OnlyCross says that a block's first attention is to the caption too, DoubleSelf that its
	// second is to the patches.
	OnlyCross, DoubleSelf bool
}

// Width is how many columns a token has.
func (m *Config) Width() int { return m.Heads * m.HeadDim }

// The classes of diffusers that there are here.
const (
	ditClass         = "DiTTransformer2DModel"
	pixArtClass      = "PixArtTransformer2DModel"
	transformerClass = "Transformer2DModel"
)

// defaults are the arguments of a constructor that differ between classes. A size of 0 must be given.
type defaults struct {
	in, out, layers, size, patch, headDim int
	cross                                 int
	activation                            string
	bias, affine                          bool
	eps                                   float64
}

var classDefaults = map[string]defaults{
	ditClass: {in: 4, layers: 28, size: 32, patch: 2, headDim: 72,
		activation: "gelu-approximate", bias: true, eps: 1e-5},
	pixArtClass: {in: 4, out: 8, layers: 28, size: 128, patch: 2, headDim: 72, cross: 1152,
		activation: "gelu-approximate", bias: true, eps: 1e-6},
	transformerClass: {layers: 1, headDim: 88, activation: "geglu", affine: true, eps: 1e-5},
}

// ReadConfig reads the config.json of a DiTTransformer2DModel, a PixArtTransformer2DModel, or of a
// Transformer2DModel over patches. A key whose value asks for something that there is not here is an
// error.
func ReadConfig(c *config.Config) (Config, error) {
	class := c.String("_class_name", transformerClass, ditClass, pixArtClass, transformerClass)
	d := classDefaults[class]
	m := Config{
		InChannels: c.Size("in_channels", d.in),
		Patch:      c.Size("patch_size", d.patch),
		Size:       c.Size("sample_size", d.size),

		Layers: c.Layers("num_layers", d.layers), Heads: c.Size("num_attention_heads", 16), HeadDim: c.Size("attention_head_dim", d.headDim),
		Bias:        c.Bool("attention_bias", d.bias),
		FeedForward: blocks.FeedForwardKinds[c.String("activation_fn", d.activation, slices.Sorted(maps.Keys(blocks.FeedForwardKinds))...)],

		Affine: c.Bool("norm_elementwise_affine", d.affine),
		Eps:    c.Float("norm_eps", d.eps),
	}
	m.OutChannels = m.InChannels
	if d.out > 0 && !c.Null("out_channels") || c.Has("out_channels") {
		m.OutChannels = c.Size("out_channels", d.out)
	}
	m.readNorm(c, class)
	if class != ditClass {
		m.readContext(c, class, d.cross)
	}
	m.readPositions(c, class)

	c.Only("attention_type", "default")
	c.Only("num_vector_embeds", nil, false)
	c.Ignore("dropout", "norm_num_groups", "upcast_attention", "use_linear_projection", "out_channels")
	for _, required := range []struct {
		key  string
		size int
	}{{"in_channels", m.InChannels}, {"patch_size", m.Patch}, {"sample_size", m.Size}} {
		if required.size == 0 {
			c.Fail(required.key, "a size: a transformer over patches needs one")
		}
	}
	if m.Patch > m.Size && m.Size > 0 {
		c.Fail("patch_size", fmt.Sprintf("at most sample_size, %d", m.Size))
	}
	if m.Width()%4 != 0 {
		c.Fail("attention_head_dim", fmt.Sprintf("a size that makes the heads together a multiple of 4, not %d", m.Width()))
	}
	return m, c.Err()
}

// readNorm reads what the norms depend on, and what there is of classes and sizes.
func (m *Config) readNorm(c *config.Config, class string) {
	const key, zero, single = "norm_type", "ada_norm_zero", "ada_norm_single"
	name := zero
	switch {
	case class == ditClass:
		c.Only(key, zero)
	case class == pixArtClass:
		c.Only(key, single)
		name = single
	case c.Has(key):
		name = c.String(key, zero, zero, single)
	default:
		c.Fail(key, zero+" or "+single)
	}
	m.Norm = blocks.NormKinds[name]
	const classes, sizes = "num_embeds_ada_norm", "use_additional_conditions"
	if m.Norm == blocks.AdaSingle {
		c.Ignore(classes)
		m.Sizes = m.Size == 128
		if c.Has(sizes) {
			m.Sizes = c.Bool(sizes, false)
		}
		c.Ignore(sizes)
		if m.Sizes && m.Width()%3 != 0 {
			c.Fail(sizes, fmt.Sprintf("false for tokens of %d columns, which 3 does not divide", m.Width()))
		}
		return
	}
	number := 0
	if class == ditClass {
		number = 1000
	}
	if number = c.Size(classes, number); number == 0 {
		c.Fail(classes, "a number of classes for "+name)
	}
	m.Labels = number + 1 // a tenth of labels are left out in training
	c.Ignore(sizes)
}

// readContext reads what attentions see besides the patches.
func (m *Config) readContext(c *config.Config, class string, missing int) {
	const cross = "cross_attention_dim"
	if !c.Null(cross) {
		m.ContextDim = c.Size(cross, missing)
	}
	c.Ignore(cross)
	if class == transformerClass {
		m.OnlyCross, m.DoubleSelf = c.Bool("only_cross_attention", false), c.Bool("double_self_attention", false)
	} else {
		c.Ignore("only_cross_attention", "double_self_attention")
	}
	if m.DoubleSelf && !m.OnlyCross {
		m.ContextDim = 0
	}
	caption := c.Size("caption_channels", 0)
	if caption == 0 || m.ContextDim == 0 {
		return
	}
	if m.ContextDim != m.Width() {
		c.Fail(cross, fmt.Sprintf("%d, as many columns as all heads have, which captions are projected to", m.Width()))
	}
	m.ContextDim, m.Caption = caption, true
}

// readPositions reads how places of patches are spaced.
func (m *Config) readPositions(c *config.Config, class string) {
	m.Interpolation = 1
	if class == ditClass {
		return
	}
	const key = "interpolation_scale"
	if m.Interpolation = float64(max(m.Size/64, 1)); c.Has(key) {
		m.Interpolation = c.Float(key, 0)
	}
	c.Ignore(key)
	if m.Interpolation <= 0 {
		c.Fail(key, "a number above 0")
	}
}
