package clip

import (
	"context"
	"fmt"
	"slices"

	"github.com/lanewise/lanewise/tensor"
)

// TextOptions are what Encode may be told besides the ids. The zero value is what diffusion
// pipelines use.
type TextOptions struct {
	// Positions are the positions of the tokens, a list for each text; nil means 0, 1, 2, ….
	Positions [][]int
	// Mask says of each token whether others see it; nil means that all do. It has no bearing on
	// where the state of a whole text is taken from.
	Mask [][]bool
	// Skip leaves out the last layers for States, but not for Pooled: diffusion pipelines call it
	// clip_skip. It is at most Config.Layers.
	Skip int
	// Hidden asks for the states between the layers.
	Hidden bool
}

// TextOutput is what Encode makes of a batch of texts. All of it belongs to the caller.
type TextOutput struct {
	Tokens int // of each text
	// States are those after the last layer, or the last that is not to be skipped, and the final
	// layer norm, a row for each token: token t of text i is row i·Tokens + t.
	States tensor.Mat
	// Pooled has a row for each text: the state of its end.
	Pooled tensor.Mat
	// Embedding is Pooled projected, of models that do so (Config.Projection > 0).
	Embedding tensor.Mat
	// Hidden, where it was asked for, are the states that enter the first layer and those that
	// leave each layer, all without the final layer norm: Layers+1 matrices like States. The last
	// but one, Hidden[Layers-1], is what some models use in place of States.
	Hidden []tensor.Mat
}

// Encode computes the states of a batch of texts, given as ids, all texts of one length. A token
// sees itself and those before it.
//
// It is an error where there is no text, where lengths differ or are above Config.Positions, or
// where an id or a position is not one of the model's. Between ops Encode looks at ctx and returns
// its error. The model is safe for concurrent use.
func (m *TextModel) Encode(ctx context.Context, ids [][]int, o TextOptions) (*TextOutput, error) {
	if err := m.check(ids, o); err != nil {
		return nil, err
	}
	shape := textShape{len(ids), len(ids[0]), o.Skip}
	r := m.runs.take(shape, m.newRun)
	defer m.runs.put(r)
	r.set(ids, o, m.end)
	r.out = m.newOutput(shape, o.Hidden)
	err := r.program.Run(ctx)
	out := r.out
	r.out = nil
	if err != nil {
		return nil, err
	}
	return out, nil
}

// newOutput allocates the result of texts of a shape.
func (m *TextModel) newOutput(shape textShape, hidden bool) *TextOutput {
	c, rows := m.Config, shape.texts*shape.tokens
	out := &TextOutput{Tokens: shape.tokens, States: tensor.MakeMat(rows, c.Width), Pooled: tensor.MakeMat(shape.texts, c.Width)}
	if c.Projection > 0 {
		out.Embedding = tensor.MakeMat(shape.texts, c.Projection)
	}
	if hidden {
		for range c.Layers + 1 {
			out.Hidden = append(out.Hidden, tensor.MakeMat(rows, c.Width))
		}
	}
	return out
}

// end returns the place of the token whose state stands for the text: the first that is
// Config.End, or the first token where none is. Where Config.End is what old files say, it is the
// largest id's first place.
func (m *TextModel) end(text []int) int {
	if m.Config.End == legacyEnd {
		return slices.Index(text, slices.Max(text))
	}
	return max(slices.Index(text, m.Config.End), 0)
}

// check finds what is wrong with the arguments of Encode.
func (m *TextModel) check(ids [][]int, o TextOptions) error {
	if len(ids) == 0 || len(ids[0]) == 0 {
		return fmt.Errorf("clip: no ids to encode")
	}
	tokens := len(ids[0])
	if tokens > m.Config.Positions {
		return fmt.Errorf("clip: a text of %d tokens, the model has %d positions", tokens, m.Config.Positions)
	}
	if err := rectangular("ids", ids, len(ids), tokens); err != nil {
		return err
	}
	for i, text := range ids {
		for t, id := range text {
			if id < 0 || id >= m.Config.Vocabulary {
				return fmt.Errorf("clip: token %d of text %d is id %d, the vocabulary has %d", t, i, id, m.Config.Vocabulary)
			}
		}
	}
	if o.Skip < 0 || o.Skip > m.Config.Layers {
		return fmt.Errorf("clip: %d layers to skip, the model has %d", o.Skip, m.Config.Layers)
	}
	if o.Mask != nil {
		if err := rectangular("mask", o.Mask, len(ids), tokens); err != nil {
			return err
		}
	}
	if o.Positions == nil {
		return nil
	}
	if err := rectangular("positions", o.Positions, len(ids), tokens); err != nil {
		return err
	}
	for i, text := range o.Positions {
		for t, at := range text {
			if at < 0 || at >= m.Config.Positions {
				return fmt.Errorf("clip: token %d of text %d is at position %d, the model has %d", t, i, at, m.Config.Positions)
			}
		}
	}
	return nil
}

// rectangular is an error unless there are so many rows of so many columns.
func rectangular[T any](what string, m [][]T, rows, cols int) error {
	if len(m) != rows {
		return fmt.Errorf("clip: %s of %d texts for %d", what, len(m), rows)
	}
	for i, row := range m {
		if len(row) != cols {
			return fmt.Errorf("clip: %s of text %d are %d, want %d as in the first text", what, i, len(row), cols)
		}
	}
	return nil
}
