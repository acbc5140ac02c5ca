package main

import (
	"context"

	"github.com/lanewise/lanewise/clip"
	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/models/emoji"
	"github.com/lanewise/lanewise/pipeline"
	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

// style is that of all pictures.
const style = "noto"

// A painter makes some pictures at once with the embedded model: prompt i from the noise of seed+i,
// under the model's own guidance.
type painter struct {
	prompts []string
	seed    uint64
	size    int // rows and columns
	predict sampler.Predictor
	calls   int // of the model, all pictures in one
}

// newPainter loads the model and binds it to the prompts.
func newPainter(e *engine.Engine, seed uint64, prompts ...string) (*painter, error) {
	m, err := emoji.Load(e)
	if err != nil {
		return nil, err
	}
	conds, err := conditions(m, prompts)
	if err != nil {
		return nil, err
	}
	session, err := m.UNet.Session(len(conds), m.Size, m.Size)
	if err != nil {
		return nil, err
	}
	bound, err := session.Bind(conds...)
	if err != nil {
		return nil, err
	}
	p := &painter{prompts: prompts, seed: seed, size: m.Size}
	p.predict = sampler.Guide(func(ctx context.Context, out, x tensor.NHWC, at sampler.Point) error {
		p.calls++
		return bound.Forward(ctx, out, x, at.T)
	}, m.Guidance)
	return p, nil
}

// conditions returns what guidance leads away from, once for each prompt, and then the prompts.
func conditions(m *pipeline.TextStyle, prompts []string) ([]cond.Cond, error) {
	label, err := m.Label(style)
	if err != nil {
		return nil, err
	}
	n := len(prompts)
	ids := make([][]int, 2*n)
	for i, prompt := range prompts {
		ids[i], ids[n+i] = m.Words.Encode("").IDs, m.Words.Encode(prompt).IDs
	}
	text, err := m.Text.Encode(context.Background(), ids, clip.TextOptions{})
	if err != nil {
		return nil, err
	}
	conds := make([]cond.Cond, 2*n)
	for i := range conds {
		if conds[i].Class = label; i < n {
			conds[i].Class = m.NoStyle
		}
		conds[i].Context = []cond.Context{{Tokens: text.States.Slice(i*text.Tokens, (i+1)*text.Tokens)}}
	}
	return conds, nil
}

// paint runs a plan, and returns the pictures and the number of calls of the model.
func (p *painter) paint(plan *sampler.Plan) (x tensor.NHWC, calls int, err error) {
	x = tensor.Make(len(p.prompts), p.size, p.size, 3)
	var noise streams
	for i := range p.prompts {
		noise = append(noise, sampler.NewGenerator(p.seed+uint64(i)))
	}
	noise.Noise(x)
	plan.Begin(x)
	p.calls = 0
	for _, err := range sampler.Steps(context.Background(), p.predict, x, plan.Points, sampler.WithNoise(plan.Method, noise)) {
		if err != nil {
			return x, p.calls, err
		}
	}
	return x, p.calls, nil
}

// streams are the noise of a batch, each image's its own, so that a picture comes out as it would alone.
type streams []*sampler.Generator

// Noise implements sampler.Source.
func (s streams) Noise(x tensor.NHWC) {
	for i, g := range s {
		g.Noise(x.Images(i, i+1))
	}
}
