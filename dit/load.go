package dit

import (
	"fmt"
	"io/fs"
	"slices"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/checkpoint"
	"github.com/lanewise/lanewise/kernels"
)

// Model is a transformer's configuration and packed weights. It is immutable and safe for concurrent
// use: any number of sessions share it.
type Model struct {
	Config Config
	// Unknown lists keys of config.json that mean nothing here, Unused tensors of the checkpoint
	// that nothing asked for. Both were ignored. (Older files hold "pos_embed.pos_embed", which is computed
	// here.)
	Unknown, Unused []string
	// Bytes is how much memory the weights of linear layers and convolutions take: half as much for
	// a checkpoint of a half-width format, unless the engine's Storage says otherwise.
	Bytes int

	engine *engine.Engine

	patches *blocks.PatchEmbed
	blocks  []*blocks.TransformerBlock
	out     *blocks.Linear

	conditions []condition // of DiT
	lastZero   *blocks.AdaNorm

	single     *blocks.AdaLayerNormSingle // of PixArt
	lastNorm   *blocks.LayerNorm
	lastTable  *blocks.ScaleShiftTable
	projection *blocks.TextProjection // nil where captions are not projected
}

// condition is what blocks of a DiT are conditioned on, and what each makes of it.
type condition struct {
	embedding *blocks.TimeLabel
	blocks    []*blocks.TimeProjections
}

// Load reads a transformer as diffusers stores it: config.json beside
// diffusion_pytorch_model.safetensors or its shards. Weights are changed by the merges in order, and
// packed for e, which every session of the model runs on.
//
// An error names every key whose value is not supported, or else every tensor that is missing, has
// another shape than the configuration says, or holds values that are not finite.
func Load(e *engine.Engine, fsys fs.FS, merges ...blocks.Merge) (*Model, error) {
	m := &Model{engine: e}
	about, err := checkpoint.Read(e, fsys, "dit", checkpoint.Diffusers, ReadConfig, m.load, merges...)
	if err != nil {
		return nil, err
	}
	m.Unknown, m.Unused, m.Bytes = about.Unknown, about.Unused, about.Bytes
	return m, nil
}

// lastEps is that of the last norm, whatever the configuration says of the others.
const lastEps = 1e-6

// load reads the weights of a transformer.
func (m *Model) load(l *blocks.Loader, c Config) {
	m.Config = c
	width := c.Width()
	m.patches = l.PatchEmbed("pos_embed", c.InChannels, width, blocks.PatchEmbedOptions{
		Height: c.Size, Width: c.Size, Size: c.Patch, Interpolation: c.Interpolation,
	})
	o := blocks.TransformerOptions{
		Heads: c.Heads, HeadDim: c.HeadDim, Bias: c.Bias, OnlyCross: c.OnlyCross, DoubleSelf: c.DoubleSelf,
		Norm: c.Norm, Eps: c.Eps, NoAffine: !c.Affine,
		FeedForward: blocks.FeedForwardOptions{Kind: c.FeedForward},
		Context:     c.ContextDim,
	}
	if c.Caption {
		m.projection = l.TextProjection("caption_projection", c.ContextDim, width, width, kernels.GELUTanh)
		o.Context = width
	}
	for i := range c.Layers {
		name := fmt.Sprintf("transformer_blocks.%d", i)
		if c.Norm == blocks.AdaZero {
			o.Conditions = m.conditionOf(l, name)
		}
		m.blocks = append(m.blocks, l.TransformerBlock(name, width, o))
	}
	for _, condition := range m.conditions {
		for _, p := range condition.blocks {
			p.Load(l)
		}
	}
	if c.Norm == blocks.AdaZero {
		m.lastZero = l.AdaNorm("norm_out", "proj_out_1", width, blocks.AdaNormOptions{
			NormOptions: blocks.NormOptions{Eps: lastEps}, Width: width, Bias: true, ShiftFirst: true,
		})
		m.out = l.Linear("proj_out_2", width, c.Patch*c.Patch*c.OutChannels, true)
		return
	}
	m.single = l.AdaLayerNormSingle("adaln_single", width, c.Sizes)
	m.lastNorm = l.Norm("norm_out", width, blocks.NormOptions{Eps: lastEps})
	m.lastTable = l.ScaleShiftTable("scale_shift_table", 2, width)
	m.out = l.Linear("proj_out", width, c.Patch*c.Patch*c.OutChannels, true)
}

// stackFloats is how many weights of modulations, at least, make one product: enough for its work to
// outweigh its start, few enough that loading them as one takes little memory.
const stackFloats = 1 << 24

// conditionOf loads what a block of a DiT is conditioned on, and returns what it adds its projection to.
// Every block of a checkpoint has an embedding of its own; those that are the same are computed once,
// and what the blocks make of them is one product for several blocks.
func (m *Model) conditionOf(l *blocks.Loader, name string) *blocks.TimeProjections {
	width := m.Config.Width()
	var loaded []*blocks.TimeLabel
	for _, c := range m.conditions {
		loaded = append(loaded, c.embedding)
	}
	embedding := l.TimeLabel(name+".norm1.emb", m.Config.Labels, width, loaded...)
	i := slices.Index(loaded, embedding)
	if i < 0 {
		i = len(m.conditions)
		m.conditions = append(m.conditions, condition{embedding: embedding})
	}
	c := &m.conditions[i]
	if n := len(c.blocks); n > 0 && c.blocks[n-1].Width()*width < stackFloats {
		return c.blocks[n-1]
	}
	c.blocks = append(c.blocks, blocks.NewTimeProjections(width))
	return c.blocks[len(c.blocks)-1]
}

// VectorDim is how many values a cond.Cond's Vector has, and Label returns: the width of a token for
// each of the model's embeddings of classes. There is one where those of all blocks are the same. 0 is
// no classes.
func (m *Model) VectorDim() int { return len(m.conditions) * m.Config.Width() }

// Label returns the vector of a label, from 0 up to Config.Labels: what Bind takes for cond.Cond.Class.
// A sum of such, with weights that add to 1, is a cond.Cond's Vector between classes.
func (m *Model) Label(class int) ([]float32, error) {
	if class < 0 || class >= m.Config.Labels {
		return nil, fmt.Errorf("dit: %w", m.labelError(class))
	}
	var v []float32
	for _, c := range m.conditions {
		v = append(v, c.embedding.Labels.Row(class)...)
	}
	return v, nil
}

// labelError says which labels there are.
func (m *Model) labelError(class int) error {
	if m.Config.Labels == 0 {
		return fmt.Errorf("class %d, but the model has no classes", class)
	}
	return fmt.Errorf("class %d of %d, want 0 to %d", class, m.Config.Labels, m.Config.Labels-1)
}
