package golden_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/lanewise/lanewise/adapter"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/golden"
	"github.com/lanewise/lanewise/tensor"
)

// imagePrompt loads the IP-Adapter of a case with in.image_embeds, compares the tokens of every image with
// those stored, and returns them with their scale.
func imagePrompt(e *engine.Engine, c *golden.Case) (p *adapter.ImagePrompt, tokens []tensor.Mat, scale float32, err error) {
	var params struct{ Scale float32 }
	if err := json.Unmarshal(c.Params, &params); err != nil {
		return nil, nil, 0, fmt.Errorf("params: %w", err)
	}
	p, err = adapter.LoadImagePrompt(e, c.Model(), "ip_adapter.safetensors")
	if err != nil {
		return nil, nil, 0, err
	}
	embeds, err := c.Float32("in.image_embeds")
	if err != nil {
		return nil, nil, 0, err
	}
	// Images × pictures × width, or images × pictures × states × width.
	images, pictures := embeds.Shape[0], embeds.Shape[1]
	all := rows(embeds)
	each := all.Rows / (images * pictures)
	var seen []float32
	for i := range images {
		var own []tensor.Mat
		for j := range pictures {
			at := (i*pictures + j) * each
			own = append(own, all.Slice(at, at+each))
		}
		m, err := p.Tokens(context.Background(), own...)
		if err != nil {
			return nil, nil, 0, err
		}
		tokens, seen = append(tokens, m), append(seen, m.Data...)
	}
	const module = "act.encoder_hid_proj.image_projection_layers.0"
	if c.Has(module) {
		per := tokens[0].Rows / pictures
		err = c.Compare(module, golden.Tensor{Shape: []int{images * pictures, per, p.Width}, Data: seen})
	}
	return p, tokens, params.Scale, err
}

// runT2I runs a T2IAdapter.
func runT2I(e *engine.Engine, c *golden.Case) error {
	a, err := adapter.LoadT2I(e, c.Model())
	if err != nil {
		return err
	}
	in, err := c.Float32("in.x")
	if err != nil {
		return err
	}
	x := image(in)
	s, err := a.Session(x.N, x.H, x.W, c.Options)
	if err != nil {
		return err
	}
	features, err := s.Forward(context.Background(), x)
	if err != nil {
		return err
	}
	got := make(map[string]golden.Tensor)
	for i, f := range features.Levels {
		got[fmt.Sprintf("out.feat.%d", i)] = planes(f, []int{f.N, f.C, f.H, f.W})
	}
	return check(c, got)
}
