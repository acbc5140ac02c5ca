package bench

import (
	"testing"

	"github.com/lanewise/lanewise/bench/internal/measure"
	"github.com/lanewise/lanewise/bench/shapes"
	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

// BenchmarkConv is a convolution that keeps the image's size, or halves it, with a bias, by every algorithm
// that it has and by the one that is chosen for it (alg=auto). Its operations are counted as of the direct
// sum, whatever the algorithm.
func BenchmarkConv(b *testing.B) {
	benchmarkConv(b, "conv", func(c measure.Conv) string {
		return kerneltest.Name("b", c.N, "h", c.H, "w", c.W, "in", c.In, "out", c.Out, "k", c.Geometry.KH, "s", c.Geometry.Stride)
	})
}

// BenchmarkUpsample is a 3 × 3 convolution of an image enlarged to twice the size, h × w being the size
// before. Its operations are counted as of the direct sum on the enlarged image, which alg=direct takes.
func BenchmarkUpsample(b *testing.B) {
	benchmarkConv(b, "upsample", func(c measure.Conv) string {
		return kerneltest.Name("b", c.N, "h", c.H, "w", c.W, "in", c.In, "out", c.Out)
	})
}

func benchmarkConv(b *testing.B, kind string, name func(measure.Conv) string) {
	layers, err := measure.Convs(shapes.Files, kind)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range layers {
		type key struct {
			isa  kernels.ISA
			plan conv.Plan
		}
		var images *measure.Images // made by the first that runs, for all, as are the weights
		packed := map[key]*conv.Packed{}
		algorithm := func(plan func(p *conv.Packed) conv.Plan) func(b *testing.B, e *engine.Engine) {
			return func(b *testing.B, e *engine.Engine) {
				if images == nil {
					images = c.Images()
				}
				direct := key{e.Set().ISA, conv.Plan{Algorithm: conv.Direct}}
				if packed[direct] == nil {
					packed[direct] = c.Pack(e)
				}
				k := key{direct.isa, plan(packed[direct])}
				if packed[k] == nil {
					packed[k] = packed[direct].With(e, k.plan)
				}
				weights := packed[k]
				images.Apply(e, weights)
				for b.Loop() {
					images.Apply(e, weights)
				}
				report(b, c.FLOP(), e.Set(), e.Workers())
			}
		}
		each(b, name(c)+"/alg=auto", c.FLOP(), algorithm(c.Auto))
		for _, plan := range c.Plans() {
			each(b, name(c)+"/alg="+plan.String(), c.FLOP(), algorithm(func(*conv.Packed) conv.Plan { return plan }))
		}
	}
}
