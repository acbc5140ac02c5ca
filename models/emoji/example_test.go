package emoji_test

import (
	"cmp"
	"context"
	"fmt"
	"log"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/models/emoji"
	"github.com/lanewise/lanewise/pipeline"
)

func Example() {
	e, err := engine.New(engine.Options{}) // all cores
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	m, err := emoji.Load(e)
	if err != nil {
		log.Fatal(err)
	}
	r := pipeline.Request{Prompt: "red heart", Style: "noto", Seed: 7, Steps: 4}
	for step, err := range m.Session().Generate(context.Background(), r) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("step %d of %d\n", step.Index+1, step.Count)
		if step.Done() {
			center := step.Picture().RGBAAt(16, 16)
			fmt.Println("red in the middle:", center.R > 200 && center.G < 80 && center.B < 80)
		}
	}
	// Output:
	// step 1 of 4
	// step 2 of 4
	// step 3 of 4
	// step 4 of 4
	// red in the middle: true
}

// Style transfer: one prompt and one noise in every style, and between two of them.
func Example_styles() {
	e, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	m, err := emoji.Load(e)
	if err != nil {
		log.Fatal(err)
	}
	s := m.Session()
	requests := []pipeline.Request{{Styles: []pipeline.Part{{Text: "noto", Weight: 0.5}, {Text: "flat", Weight: 0.5}}}}
	for _, style := range m.Styles {
		requests = append(requests, pipeline.Request{Style: style})
	}
	for _, r := range requests {
		r.Prompt, r.Seed, r.Steps = "red heart", 7, 4
		for step, err := range s.Generate(context.Background(), r) {
			if err != nil {
				log.Fatal(err)
			}
			if step.Done() {
				center := step.Picture().RGBAAt(16, 16)
				fmt.Printf("%s, red in the middle: %v\n", cmp.Or(r.Style, "mixed"), center.R > 128 && center.G < 128)
			}
		}
	}
	// Output:
	// mixed, red in the middle: true
	// noto, red in the middle: true
	// blob, red in the middle: true
	// twemoji, red in the middle: true
	// flat, red in the middle: true
	// fluent, red in the middle: true
}
