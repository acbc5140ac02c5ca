package blocks_test

import (
	"testing"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// Everything that a layer can do to its output on the way to memory.
func TestFuse(t *testing.T) {
	for _, c := range []struct {
		name         string
		gate         bool
		scale        float64
		act          kernels.Act
		ownBias      bool
		addsToItself bool
	}{
		{"alone", false, 0, kernels.Identity, true, false},
		{"gate", true, 0, kernels.GELU, true, true},
		{"gate and a bias for each image", true, 1, kernels.SiLU, false, false},
		{"scale", false, 0.75, kernels.SiLU, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inputs := []tensor.NHWC{image(1, 2, 3, 4, 6), image(2, 2, 3, 4, 5), image(3, 2, 1, 1, 5), image(4, 2, 1, 1, 5)}
			judge(t, func(l *blocks.Loader) *blocks.Linear { return l.Linear("l", 6, 5, true) }, inputs,
				func(g *blocks.Graph, l *blocks.Linear, in []tensor.NHWC) program.Value {
					x, y := input(g, "x", in[0]), input(g, "add", in[1])
					f := blocks.Fuse{Act: c.act, Scale: c.scale, Add: y}
					if c.gate {
						f.Gate = input(g, "gate", in[2])
					}
					if !c.ownBias {
						f.ImageBias = input(g, "bias", in[3])
					}
					to := y
					if !c.addsToItself {
						to = g.Image(y.N, y.H, y.W, y.C)
					}
					l.Build(g, to, x, f)
					return to
				},
				func(w weights, in []picture) picture {
					if !c.ownBias {
						w = weights{"l.weight": w["l.weight"], "l.bias": in[3].v}
					}
					y := in[0].linear(w, "l").act(c.act)
					if c.gate {
						y = y.each(func(i int, v float64) float64 { return v * in[2].v[i%5] })
					}
					if c.scale != 0 {
						y = y.times(c.scale)
					}
					return y.plus(in[1])
				})
		})
	}
}

func TestFusePanics(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	l, _ := load(t, e, func(l *blocks.Loader) *blocks.Linear { return l.Linear("l", 2, 2, false) })
	panics(t, "both a gate and a scale", func() {
		g := &blocks.Graph{Engine: e}
		x := input(g, "x", image(1, 1, 1, 1, 2))
		l.Build(g, g.Mat(1, 2), x, blocks.Fuse{Gate: x, Scale: 2})
		g.Build()
	})
}
