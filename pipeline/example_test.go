package pipeline_test

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"log"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/models/emoji"
	"github.com/lanewise/lanewise/pipeline"
	"github.com/lanewise/lanewise/sampler"
)

// session returns a session of the embedded model.
func session() (*pipeline.Session, func()) {
	e, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	m, err := emoji.Load(e)
	if err != nil {
		log.Fatal(err)
	}
	return m.Session(), e.Close
}

// paint makes a picture.
func paint(s *pipeline.Session, r pipeline.Request) *image.RGBA {
	var p *image.RGBA
	for step, err := range s.Generate(context.Background(), r) {
		if err != nil {
			log.Fatal(err)
		}
		if step.Done() {
			p = step.Picture()
		}
	}
	return p
}

// Two prompts pull at one picture, a third pushes, and two styles are mixed.
func ExampleRequest_mix() {
	s, done := session()
	defer done()
	p := paint(s, pipeline.Request{
		Mix: []pipeline.Part{
			{Text: "red heart", Weight: 0.8},
			{Text: "strawberry", Weight: 0.4},
			{Text: "blue", Weight: -0.2},
		},
		Styles: []pipeline.Part{{Text: "noto", Weight: 0.5}, {Text: "flat", Weight: 0.5}},
		Seed:   7,
		Steps:  4,
	})
	c := p.RGBAAt(16, 16)
	fmt.Println("red in the middle:", c.R > c.G && c.R > c.B)
	// Output: red in the middle: true
}

// One prompt and one noise, from a style to another.
func ExampleRequest_interpolation() {
	s, done := session()
	defer done()
	const frames = 3
	for i := range frames {
		share := float64(i) / (frames - 1)
		p := paint(s, pipeline.Request{
			Prompt: "sun",
			Styles: []pipeline.Part{{Text: "noto", Weight: 1 - share}, {Text: "flat", Weight: share}},
			Seed:   7,
			Steps:  2,
		})
		fmt.Printf("%.0f%% flat: %v\n", 100*share, p.Bounds().Size())
	}
	// Output:
	// 0% flat: (32,32)
	// 50% flat: (32,32)
	// 100% flat: (32,32)
}

// A picture drawn anew in a style. Of ten steps the last six are made.
func ExampleRequest_styleTransfer() {
	s, done := session()
	defer done()
	photo := image.NewRGBA(image.Rect(0, 0, 200, 150))
	for y := range 150 {
		for x := range 200 {
			if (x-100)*(x-100)+(y-75)*(y-75) < 60*60 {
				photo.Set(x, y, color.RGBA{190, 20, 30, 255})
			}
		}
	}
	r := pipeline.Request{Prompt: "red apple", Style: "twemoji", Seed: 7, Steps: 10, From: photo, Strength: 0.6}
	for step, err := range s.Generate(context.Background(), r) {
		if err != nil {
			log.Fatal(err)
		}
		if step.Done() {
			c := step.Picture().RGBAAt(16, 20)
			fmt.Println(step.Count, "steps; still red:", c.R > c.G && c.R > c.B)
		}
	}
	// Output: 6 steps; still red: true
}

// Strong guidance, from which pictures do not burn: rescaled, and only at middle noise levels,
// which makes the other steps cost half.
func ExampleRequest_guidance() {
	s, done := session()
	defer done()
	p := paint(s, pipeline.Request{
		Prompt:   "yellow star",
		Negative: "face",
		Style:    "flat",
		Seed:     7,
		Steps:    4,
		Guidance: 4,
		Rescale:  0.7,
		Interval: sampler.Interval{From: 0.3, To: 5},
	})
	fmt.Println(p.Bounds().Size())
	// Output: (32,32)
}

// A wide picture as the model is given it: all of it, on white.
func ExampleFit() {
	wide := image.NewGray(image.Rect(0, 0, 64, 16)) // black
	p, err := pipeline.Fit(wide, 8)
	if err != nil {
		log.Fatal(err)
	}
	for y := range 8 {
		fmt.Print(p.RGBAAt(4, y).R, " ")
	}
	fmt.Println()
	// Output: 255 255 255 0 0 255 255 255
}
