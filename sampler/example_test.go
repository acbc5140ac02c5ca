package sampler_test

import (
	"context"
	"fmt"

	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

// A model of samples that are all ¾ knows what is noise: whatever is not ¾·Alpha.
func Example() {
	model := func(_ context.Context, out, x tensor.NHWC, p sampler.Point) error {
		for i, v := range x.Data {
			out.Data[i] = float32((float64(v) - 0.75*p.Alpha) / p.Sigma)
		}
		return nil
	}
	schedule := sampler.Schedule{Levels: sampler.NewLevels(sampler.CosineBetas(1000)), Spacing: sampler.Trailing}
	points, err := schedule.Points(4)
	if err != nil {
		fmt.Println(err)
		return
	}
	x := tensor.Make(1, 8, 8, 1)
	sampler.Noise(x, 7)
	for step, err := range sampler.Steps(context.Background(), model, x, points, sampler.DDIM{}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("step %d of %d, from t = %g to %g\n", step.Index+1, step.Count, step.From.T, step.To.T)
	}
	fmt.Printf("%.4f\n", x.Pixel(0, 3, 3)[0])
	// Output:
	// step 1 of 4, from t = 999 to 749
	// step 2 of 4, from t = 749 to 499
	// step 3 of 4, from t = 499 to 249
	// step 4 of 4, from t = 249 to 0
	// 0.7500
}

// wants is a model of images of one value: under the i-th condition of a batch it says conds[i].
func wants(conds ...float32) sampler.Predictor {
	return func(_ context.Context, out, _ tensor.NHWC, _ sampler.Point) error {
		for i := range out.N {
			out.Pixel(i, 0, 0)[0] = conds[i*len(conds)/out.N]
		}
		return nil
	}
}

// predict prints what a predictor says of one value at a noise level.
func predict(p sampler.Predictor, alpha, sigma float64) {
	x, out := tensor.Make(1, 1, 1, 1), tensor.Make(1, 1, 1, 1)
	if err := p(context.Background(), out, x, sampler.Point{Alpha: alpha, Sigma: sigma}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(out.Data[0])
}

// The model is bound to a negative prompt, to two prompts that are to be met and to one that is to be
// avoided, in this order.
func ExampleGuidance() {
	p := wants(0, 1, 2, 3)
	g := sampler.Guidance{Scales: []float64{4, 2, -0.5}}
	predict(g.Predictor(p), 0.6, 0.8) // 0 + 4·(1-0) + 2·(2-0) - 0.5·(3-0)
	// Output: 6.5
}

// InstructPix2Pix guides by an image and, starting from there, by a text. The model is bound to
// neither, to the image, and to both.
func ExampleGuidance_imageAndText() {
	const image, text = 1.5, 7
	u, c1, c2 := float32(1), float32(3), float32(4)
	g := sampler.Guidance{Scales: []float64{image - text, text}}
	predict(g.Predictor(wants(u, c1, c2)), 0.6, 0.8)
	fmt.Println(u + image*(c1-u) + text*(c2-c1))
	// Output:
	// 11
	// 11
}

// A scale that falls from 5, where there is nothing but noise, to 1, where there is none.
func ExampleGuidance_vary() {
	g := sampler.Guidance{
		Scales: []float64{4},
		Vary:   func(scales []float64, p sampler.Point) { scales[0] = 1 + scales[0]*p.Sigma },
	}
	p := g.Predictor(wants(0, 1))
	predict(p, 0, 1)
	predict(p, 0.8, 0.6)
	// Output:
	// 5
	// 3.4
}

// Guidance at middle noise levels only: elsewhere the condition is followed plainly, at half the
// cost.
func ExampleInterval() {
	g := sampler.Guidance{
		Scales:   []float64{3},
		Interval: sampler.Interval{From: 0.3, To: 5},
		Plain:    wants(10), // bound to the condition alone
	}
	p := g.Predictor(wants(0, 10))
	predict(p, 0.1, 0.995)
	predict(p, 0.6, 0.8)
	predict(p, 0.995, 0.1)
	// Output:
	// 10
	// 30
	// 10
}
