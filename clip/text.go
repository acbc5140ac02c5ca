// Package clip holds the encoders of texts and images that diffusion models are conditioned with:
// CLIP's (Radford et al. 2021, "Learning transferable visual models from natural language
// supervision"), as transformers' CLIPTextModel and CLIPVisionModel with and without projection, and
// what comes before them: tokenizers, and the preprocessing of pictures.
//
//	m, err := clip.LoadText(e, os.DirFS("sd15/text_encoder"))
//	out, err := m.Encode(ctx, [][]int{ids}, clip.TextOptions{})
//	context := out.States // what a U-Net attends to
//
//	v, err := clip.LoadVision(e, os.DirFS("ip-adapter/image_encoder"))
//	pixels, err := clip.NewPreprocessor(v.Config.Size).Pixels(picture)
//	out, err := v.Encode(ctx, pixels, clip.VisionOptions{})
//	embedding := out.Embedding // what an image prompt is made of
package clip

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/safetensors"
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
	const prefix = "text_model"
	file, err := config.Open(fsys, "config.json")
	if err != nil {
		return nil, fmt.Errorf("clip: %w", err)
	}
	c, err := readTextConfig(file)
	if err != nil {
		return nil, fmt.Errorf("clip: %w", err)
	}
	weights, err := safetensors.OpenSharded(fsys, checkpointName)
	if err != nil {
		return nil, fmt.Errorf("clip: %w", err)
	}
	defer weights.Close()
	l := blocks.NewLoader(e, weights, "clip", merges...)
	l.Alias = without(prefix)
	m := &TextModel{Config: c, engine: e}
	eps := float64(c.Eps)
	m.token = l.Table(prefix+".embeddings.token_embedding", c.Vocabulary, c.Width)
	m.position = l.Table(prefix+".embeddings.position_embedding", c.Positions, c.Width)
	m.layers = loadLayers(l, prefix, c.Layers, c.Width, c.Inner, c.Act, eps)
	m.final = l.LayerNorm(prefix+".final_layer_norm", c.Width, eps)
	if c.Projection > 0 {
		m.projection = l.Linear("text_projection", c.Width, c.Projection, false)
	}
	if err := l.Err(); err != nil {
		return nil, err
	}
	m.Unknown, m.Unused, m.Bytes = file.Unknown(), unused(l), l.Bytes()
	return m, nil
}

// checkpointName is what transformers calls the weights of a model.
const checkpointName = "model"

// without returns how a file names a tensor that leaves out the name of the model.
func without(prefix string) func(name string) string {
	return func(name string) string { return strings.TrimPrefix(name, prefix+".") }
}

// unused lists the tensors that nothing asked for, but for lists of positions: older files hold
// them, in any type, and they say 0, 1, 2, ….
func unused(l *blocks.Loader) []string {
	return slices.DeleteFunc(l.Unused(), func(name string) bool {
		name, _, _ = strings.Cut(name, " ")
		return strings.HasSuffix(name, "position_ids")
	})
}
