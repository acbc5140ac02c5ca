package pipeline

import (
	"context"
	"fmt"
	"slices"

	"github.com/lanewise/lanewise/clip"
	"github.com/lanewise/lanewise/cond"
)

// conditions returns what a complete request conditions the U-Net on: what guidance leads away from,
// the negative prompt without a style, and then every prompt of the mixture in its style.
func (m *TextStyle) conditions(ctx context.Context, r Request) ([]cond.Cond, error) {
	style, err := m.style(r.Styles)
	if err != nil {
		return nil, err
	}
	ids := [][]int{m.Words.Encode(r.Negative).IDs}
	for _, p := range r.Mix {
		ids = append(ids, m.Words.Encode(p.Text).IDs)
	}
	text, err := m.Text.Encode(ctx, ids, clip.TextOptions{})
	if err != nil {
		return nil, fmt.Errorf("pipeline: %w", err)
	}
	conds := make([]cond.Cond, len(ids))
	for i := range conds {
		if conds[i].Class = m.NoStyle; i > 0 {
			conds[i] = style
		}
		conds[i].Context = []cond.Context{{Tokens: text.States.Slice(i*text.Tokens, (i+1)*text.Tokens)}}
	}
	return conds, nil
}

// style returns the condition of a mixture of styles: of one that has all the weight, its label.
func (m *TextStyle) style(parts []Part) (cond.Cond, error) {
	if len(parts) == 1 && parts[0].Weight == 1 {
		label, err := m.Label(parts[0].Text)
		return cond.Cond{Class: label}, err
	}
	rest := Part{Weight: 1} // no style
	for _, p := range parts {
		rest.Weight -= p.Weight
	}
	var weights []float64
	var vectors [][]float32
	for _, p := range append(slices.Clip(parts), rest) {
		label, err := m.Label(p.Text)
		if err != nil {
			return cond.Cond{}, err
		}
		vector, err := m.UNet.ClassVector(label)
		if err != nil {
			return cond.Cond{}, fmt.Errorf("pipeline: %w", err)
		}
		weights, vectors = append(weights, p.Weight), append(vectors, vector)
	}
	vector, err := cond.Mix(weights, vectors...)
	if err != nil {
		return cond.Cond{}, fmt.Errorf("pipeline: %w", err)
	}
	return cond.Cond{Vector: vector}, nil
}
