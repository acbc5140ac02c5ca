package sampler

import (
	"context"
	"fmt"
	"math"

	"github.com/lanewise/lanewise/tensor"
)

// Guide returns a predictor of classifier-free guidance (Ho and Salimans, 2022):
//
//	out = u + scale·(c - u)
//
// where u and c are what p says under the negative and the positive condition. Scale 1 gives c; more
// exaggerates what the condition adds. It is Guidance with a single scale.
func Guide(p Predictor, scale float64) Predictor {
	return Guidance{Scales: []float64{scale}}.Predictor(p)
}

// Guidance leads predictions from what a model says under one condition, the base, towards what it
// says under others or away from them (composable diffusion: Liu et al., 2022):
//
//	out = u + Σᵢ Scales[i]·(cᵢ - u)
//
// The base u is the empty prompt or a negative one; a condition with a scale below 0 is led away
// from, whatever the base is. With one condition this is classifier-free guidance.
//
// Scales of conditions that build on each other fall out of it. InstructPix2Pix (Brooks et al.,
// 2023) has an image and a text,
//
//	u + image·(c₁ - u) + text·(c₂ - c₁)
//
// where c₁ is conditioned on the image alone and c₂ on both: Scales{image - text, text}.
//
// The plain prediction is that without guidance: the mean of the conditions with scales above 0, in
// proportion to them; c where there is one, u where there is none.
//
// Guided are the first channels of an output, as many as x has. What a model says behind them, the
// variance that DiT and others have learned, is the plain prediction's.
type Guidance struct {
	// Scales are those of the conditions behind the base.
	Scales []float64

	// Vary, unless nil, changes the scales for a prediction at p. scales is a copy of Scales when it
	// is called; its length stays. What is plain does not change.
	Vary func(scales []float64, p Point)

	// Rescale, from 0 to 1, is how much of the guided prediction g is brought back to the spread of
	// the plain one c, which guidance widens until pictures are overexposed (Lin et al., 2024):
	//
	//	Rescale·g·std(c)/std(g) + (1-Rescale)·g
	//
	// The standard deviations are over the guided channels of an image.
	Rescale float64

	// Interval is where there is guidance: at noise levels outside of it the prediction is the plain
	// one (Kynkäänniemi et al., 2024).
	Interval Interval

	// Plain, unless nil, is asked outside of Interval, in place of the predictor of all conditions,
	// most of whose answers would be thrown away. It is bound to the conditions that the plain
	// prediction is the mean of, in their order.
	Plain Predictor
}

// Interval is a range of noise levels σ = Sigma/Alpha: how much stronger the noise is than the
// sample. The zero value is all levels.
type Interval struct {
	From float64
	To   float64 // 0 is no bound
}

// Contains says whether p's noise level is in the interval, ends included.
func (v Interval) Contains(p Point) bool {
	return p.Sigma >= float64(v.From*p.Alpha) && (v.To == 0 || p.Sigma <= float64(v.To*p.Alpha))
}

// Validate returns an error that names the first field that cannot be.
func (g Guidance) Validate() error {
	for i, s := range g.Scales {
		if s-s != 0 {
			return fmt.Errorf("sampler: guidance with scale %g for condition %d", s, i+1)
		}
	}
	switch v := g.Interval; {
	case !(g.Rescale >= 0 && g.Rescale <= 1):
		return fmt.Errorf("sampler: guidance rescaled by %g, want 0 to 1", g.Rescale)
	case !(v.From >= 0 && v.To >= 0) || math.IsInf(v.From, 1) || v.To > 0 && v.From > v.To:
		return fmt.Errorf("sampler: guidance from noise level %g to %g", v.From, v.To)
	}
	return nil
}

// Predictor returns the guided predictor. p is asked once for all conditions: it sees x's images
// for the base, all of them again for the first condition, and so on, and has to be bound to
// conditions in that order. Plain sees them once for each of its conditions.
//
// The predictor allocates its batches when first called and when the shape changes, and is for one
// goroutine. Where Validate finds an error, every prediction is that error.
func (g Guidance) Predictor(p Predictor) Predictor {
	if err := g.Validate(); err != nil {
		return func(context.Context, tensor.NHWC, tensor.NHWC, Point) error { return err }
	}
	r := &guided{Guidance: g, all: p, scales: make([]float64, len(g.Scales)), moves: make([]term, len(g.Scales))}
	total := 0.0
	for _, s := range g.Scales {
		total += max(s, 0)
	}
	for i, s := range g.Scales {
		if s > 0 {
			r.plain = append(r.plain, term{at: 1 + i, weight: s / total})
		}
	}
	if r.plain == nil {
		r.plain = []term{{at: 0, weight: 1}}
	}
	for i, t := range r.plain {
		r.alone = append(r.alone, term{at: i, weight: t.weight})
	}
	return r.predict
}

// term is a weighed part of a sum over a batch of predictions.
type term struct {
	at     int // place of its condition in the batch
	weight float64
}

// guided is a guided predictor with its memory.
type guided struct {
	Guidance
	all    Predictor
	scales []float64 // of this prediction
	moves  []term    // what is added to the base: differences from it
	plain  []term    // the plain prediction, in all's batch
	alone  []term    // the same in Plain's batch

	in, said  tensor.NHWC // of all's batch; Plain's is the beginning of it
	pixels    int         // of each condition
	led, mean []float64   // a pixel of the guided prediction and of the plain one
}

