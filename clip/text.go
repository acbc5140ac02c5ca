// Package clip holds the encoders of texts and images that diffusion models are conditioned with:
// CLIP's (Radford et al. 2021, "Learning transferable visual models from natural language
// supervision"), as transformers' CLIPTextModel and CLIPVisionModel with and without projection, and
// what comes before them: tokenizers, and the preprocessing of pictures.
//
//	tok, err := clip.LoadTokenizer(os.DirFS("sd15/tokenizer"))
//	m, err := clip.LoadText(e, os.DirFS("sd15/text_encoder"))
//	out, err := m.Encode(ctx, [][]int{tok.Encode("a red fox").IDs}, clip.TextOptions{})
//	context := out.States // what a U-Net attends to
//
//	v, err := clip.LoadVision(e, os.DirFS("ip-adapter/image_encoder"))
//	pixels, err := clip.NewPreprocessor(v.Config.Size).Pixels(picture)
//	out, err := v.Encode(ctx, pixels, clip.VisionOptions{})
//	embedding := out.Embedding // what an image prompt is made of
package clip

import (
	"io/fs"
	"slices"
	"strings"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/checkpoint"
)

// TextModel is a text encoder with its weights. It is immutable and safe for concurrent use.
type TextModel struct {
	Config TextConfig
	// Unknown lists keys of config.json that mean nothing here, Unused tensors of the checkpoint
	// that nothing asked for. Both were ignored.
	Unknown, Unused []string
	// Bytes is how much memory the weights of linear layers take: half as much for a checkpoint of a
	// half-width format, unless the engine's Storage says otherwise.
	Bytes int

	engine     *engine.Engine
	token      *blocks.Table
	position   *blocks.Table
	layers     []layer
	final      *blocks.LayerNorm
	projection *blocks.Linear // nil: the model makes no embedding of a whole text
	runs       freeRuns[textShape, *textRun]
}

// LoadText reads a text encoder from its directory, as transformers writes it: config.json and
// model.safetensors or its shards. The names of tensors may lack "text_model.". Weights are changed
// by merges in order.
//
// A tensor that is missing, of another shape or not finite is an error that names all of them.
func LoadText(e *engine.Engine, fsys fs.FS, merges ...blocks.Merge) (*TextModel, error) {
	m := &TextModel{engine: e}
	about, err := checkpoint.Read(e, fsys, "clip", checkpoint.Transformers, readTextConfig, m.load, merges...)
	if err != nil {
		return nil, err
	}
	m.Unknown, m.Unused, m.Bytes = about.Unknown, withoutPositions(about.Unused), about.Bytes
	return m, nil
}

// load reads the weights.
func (m *TextModel) load(l *blocks.Loader, c TextConfig) {
	const prefix = "text_model"
	l.Alias = without(prefix)
	m.Config = c
	eps := float64(c.Eps)
	m.token = l.Table(prefix+".embeddings.token_embedding", c.Vocabulary, c.Width)
	m.position = l.Table(prefix+".embeddings.position_embedding", c.Positions, c.Width)
	m.layers = loadLayers(l, prefix, c.Layers, c.Width, c.Inner, c.Act, eps)
	m.final = l.LayerNorm(prefix+".final_layer_norm", c.Width, eps)
	if c.Projection > 0 {
		m.projection = l.Linear("text_projection", c.Width, c.Projection, false)
	}
}

// without returns how a file names a tensor that leaves out the name of the model.
func without(prefix string) func(name string) string {
	return func(name string) string { return strings.TrimPrefix(name, prefix+".") }
}

// withoutPositions returns tensors that nothing asked for but for lists of positions: older files hold
// them, in any type, and they say 0, 1, 2, ….
func withoutPositions(unused []string) []string {
	return slices.DeleteFunc(unused, func(name string) bool {
		name, _, _ = strings.Cut(name, " ")
		return strings.HasSuffix(name, "position_ids")
	})
}
