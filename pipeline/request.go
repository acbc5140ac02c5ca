package pipeline

import (
	"fmt"
	"image"
	"math"
	"strings"

	"github.com/lanewise/lanewise/sampler"
)

// Request is what a picture is made from. The zero values of its fields are defaults.
type Request struct {
	// Prompt says what the picture shows. Mix, unless empty, is several prompts in its place: each
	// pulls with its weight times Guidance, and one of a weight below 0 pushes away (composable
	// diffusion: see sampler.Guidance). Weights that add up to 1 pull as strongly as a single prompt.
	Prompt string
	Mix    []Part
	// Negative is what guidance leads away from. The default is the empty prompt; with guidance 1 it
	// has no effect.
	Negative string

	// Style is one of the model's; empty is no style. Styles, unless empty, is several in its place:
	// with e₀ for no style, the vector that conditions the model is
	//
	//	e₀ + Σᵢ weightᵢ·(eᵢ - e₀)
	//
	// so that weights that add up to less than 1 leave a share to no style, and more exaggerate.
	Style  string
	Styles []Part

	// Seed is that of the noise: of torch.manual_seed(Seed); torch.randn(1, 3, Size, Size) for the
	// beginning, and of what the same generator draws next for samplers that add noise on the way.
	Seed uint64

	// Steps and Guidance have the model's defaults. Of the steps of pndm some are made in several
	// calls of the model, each of which is a Step of the run. Guidance 1 follows prompt and style
	// plainly, in half the time; more exaggerates them. Rescale and Interval are sampler.Guidance's.
	Steps    int
	Guidance float64
	Rescale  float64
	Interval sampler.Interval

	// Sampler is how a step is made, one of TextStyle.Samplers, and Schedule how the steps are spread
	// over the noise levels, one of TextStyle.Schedules. Both have the model's defaults.
	Sampler  string
	Schedule string

	// From, unless nil, is a picture to begin with, instead of with noise alone (image to image). It
	// is laid on white, shrunk or enlarged until it fits, and noise is added to it. Strength is the
	// share of the steps that are then made, above 0 and up to 1: the more, the less of the picture
	// stays. lcm and tcd make all steps within that share (see sampler.Config.PlanFrom). The default
	// is 0.6.
	From     image.Image
	Strength float64
}

// Part is a prompt or the name of a style, with its weight in a mixture.
type Part struct {
	Text   string
	Weight float64
}

const defaultStrength = 0.6

// complete fills in the model's defaults, and finds what is wrong with numbers and parts.
func (m *TextStyle) complete(r Request) (Request, error) {
	if r.Steps == 0 {
		r.Steps = m.Steps
	}
	if r.Guidance == 0 {
		r.Guidance = m.Guidance
	}
	if r.Sampler == "" {
		r.Sampler = m.Sampler
	}
	r.Sampler = strings.ToLower(r.Sampler)
	if err := m.check(r.Sampler); err != nil {
		return r, err
	}
	if r.Guidance-r.Guidance != 0 {
		return r, fmt.Errorf("pipeline: guidance %v", r.Guidance)
	}
	switch {
	case r.From == nil && r.Strength != 0:
		return r, fmt.Errorf("pipeline: strength %v without a picture to begin with", r.Strength)
	case r.From != nil && r.Strength == 0:
		r.Strength = defaultStrength
	}
	if r.From != nil && !(r.Strength > 0 && r.Strength <= 1) {
		return r, fmt.Errorf("pipeline: strength %v, want above 0 and up to 1", r.Strength)
	}
	var err error
	if r.Mix, err = mixture("prompt", r.Prompt, r.Mix); err != nil {
		return r, err
	}
	r.Styles, err = mixture("style", r.Style, r.Styles)
	return r, err
}

// mixture returns the parts of a mixture that have a weight; those of one thing where there is none.
func mixture(what, alone string, parts []Part) ([]Part, error) {
	if len(parts) == 0 {
		return []Part{{Text: alone, Weight: 1}}, nil
	}
	if alone != "" {
		return nil, fmt.Errorf("pipeline: %s %q beside a mixture of %ss", what, alone, what)
	}
	var weighed []Part
	for _, p := range parts {
		if math.IsNaN(p.Weight) || math.IsInf(p.Weight, 0) {
			return nil, fmt.Errorf("pipeline: %s %q with weight %v", what, p.Text, p.Weight)
		}
		if p.Weight != 0 {
			weighed = append(weighed, p)
		}
	}
	if len(weighed) == 0 {
		return nil, fmt.Errorf("pipeline: a mixture of %ss that all have weight 0", what)
	}
	return weighed, nil
}