// predict is a Predictor.
func (g *guided) predict(ctx context.Context, out, x tensor.NHWC, p Point) error {
	if out.N != x.N || out.H != x.H || out.W != x.W {
		panic(fmt.Sprintf("sampler: prediction of %s for %s", out.Shape(), x.Shape()))
	}
	within := g.Interval.Contains(p)
	if !within && g.Plain != nil {
		if len(g.alone) == 1 {
			return g.Plain(ctx, out, x, p)
		}
		if err := g.ask(ctx, g.Plain, len(g.alone), out, x, p); err != nil {
			return err
		}
		g.writeMean(out.Tokens(), g.alone, 0)
		return nil
	}
	if err := g.ask(ctx, g.all, 1+len(g.Scales), out, x, p); err != nil {
		return err
	}
	if !within {
		g.writeMean(out.Tokens(), g.plain, 0)
		return nil
	}
	if err := g.vary(p); err != nil {
		return err
	}
	channels := min(x.C, out.C)
	for n := range out.N {
		g.writeLed(out.Images(n, n+1).Channels(0, channels).Tokens(), n*out.H*out.W)
	}
	if channels < out.C {
		g.writeMean(out.Tokens(), g.plain, channels)
	}
	return nil
}

// ask has p predict x under so many conditions.
func (g *guided) ask(ctx context.Context, p Predictor, conditions int, out, x tensor.NHWC, at Point) error {
	most := (1 + len(g.Scales)) * x.N
	if g.in.N != most || g.in.H != x.H || g.in.W != x.W || g.in.C != x.C || g.said.C != out.C {
		g.in = tensor.Make(most, x.H, x.W, x.C)
		g.said = tensor.Make(most, x.H, x.W, out.C)
		g.pixels = x.N * x.H * x.W
		g.led, g.mean = make([]float64, out.C), make([]float64, out.C)
	}
	in, said := g.in.Images(0, conditions*x.N), g.said.Images(0, conditions*x.N)
	for i := 0; i < in.N; i += x.N {
		tensor.Copy(in.Images(i, i+x.N), x)
	}
	return p(ctx, said, in, at)
}

// vary settles the scales of a prediction.
func (g *guided) vary(p Point) error {
	copy(g.scales, g.Scales)
	if g.Vary != nil {
		g.Vary(g.scales, p)
	}
	for i, s := range g.scales {
		if s-s != 0 {
			return fmt.Errorf("sampler: guidance varied to scale %g for condition %d", s, i+1)
		}
		g.moves[i] = term{at: 1 + i, weight: s}
	}
	return nil
}

// writeLed writes the guided prediction to an image whose first pixel is so far into the batch.
func (g *guided) writeLed(image tensor.Mat, first int) {
	led, mean := g.led[:image.Cols], g.mean[:image.Cols]
	var wide, narrow spread
	for r := range image.Rows {
		g.addMoves(led, first+r)
		for c, v := range led {
			image.Row(r)[c] = float32(v)
		}
		if g.Rescale > 0 {
			g.addMean(mean, g.plain, first+r)
			wide.add(led)
			narrow.add(mean)
		}
	}
	if g.Rescale == 0 || wide.squares == 0 {
		return
	}
	factor := float64(g.Rescale*math.Sqrt(narrow.squares/wide.squares)) + (1 - g.Rescale)
	for r := range image.Rows {
		row := image.Row(r)
		for c, v := range row {
			row[c] = float32(factor * float64(v))
		}
	}
}

// writeMean writes a mean of conditions to the channels of out from first on.
func (g *guided) writeMean(out tensor.Mat, of []term, first int) {
	for r := range out.Rows {
		g.addMean(g.mean, of, r)
		for c, v := range g.mean[first:] {
			out.Row(r)[first+c] = float32(v)
		}
	}
}

// addMoves sets dst to a pixel of the guided prediction.
func (g *guided) addMoves(dst []float64, pixel int) {
	base := g.pixel(0, pixel)
	for c := range dst {
		dst[c] = float64(base[c])
	}
	for _, t := range g.moves {
		said := g.pixel(t.at, pixel)
		for c := range dst {
			dst[c] += float64(t.weight * (float64(said[c]) - float64(base[c])))
		}
	}
}

// addMean sets dst to a pixel of a mean of conditions; of one condition, that is exact.
func (g *guided) addMean(dst []float64, of []term, pixel int) {
	for i, t := range of {
		said := g.pixel(t.at, pixel)
		for c := range dst {
			v := float64(t.weight * float64(said[c]))
			if i > 0 {
				v += dst[c]
			}
			dst[c] = v
		}
	}
}

// pixel returns what was predicted for a pixel under the condition at a place of the batch.
func (g *guided) pixel(at, pixel int) []float32 { return g.said.Tokens().Row(at*g.pixels + pixel) }

// spread is how far values that come one after another lie from their mean: the sum of the squares
// of the differences (Welford, 1962).
type spread struct{ n, mean, squares float64 }

func (s *spread) add(values []float64) {
	for _, v := range values {
		s.n++
		d := v - s.mean
		s.mean += d / s.n
		s.squares += float64(d * (v - s.mean))
	}
}
