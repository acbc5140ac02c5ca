package bench

import (
	"io/fs"
	"testing"

	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/models/emoji"
	"github.com/lanewise/lanewise/tensor"
	"github.com/lanewise/lanewise/unet"
)

// BenchmarkUNet is a forward pass of the emoji model, of one image and of the two that guidance
// takes. Its operations are those of products and attention.
func BenchmarkUNet(b *testing.B) {
	const side, flop = 32, 0.905e9 // of one image
	dir, err := fs.Sub(emoji.Files(), "unet")
	if err != nil {
		b.Fatal(err)
	}
	for _, batch := range []int{1, 2} {
		each(b, kerneltest.Name("model", "emoji", "b", batch), flop*float64(batch), func(b *testing.B, e *engine.Engine) {
			m, err := unet.Load(e, dir)
			if err != nil {
				b.Fatal(err)
			}
			s, err := m.Session(batch, side, side)
			if err != nil {
				b.Fatal(err)
			}
			tokens := tensor.MakeMat(16, m.Config.ContextDim)
			copy(tokens.Data, random(len(tokens.Data)))
			bound, err := s.Bind(cond.Cond{Context: []cond.Context{{Tokens: tokens}}})
			if err != nil {
				b.Fatal(err)
			}
			x, out := tensor.Make(1, side, side, m.Config.InChannels), tensor.Make(batch, side, side, m.Config.OutChannels)
			copy(x.Data, random(len(x.Data)))
			forward := func() {
				if err := bound.Forward(b.Context(), out, x, 999); err != nil {
					b.Fatal(err)
				}
			}
			s.Program().Measure(true)
			forward()
			work := s.Program().Profile().Total().Cost.FLOP
			s.Program().Measure(false)
			for b.Loop() {
				forward()
			}
			report(b, work, e.Set(), e.Workers())
		})
	}
}
