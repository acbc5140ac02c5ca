package main

import (
	"context"
	"fmt"

	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/models/emoji"
	"github.com/lanewise/lanewise/pipeline"
)

// emoji prints how far pictures of the embedded model are from the direct ones.
func (s *settings) emoji() error {
	m, err := emoji.Load(s.engine)
	if err != nil {
		return err
	}
	prompts := []string{"red heart", "blue apple", "panda", "rocket"}
	styles := []string{"noto", "twemoji"}
	fmt.Printf("\nthe embedded model, %d prompts in %d styles, %d steps, beside the direct algorithm; of 255\n\n", len(prompts), len(styles), s.steps)
	fmt.Print("| algorithm | values that differ | largest difference |\n| --- | --- | --- |\n")
	paint := func(a conv.Algorithm) (pixels []uint8, err error) {
		session := m.Session(pipeline.Options{Conv: conv.Options{Algorithm: a}})
		for seed, prompt := range prompts {
			for _, style := range styles {
				r := pipeline.Request{Prompt: prompt, Style: style, Seed: uint64(seed), Steps: s.steps}
				for step, err := range session.Generate(context.Background(), r) {
					if err != nil {
						return nil, err
					}
					if step.Done() {
						pixels = append(pixels, step.Picture().Pix...)
					}
				}
			}
		}
		return pixels, nil
	}
	want, err := paint(conv.Direct)
	if err != nil {
		return err
	}
	for _, a := range s.algorithms {
		got, err := paint(a)
		if err != nil {
			return err
		}
		differ, most := 0, 0
		for i, w := range want {
			if got[i] != w {
				differ++
			}
			most = max(most, int(got[i])-int(w), int(w)-int(got[i]))
		}
		fmt.Printf("| %v | %d of %d | %d |\n", a, differ, len(want), most)
	}
	return nil
}
