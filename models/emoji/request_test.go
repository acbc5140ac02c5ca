package emoji_test

import (
	"context"
	"image"
	"image/color"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/clip"
	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/pipeline"
	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

// disk is a picture of a colored disk on white.
func disk(size int, c color.Color) *image.RGBA {
	p := image.NewRGBA(image.Rect(0, 0, size, size))
	for y := range size {
		for x := range size {
			p.Set(x, y, color.White)
			if math.Hypot(float64(x)-float64(size-1)/2, float64(y)-float64(size-1)/2) < 0.4*float64(size) {
				p.Set(x, y, c)
			}
		}
	}
	return p
}

var red = color.RGBA{200, 30, 20, 255}

// skipSlow skips, in short runs, a test whose many pictures take minutes in pure Go.
func skipSlow(t *testing.T) {
	if testing.Short() && kernels.Available()[0].ISA == kernels.Generic {
		t.Skip("takes minutes in pure Go")
	}
}

// What says the same makes the same picture, bit for bit.
func TestRequestsThatAreOne(t *testing.T) {
	skipSlow(t)
	s := load(t, 2).Session()
	base := pipeline.Request{Prompt: "frog", Style: "flat", Seed: 3, Steps: 2}
	mixed := base
	mixed.Prompt, mixed.Mix = "", []pipeline.Part{{Text: "frog", Weight: 0.6}, {Text: "pizza", Weight: 0.4}}
	styled := base
	styled.Style, styled.Styles = "", []pipeline.Part{{Text: "flat", Weight: 0.5}, {Weight: 0.5}}
	restyled := base
	restyled.From = disk(32, red)
	for name, c := range map[string]struct {
		request pipeline.Request
		change  func(*pipeline.Request)
	}{
		"mix of one": {base, func(r *pipeline.Request) { r.Prompt, r.Mix = "", []pipeline.Part{{Text: "frog", Weight: 1}} }},
		"guidance in the weight": {base, func(r *pipeline.Request) {
			r.Prompt, r.Mix, r.Guidance = "", []pipeline.Part{{Text: "frog", Weight: 1.5}}, 1
		}},
		"part without weight": {mixed, func(r *pipeline.Request) { r.Mix = append(r.Mix, pipeline.Part{Text: "sun"}) }},
		"styles of one":       {base, func(r *pipeline.Request) { r.Style, r.Styles = "", []pipeline.Part{{Text: "flat", Weight: 1}} }},
		"style without weight": {base, func(r *pipeline.Request) {
			r.Style, r.Styles = "", []pipeline.Part{{Text: "noto"}, {Text: "flat", Weight: 1}}
		}},
		"rest is no style": {styled, func(r *pipeline.Request) { r.Styles = r.Styles[:1] }},
		"no style":         {pipeline.Request{Prompt: "frog", Steps: 1}, func(r *pipeline.Request) { r.Styles = []pipeline.Part{{Weight: 1}} }},
		"interval of all":  {base, func(r *pipeline.Request) { r.Interval = sampler.Interval{To: math.Inf(1)} }},
		"interval of none": {pipeline.Request{Prompt: "frog", Style: "flat", Seed: 3, Steps: 2, Guidance: 1}, func(r *pipeline.Request) {
			r.Guidance, r.Interval = 7, sampler.Interval{To: 1e-9}
		}},
		"negative without guidance": {pipeline.Request{Prompt: "frog", Guidance: 1, Steps: 1}, func(r *pipeline.Request) { r.Negative = "red" }},
		"default strength":          {restyled, func(r *pipeline.Request) { r.Strength = 0.6 }},
		"larger picture":            {restyled, func(r *pipeline.Request) { r.From = enlarge(disk(32, red), 3) }},
	} {
		other := c.request
		c.change(&other)
		kerneltest.Same(t, name, generate(t, s, other).Data, generate(t, s, c.request).Data)
	}
}

// enlarge makes squares of pixels.
func enlarge(p *image.RGBA, scale int) *image.RGBA {
	large := image.NewRGBA(image.Rect(0, 0, p.Rect.Dx()*scale, p.Rect.Dy()*scale))
	for y := range large.Rect.Dy() {
		for x := range large.Rect.Dx() {
			large.Set(x, y, p.At(x/scale, y/scale))
		}
	}
	return large
}

// Everything that a request says about mixtures, guidance and a picture has a part in the result.
func TestRequestsThatDiffer(t *testing.T) {
	skipSlow(t)
	s := load(t, 2).Session()
	base := pipeline.Request{
		Mix:      []pipeline.Part{{Text: "frog", Weight: 0.7}, {Text: "pizza", Weight: 0.3}},
		Negative: "blue", Styles: []pipeline.Part{{Text: "flat", Weight: 0.5}, {Text: "noto", Weight: 0.5}},
		Seed: 3, Steps: 4, Guidance: 3, Rescale: 0.5, Interval: sampler.Interval{From: 0.2, To: 5},
		From: disk(40, red), Strength: 0.5,
	}
	want := generate(t, s, base)
	for name, change := range map[string]func(*pipeline.Request){
		"weight":          func(r *pipeline.Request) { r.Mix[0].Weight = 0.8 },
		"weight below 0":  func(r *pipeline.Request) { r.Mix[1].Weight = -0.3 },
		"text":            func(r *pipeline.Request) { r.Mix[1].Text = "sun" },
		"negative prompt": func(r *pipeline.Request) { r.Negative = "red" },
		"style":           func(r *pipeline.Request) { r.Styles[0].Text = "blob" },
		"style's weight":  func(r *pipeline.Request) { r.Styles[0].Weight = 0.4 },
		"rescale":         func(r *pipeline.Request) { r.Rescale = 0 },
		"interval":        func(r *pipeline.Request) { r.Interval = sampler.Interval{To: 0.1} },
		"picture":         func(r *pipeline.Request) { r.From = disk(32, color.RGBA{20, 30, 200, 255}) },
		"strength":        func(r *pipeline.Request) { r.Strength = 0.75 },
		"seed":            func(r *pipeline.Request) { r.Seed = 4 },
	} {
		r := base
		r.Mix, r.Styles = slices.Clone(r.Mix), slices.Clone(r.Styles)
		change(&r)
		if slices.Equal(generate(t, s, r).Data, want.Data) {
			t.Errorf("another %s makes the same picture", name)
		}
	}
	kerneltest.Same(t, "the request itself", generate(t, s, base).Data, want.Data)
}

// TestRequestByHand puts a picture together from the model's parts, by the formulas that Request
// states.
func TestRequestByHand(t *testing.T) {
	m := load(t, 2)
	const n, begin = 5, 2 // steps; of which 0.6 are made
	r := pipeline.Request{
		Mix: []pipeline.Part{{Text: "cat face", Weight: 1.2}, {Text: "frog", Weight: 0.8}, {Text: "red", Weight: -0.5}}, Negative: "pizza",
		Styles: []pipeline.Part{{Text: "noto", Weight: 0.5}, {Text: "fluent", Weight: 0.3}},
		Seed:   9, Steps: n, Guidance: 2, Rescale: 0.25, Interval: sampler.Interval{From: 0.5}, Sampler: "Euler",
		From: disk(32, red),
	}
	got := generate(t, m.Session(), r)

	var vectors [][]float32
	for _, label := range []int{0, 4, m.NoStyle} {
		v, err := m.UNet.ClassVector(label)
		if err != nil {
			t.Fatal(err)
		}
		vectors = append(vectors, v)
	}
	style, err := cond.Mix([]float64{0.5, 0.3, 0.2}, vectors...)
	if err != nil {
		t.Fatal(err)
	}
	conds := []cond.Cond{{Class: m.NoStyle}, {Vector: style}, {Vector: style}, {Vector: style}}
	for i, words := range []string{"pizza", "cat face", "frog", "red"} {
		text, err := m.Text.Encode(t.Context(), [][]int{m.Words.Encode(words).IDs}, clip.TextOptions{})
		if err != nil {
			t.Fatal(err)
		}
		conds[i].Context = []cond.Context{{Tokens: text.States}}
	}
	u, err := m.UNet.Session(len(conds), m.Size, m.Size)
	if err != nil {
		t.Fatal(err)
	}
	bound, err := u.Bind(conds...)
	if err != nil {
		t.Fatal(err)
	}
	predict := func(ctx context.Context, out, x tensor.NHWC, p sampler.Point) error {
		return bound.Forward(ctx, out, x, p.T)
	}
	guided := sampler.Guidance{Scales: []float64{2.4, 1.6, -1}, Rescale: 0.25, Interval: sampler.Interval{From: 0.5}}.Predictor(predict)
	config, err := sampler.ReadConfig(sub(t, "scheduler"), "scheduler_config.json", "euler")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := config.Plan(n)
	if err != nil {
		t.Fatal(err)
	}
	points := plan.Points[begin:]
	x, noise := tensor.Make(1, 32, 32, 3), tensor.Make(1, 32, 32, 3)
	for i, v := range disk(32, red).Pix {
		if i%4 < 3 {
			x.Data[i/4*3+i%4] = float32(v)/127.5 - 1
		}
	}
	sampler.Noise(noise, 9)
	sampler.AddNoise(x, x, noise, points[0])
	within := 0
	for step, err := range sampler.Steps(t.Context(), guided, x, points, plan.Method) {
		if err != nil {
			t.Fatal(err)
		}
		if step.Count != n-begin {
			t.Errorf("%d steps", step.Count)
		}
		if (sampler.Interval{From: 0.5}).Contains(step.From) {
			within++
		}
	}
	if within == 0 || within == n-begin {
		t.Fatalf("%d of %d steps are guided: the test says nothing of the interval", within, n-begin)
	}
	near(t, "picture", got.Data, x.Data, 1e-5)
}

// The less strength, the more stays of the picture.
func TestStrength(t *testing.T) {
	s := load(t, 2).Session()
	r := pipeline.Request{Prompt: "red circle", Style: "flat", Seed: 3, Steps: 10, From: disk(32, color.RGBA{20, 60, 200, 255})}
	last := -1.0
	for i, strength := range []float64{0.1, 0.5, 1} {
		r.Strength = strength
		steps := 0
		var p *image.RGBA
		for step, err := range s.Generate(t.Context(), r) {
			if err != nil {
				t.Fatal(err)
			}
			if steps++; step.Done() {
				p = step.Picture()
			}
		}
		if want := []int{1, 5, 10}[i]; steps != want {
			t.Errorf("strength %v: %d steps, want %d", strength, steps, want)
		}
		away := 0.0
		for j, v := range r.From.(*image.RGBA).Pix {
			away += math.Abs(float64(v) - float64(p.Pix[j]))
		}
		if away <= last {
			t.Errorf("strength %v: the picture is as near as with less", strength)
		}
		last = away
	}
}

func TestRequestErrors(t *testing.T) {
	s := load(t, 1).Session()
	nan := math.NaN()
	for name, c := range map[string]struct {
		r    pipeline.Request
		want string
	}{
		"prompt and mix": {pipeline.Request{Prompt: "a", Mix: []pipeline.Part{{Text: "b", Weight: 1}}}, `prompt "a" beside a mixture of prompts`},
		"style and mix":  {pipeline.Request{Style: "noto", Styles: []pipeline.Part{{Text: "flat", Weight: 1}}}, `style "noto" beside a mixture of styles`},
		"weight":         {pipeline.Request{Mix: []pipeline.Part{{Text: "b", Weight: nan}}}, `prompt "b" with weight NaN`},
		"style's weight": {pipeline.Request{Styles: []pipeline.Part{{Text: "flat", Weight: math.Inf(-1)}}}, `style "flat" with weight -Inf`},
		"no weight":      {pipeline.Request{Mix: []pipeline.Part{{Text: "b"}}}, "prompts that all have weight 0"},
		"huge weights":   {pipeline.Request{Mix: []pipeline.Part{{Text: "b", Weight: 1e308}}, Guidance: 1e9}, "scale +Inf"},
		"style":          {pipeline.Request{Styles: []pipeline.Part{{Text: "oil", Weight: 0.5}}}, `unknown style "oil"`},
		"rescale":        {pipeline.Request{Prompt: "a", Rescale: 2}, "rescaled by 2"},
		"interval":       {pipeline.Request{Prompt: "a", Interval: sampler.Interval{From: 3, To: 2}}, "noise level 3 to 2"},
		"strength alone": {pipeline.Request{Prompt: "a", Strength: 0.5}, "strength 0.5 without a picture"},
		"strength":       {pipeline.Request{From: disk(2, red), Strength: 1.5}, "strength 1.5"},
		"strength below": {pipeline.Request{From: disk(2, red), Strength: -1}, "strength -1"},
		"strength NaN":   {pipeline.Request{From: disk(2, red), Strength: nan}, "strength NaN"},
		"no step":        {pipeline.Request{From: disk(2, red), Strength: 0.09, Steps: 10}, "strength 0.09 of 10 steps is no step"},
		"empty picture":  {pipeline.Request{From: image.NewRGBA(image.Rectangle{})}, "a picture of 0×0 pixels"},
		"steps":          {pipeline.Request{From: disk(2, red), Steps: -5}, "steps"},
	} {
		n := 0
		for _, err := range s.Generate(t.Context(), c.r) {
			if n++; err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", name, err, c.want)
			}
		}
		if n != 1 {
			t.Errorf("%s: %d steps, want an error alone", name, n)
		}
	}
}
