package clip

import (
	"fmt"
	"io/fs"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/checkpoint"
	"github.com/lanewise/lanewise/kernels"
)

// VisionConfig is the shape of an image encoder: what transformers' CLIPVisionConfig says of it.
type VisionConfig struct {
	Size       int         // images are Size × Size pixels
	Channels   int         // of a pixel
	Patch      int         // a token is made of Patch × Patch pixels; what is left over is not seen
	Width      int         // of a state
	Inner      int         // width between the two layers of a feed-forward network
	Layers     int         // each an attention and a feed-forward network
	Heads      int         // they divide Width
	Projection int         // width of the embedding of a whole image; 0: the model makes none
	Act        kernels.Act // of the feed-forward networks
	Eps        float32     // of the layer norms
}

// Tokens is how many tokens an image has: one for the whole image, and one for each patch, row by row.
func (c *VisionConfig) Tokens() int { return 1 + (c.Size/c.Patch)*(c.Size/c.Patch) }

// maxTokens is the most tokens that an image may have: the published models have 50 to 730.
const maxTokens = 1 << 16

// VisionModel is an image encoder with its weights: a vision transformer (Dosovitskiy et al. 2021,
// "An image is worth 16x16 words"). It is immutable and safe for concurrent use.
type VisionModel struct {
	Config VisionConfig
	// Unknown lists keys of config.json that mean nothing here, Unused tensors of the checkpoint
	// that nothing asked for. Both were ignored.
	Unknown, Unused []string
	// Bytes is how much memory the weights of linear layers and convolutions take: half as much for
	// a checkpoint of a half-width format, unless the engine's Storage says otherwise.
	Bytes int

	engine      *engine.Engine
	patches     *blocks.Conv
	class       []float32 // the token that stands for the whole image
	position    *blocks.Table
	first, last *blocks.LayerNorm // before the layers, and for the whole image behind them
	layers      []layer
	projection  *blocks.Linear // nil: the model makes no embedding of a whole image
	runs        freeRuns[images, *visionRun]
}

// LoadVision reads an image encoder from its directory, as transformers writes it: config.json and
// model.safetensors or its shards. The names of tensors may lack "vision_model.".
//
// A tensor that is missing, of another shape or not finite is an error that names all of them.
func LoadVision(e *engine.Engine, fsys fs.FS) (*VisionModel, error) {
	m := &VisionModel{engine: e}
	about, err := checkpoint.Read(e, fsys, "clip", checkpoint.Transformers, readVisionConfig, m.load)
	if err != nil {
		return nil, err
	}
	m.Unknown, m.Unused, m.Bytes = about.Unknown, withoutPositions(about.Unused), about.Bytes
	return m, nil
}

// load reads the weights.
func (m *VisionModel) load(l *blocks.Loader, c VisionConfig) {
	const prefix = "vision_model"
	l.Alias = without(prefix)
	m.Config = c
	eps := float64(c.Eps)
	const embeddings = prefix + ".embeddings"
	m.patches = l.Filter(embeddings+".patch_embedding", c.Channels, c.Width, conv.Geometry{KH: c.Patch, KW: c.Patch, Stride: c.Patch})
	m.class = l.Vector(embeddings+".class_embedding", c.Width)
	m.position = l.Table(embeddings+".position_embedding", c.Tokens(), c.Width)
	m.first = l.LayerNorm(prefix+".pre_layrnorm", c.Width, eps) // so spelled
	m.layers = loadLayers(l, prefix, c.Layers, c.Width, c.Inner, c.Act, eps)
	m.last = l.LayerNorm(prefix+".post_layernorm", c.Width, eps)
	if c.Projection > 0 {
		m.projection = l.Linear("visual_projection", c.Width, c.Projection, false)
	}
}

// readVisionConfig reads the config.json of a CLIPVisionModel or CLIPVisionModelWithProjection.
func readVisionConfig(c *config.Config) (VisionConfig, error) {
	c.Only("model_type", "clip_vision_model")
	m := VisionConfig{
		Size:       c.Size("image_size", 224),
		Channels:   c.Size("num_channels", 3),
		Patch:      c.Size("patch_size", 32),
		Width:      c.Size("hidden_size", 768),
		Inner:      c.Size("intermediate_size", 3072),
		Layers:     c.Layers("num_hidden_layers", 12),
		Heads:      c.Size("num_attention_heads", 12),
		Projection: c.Size("projection_dim", 512),
		Eps:        float32(c.Float("layer_norm_eps", 1e-5)),
	}
	switch side := m.Size / m.Patch; {
	case side == 0:
		c.Fail("patch_size", "at most image_size")
	case side > maxTokens/side:
		c.Fail("image_size", fmt.Sprintf("at most %d patches of patch_size", maxTokens))
	case !fits(m.Size, m.Size):
		c.Fail("image_size", fmt.Sprintf("a side of a picture of at most %d pixels", maxPixels))
	}
	if !projects(c, "CLIPVisionModel") {
		m.Projection = 0
	}
	m.Act = readLayers(c, m.Width, m.Heads, m.Eps)
	c.Ignore(idleKeys...)
	return m, c.Err()
}
