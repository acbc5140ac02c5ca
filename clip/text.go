// Package clip holds the text encoders of diffusion models: CLIP's, as transformers' CLIPTextModel
// and CLIPTextModelWithProjection, and tokenizers.
//
//	m, err := clip.LoadText(e, os.DirFS("sd15/text_encoder"))
//	out, err := m.Encode(ctx, [][]int{ids}, clip.TextOptions{})
//	context := out.States // what a U-Net attends to
package clip

import (
	"fmt"
	"io/fs"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/safetensors"
)

// TextModel is a text encoder with its weights. It is immutable and safe for concurrent use.
type TextModel struct {
	Config TextConfig
	// Bytes is how much memory the weights of linear layers take: half as much for a checkpoint of a
	// half-width format, unless the engine's Storage says otherwise.
	Bytes int

	engine     *engine.Engine
	token      *blocks.Table
	position   *blocks.Table
	layers     []textLayer
	final      *blocks.LayerNorm
	projection *blocks.Linear // nil: the model makes no embedding of a whole text
	runs       freeRuns
}

// textLayer is one layer of the encoder:
//
//	y   = x + out(attention(qkv(norm1(x))))
//	dst = y + fc2(act(fc1(norm2(y))))
type textLayer struct {
	name         string
	norm1, norm2 *blocks.LayerNorm
	qkv, out     *blocks.Linear
	fc1, fc2     *blocks.Linear
}

// LoadText reads a text encoder from its directory, as transformers writes it: config.json and
// model.safetensors or its shards. Tensors that the model has no use for are ignored; one that is
// missing, of another shape or not finite is an error that names all of them.
func LoadText(e *engine.Engine, fsys fs.FS) (*TextModel, error) {
	c, err := readTextConfig(fsys)
	if err != nil {
		return nil, fmt.Errorf("clip: %w", err)
	}
	file, err := safetensors.OpenSharded(fsys, "model")
	if err != nil {
		return nil, fmt.Errorf("clip: %w", err)
	}
	defer file.Close()
	l := blocks.NewLoader(e, file, "clip")
	m := &TextModel{Config: c, engine: e}
	eps := float64(c.Eps)
	m.token = l.Table("text_model.embeddings.token_embedding", c.Vocabulary, c.Width)
	m.position = l.Table("text_model.embeddings.position_embedding", c.Positions, c.Width)
	for i := range c.Layers {
		name := fmt.Sprintf("text_model.encoder.layers.%d", i)
		attn, mlp := name+".self_attn", name+".mlp"
		m.layers = append(m.layers, textLayer{
			name:  name,
			norm1: l.LayerNorm(name+".layer_norm1", c.Width, eps),
			qkv: l.Stack(attn+".qkv_proj", c.Width, true,
				blocks.Part{Name: attn + ".q_proj", Out: c.Width},
				blocks.Part{Name: attn + ".k_proj", Out: c.Width},
				blocks.Part{Name: attn + ".v_proj", Out: c.Width}),
			out:   l.Linear(attn+".out_proj", c.Width, c.Width, true),
			norm2: l.LayerNorm(name+".layer_norm2", c.Width, eps),
			fc1:   l.Linear(mlp+".fc1", c.Width, c.Inner, true),
			fc2:   l.Linear(mlp+".fc2", c.Inner, c.Width, true),
		})
	}
	m.final = l.LayerNorm("text_model.final_layer_norm", c.Width, eps)
	if c.Projection > 0 {
		m.projection = l.Linear("text_projection", c.Width, c.Projection, false)
	}
	if err := l.Err(); err != nil {
		return nil, err
	}
	m.Bytes = l.Bytes()
	return m, nil
}
