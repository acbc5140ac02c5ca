package blocks_test

import (
	"fmt"
	"testing"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// builder is a norm or a block.
type builder interface {
	Build(g *blocks.Graph, dst, src program.Value)
}

// apart is a residual block of as many channels as before, whose norms write images.
type apart struct {
	norm1, norm2 builder
	conv1, conv2 *blocks.Conv
}

func (p apart) Build(g *blocks.Graph, dst, x program.Value) {
	n, h := g.Image(x.N, x.H, x.W, x.C), g.Image(x.N, x.H, x.W, x.C)
	p.norm1.Build(g, n, x)
	p.conv1.Build(g, h, n, blocks.Fuse{})
	p.norm2.Build(g, h, h)
	p.conv2.Build(g, dst, h, blocks.Fuse{Add: x})
}

// A convolution of a large image by a Winograd algorithm applies the norm before it while it reads, and no bit
// differs. One by the direct algorithm does not, nor that of a small image.
func TestNormOnRead(t *testing.T) {
	if testing.Short() {
		t.Skip("an image that is large enough takes seconds")
	}
	const channels, groups, eps, timeDim = 32, 4, 1e-5, 3
	e := kerneltest.Engine(t, kernels.Available()[0], 2)
	type timed struct {
		builder
		time *blocks.TimeProjections
	}
	block := func(l *blocks.Loader, whole, ada bool) timed {
		b := timed{time: blocks.NewTimeProjections(timeDim)}
		norm := func(name string) builder {
			if ada {
				return l.AdaGroupNorm(name, channels, groups, eps, kernels.SiLU, b.time)
			}
			return l.GroupNorm(name, channels, groups, eps, kernels.SiLU)
		}
		if whole {
			o := blocks.ResNetOptions{Groups: groups, Eps: eps, Act: kernels.SiLU, AdaGroup: ada}
			if ada {
				o.Time = b.time
			}
			b.builder = l.ResNet("r", channels, channels, o)
		} else {
			b.builder = apart{norm("r.norm1"), norm("r.norm2"),
				l.Conv("r.conv1", channels, channels, conv.Same(3)), l.Conv("r.conv2", channels, channels, conv.Same(3))}
		}
		b.time.Load(l)
		return b
	}
	for _, c := range []struct {
		side   int
		by     conv.Algorithm
		ada    bool
		onRead bool
	}{
		{512, conv.Auto, false, true},
		{512, conv.Auto, true, true},
		{512, conv.Direct, false, false},
		{64, conv.Auto, false, false},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			x, step := image(1, 1, c.side, c.side, channels), image(2, 1, 1, 1, timeDim)
			// run returns what a block gives, and whether its first norm wrote an image.
			run := func(whole bool) (out tensor.NHWC, wrote bool) {
				b, _ := load(t, e, func(l *blocks.Loader) timed { return block(l, whole, c.ada) })
				g := &blocks.Graph{Engine: e, Options: blocks.Options{Conv: conv.Options{Algorithm: c.by}}}
				b.time.Build(g, input(g, "time", step))
				src := input(g, "x", x)
				y := g.Image(src.N, src.H, src.W, src.C)
				b.Build(g, y, src)
				p := g.Build()
				p.Observe(func(name string, v tensor.NHWC) {
					switch name {
					case "r.norm1":
						wrote = v.SameShape(x)
					case "r.conv2":
						out = tensor.Make(v.N, v.H, v.W, v.C)
						tensor.Copy(out, v)
					}
				})
				if err := p.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				return out, wrote
			}
			want, _ := run(false)
			got, wrote := run(true)
			kerneltest.Same(t, "block", got.Data, want.Data)
			if wrote == c.onRead {
				t.Errorf("the norm wrote an image: %t", wrote)
			}
		})
	}
}
