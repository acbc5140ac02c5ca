package bench

import (
	"testing"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/models/emoji"
	"github.com/lanewise/lanewise/pipeline"
)

// BenchmarkPicture is a picture of the emoji model from prompt to pixels, without loading: text
// encoder, 20 steps of DDIM with guidance, conversion. Its operations are those of the U-Net.
func BenchmarkPicture(b *testing.B) {
	const steps, flop = 20, 2 * 0.905e9 // of one step
	each(b, kerneltest.Name("model", "emoji", "steps", steps), steps*flop, func(b *testing.B, e *engine.Engine) {
		m, err := emoji.Load(e)
		if err != nil {
			b.Fatal(err)
		}
		s := m.Session()
		draw := func() {
			r := pipeline.Request{Prompt: "red heart", Style: "noto", Seed: 7, Steps: steps}
			for step, err := range s.Generate(b.Context(), r) {
				if err != nil {
					b.Fatal(err)
				}
				if step.Done() {
					step.Picture()
				}
			}
		}
		draw()
		s.Measure(true)
		draw()
		work := s.Profile().Total().Cost.FLOP
		s.Measure(false)
		for b.Loop() {
			draw()
		}
		report(b, work, e.Set(), e.Workers())
	})
}
