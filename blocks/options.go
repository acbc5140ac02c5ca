package blocks

import (
	"fmt"
	"slices"

	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/program"
)

// Options are the choices that a session of a model is made with. The zero value is the default.
type Options struct {
	// Conv says how the algorithms of convolutions are chosen.
	Conv conv.Options
}

// Given returns the options that a session was given, of which there may be none or one. It is an error
// where there are more, or one says what does not exist.
func Given(options []Options) (o Options, err error) {
	switch len(options) {
	case 0:
		return o, nil
	case 1:
		return options[0], options[0].Conv.Check()
	}
	return o, fmt.Errorf("options given %d times, want once at most", len(options))
}

// choice is how a convolution of a Graph is computed. Build of the Graph makes it.
type choice struct {
	layer   conv.Layer
	weights *conv.Packed
}

// String returns the name of what was chosen.
func (c *choice) String() string { return c.weights.Plan().String() }

// choice returns the choice for the convolution of src to dst.
func (g *Graph) choice(w *conv.Packed, dst, src program.Value) *choice {
	c := &choice{layer: conv.Layer{Weights: w, H: src.H, W: src.W, OutH: dst.H, OutW: dst.W}}
	g.choices = append(g.choices, c)
	return c
}

// choose makes all choices, and counts what they keep.
func (g *Graph) choose() {
	layers := make([]conv.Layer, len(g.choices))
	for i, c := range g.choices {
		layers[i] = c.layer
	}
	for i, plan := range conv.Plans(layers, g.Options.Conv) {
		w := layers[i].Weights.With(g.Engine, plan)
		if !slices.ContainsFunc(g.choices[:i], func(c *choice) bool { return c.weights == w }) {
			g.Keep(w.Kept())
		}
		g.choices[i].weights = w
	}
}
