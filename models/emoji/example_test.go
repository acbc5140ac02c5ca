package emoji_test

import (
	"context"
	"fmt"
	"log"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/models/emoji"
	"github.com/lanewise/lanewise/pipeline"
)

func Example() {
	e, err := engine.New(engine.Options{})
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
