package golden_test

import (
	"context"
	"fmt"

	"github.com/lanewise/lanewise/clip"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/golden"
	"github.com/lanewise/lanewise/tensor"
)

// runVision runs a CLIPVisionModel or CLIPVisionModelWithProjection.
func runVision(e *engine.Engine, c *golden.Case) error {
	for _, name := range c.Tensors("in.") {
		if name != "in.pixel_values" {
			return unsupported("an image encoder does not take " + name)
		}
	}
	in, err := c.Float32("in.pixel_values")
	if err != nil {
		return err
	}
	m, err := clip.LoadVision(e, c.Model())
	if err != nil {
		return err
	}
	pixels := image(in)
	out, err := m.Encode(context.Background(), pixels, clip.VisionOptions{Hidden: true})
	if err != nil {
		return err
	}
	states := func(m tensor.Mat) golden.Tensor {
		return golden.Tensor{Shape: []int{pixels.N, out.Tokens, m.Cols}, Data: m.Data}
	}
	whole := func(m tensor.Mat) golden.Tensor { return golden.Tensor{Shape: []int{m.Rows, m.Cols}, Data: m.Data} }
	got := map[string]golden.Tensor{
		"out.last_hidden_state": states(out.States),
		"out.pooler_output":     whole(out.Pooled),
		"out.image_embeds":      whole(out.Embedding),
		"out.penultimate":       states(out.Hidden[m.Config.Layers-1]),
	}
	for i, h := range out.Hidden {
		got[fmt.Sprintf("out.hidden.%d", i)] = states(h)
	}
	return check(c, got)
}
