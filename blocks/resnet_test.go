package blocks_test

import (
	"testing"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// timedResNet is a residual block with what projects its time.
type timedResNet struct {
	*blocks.ResNet
	time *blocks.TimeProjections
}

// resnet is ResnetBlock2D in the order of diffusers' code.
func resnet(w weights, x, time picture, o blocks.ResNetOptions) picture {
	resize := func(p picture) picture {
		switch {
		case o.Up:
			return p.nearest(2*p.h, 2*p.w)
		case o.Down:
			return p.halved()
		}
		return p
	}
	groupsOut := o.GroupsOut
	if groupsOut == 0 {
		groupsOut = o.Groups
	}
	norm := func(p picture, name string, groups int) picture {
		p = p.groupNorm(w, name, groups, o.Eps)
		if o.AdaGroup {
			p = p.modulated(time.linear(w, name+".linear").v)
		}
		return p
	}
	h := resize(norm(x, "r.norm1", o.Groups).act(o.Act)).conv(w, "r.conv1", 3, 1, 1, 1, 1, 1)
	switch projected := w["r.time_emb_proj.weight"] != nil; {
	case projected && o.ScaleShift:
		h = norm(h, "r.norm2", groupsOut).modulated(time.linear(w, "r.time_emb_proj").v)
	case projected:
		added := time.linear(w, "r.time_emb_proj").v
		h = norm(h.each(func(i int, v float64) float64 { return v + added[i%h.c] }), "r.norm2", groupsOut)
	default:
		h = norm(h, "r.norm2", groupsOut)
	}
	h = h.act(o.Act).conv(w, "r.conv2", 3, 1, 1, 1, 1, 1)
	x = resize(x)
	if w["r.conv_shortcut.weight"] != nil {
		x = x.linear(w, "r.conv_shortcut")
	}
	y := x.plus(h)
	if o.OutScale != 0 {
		y = y.times(1 / o.OutScale)
	}
	return y
}

func TestResNet(t *testing.T) {
	const timeDim = 12
	for _, c := range []struct {
		name    string
		in, out int
		h, w    int
		timed   bool
		o       blocks.ResNetOptions
	}{
		{"no time", 16, 8, 5, 7, false, blocks.ResNetOptions{}},
		{"one pixel", 8, 24, 1, 1, true, blocks.ResNetOptions{}},
		{"a shortcut that could be none", 8, 8, 3, 4, true, blocks.ResNetOptions{Shortcut: true, NoShortcutBias: true}},
		{"scale and shift", 8, 16, 6, 5, true, blocks.ResNetOptions{ScaleShift: true, GroupsOut: 8}},
		{"ada group", 8, 16, 4, 5, true, blocks.ResNetOptions{AdaGroup: true, Act: kernels.Mish}},
		{"ada group down", 16, 16, 4, 6, true, blocks.ResNetOptions{AdaGroup: true, Down: true}},
		{"down, odd", 8, 16, 7, 5, true, blocks.ResNetOptions{Down: true}},
		{"down, same channels", 8, 8, 6, 9, true, blocks.ResNetOptions{Down: true, ScaleShift: true}},
		{"up, odd", 16, 8, 3, 5, true, blocks.ResNetOptions{Up: true}},
		{"up, same channels", 8, 8, 2, 3, false, blocks.ResNetOptions{Up: true, Act: kernels.GELU}},
		{"scaled", 8, 8, 4, 3, true, blocks.ResNetOptions{OutScale: 1.4142}},
		{"scaled, shortcut", 8, 12, 4, 3, true, blocks.ResNetOptions{OutScale: 2, GroupsOut: 3}},
		{"scaled, up", 8, 8, 4, 3, true, blocks.ResNetOptions{OutScale: 1.5, Up: true}},
		{"scaled, down", 8, 8, 4, 4, true, blocks.ResNetOptions{OutScale: 1.5, Down: true}},
		{"channels between", 8, 16, 4, 4, true, blocks.ResNetOptions{Hidden: 24, ScaleShift: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := c.o
			o.Groups, o.Eps = 4, 1e-5
			if o.Act == kernels.Identity {
				o.Act = kernels.SiLU
			}
			inputs := []tensor.NHWC{image(1, 2, c.h, c.w, c.in), image(2, 2, 1, 1, timeDim)}
			judge(t, func(l *blocks.Loader) timedResNet {
				o := o
				r := timedResNet{time: blocks.NewTimeProjections(timeDim)}
				if c.timed {
					o.Time = r.time
				}
				r.ResNet = l.ResNet("r", c.in, c.out, o)
				r.time.Load(l)
				return r
			}, inputs, func(g *blocks.Graph, r timedResNet, in []tensor.NHWC) program.Value {
				r.time.Build(g, input(g, "time", in[1]))
				x := input(g, "x", in[0])
				y := r.Image(g, x)
				if h, w := r.Size(x.H, x.W); y.H != h || y.W != w || y.C != c.out {
					t.Errorf("an image of %d×%d×%d for a size of %d×%d", y.H, y.W, y.C, h, w)
				}
				r.Build(g, y, x)
				return y
			}, func(w weights, in []picture) picture { return resnet(w, in[0], in[1], o) })
		})
	}
}

// Blocks that want the time embedding and blocks that want its activation live side by side.
func TestTimeProjections(t *testing.T) {
	const timeDim = 6
	type both struct {
		raw, activated   *blocks.TimeProjections
		first, second, x *blocks.ResNet
	}
	o := blocks.ResNetOptions{Groups: 2, Eps: 1e-6, Act: kernels.SiLU}
	judge(t, func(l *blocks.Loader) both {
		b := both{raw: blocks.NewTimeProjections(timeDim), activated: blocks.NewTimeProjections(timeDim)}
		raw, activated := o, o
		raw.Time, activated.Time = b.raw, b.activated
		b.first = l.ResNet("a", 4, 4, activated)
		b.second = l.ResNet("r", 4, 4, raw)
		b.x = l.ResNet("b", 4, 4, activated)
		b.raw.Load(l)
		b.activated.Load(l)
		return b
	}, []tensor.NHWC{image(1, 2, 3, 3, 4), image(2, 2, 1, 1, timeDim)}, func(g *blocks.Graph, b both, in []tensor.NHWC) program.Value {
		time, x, y := input(g, "time", in[1]), input(g, "x", in[0]), g.Image(in[0].N, 3, 3, 4)
		b.raw.Build(g, time)
		g.Activate("act", time, time, kernels.SiLU)
		b.activated.Build(g, time)
		b.first.Build(g, y, x)
		b.second.Build(g, x, y)
		b.x.Build(g, y, x)
		return y
	}, func(w weights, in []picture) picture {
		named := func(name string) weights {
			of := make(weights)
			for k, v := range w {
				if k[:2] == name+"." {
					of["r."+k[2:]] = v
				}
			}
			return of
		}
		x, time := in[0], in[1]
		x = resnet(named("a"), x, time.act(kernels.SiLU), o)
		x = resnet(named("r"), x, time, o)
		return resnet(named("b"), x, time.act(kernels.SiLU), o)
	})
}

// A block that was built before its time projections, and one whose output is of another size.
func TestResNetPanics(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	time := blocks.NewTimeProjections(3)
	r, _ := load(t, e, func(l *blocks.Loader) *blocks.ResNet {
		time = blocks.NewTimeProjections(3)
		r := l.ResNet("r", 4, 4, blocks.ResNetOptions{Groups: 2, Eps: 1e-6, Time: time})
		time.Load(l)
		return r
	})
	panics(t, "before the time projections", func() {
		g := &blocks.Graph{Engine: e}
		x := input(g, "x", image(1, 1, 2, 2, 4))
		r.Build(g, r.Image(g, x), x)
	})
	panics(t, "conv: src 1×2×2×4, dst 1×3×2×4", func() {
		g := &blocks.Graph{Engine: e}
		time.Build(g, input(g, "time", image(1, 1, 1, 1, 3)))
		x := input(g, "x", image(1, 1, 2, 2, 4))
		r.Build(g, g.Image(1, 3, 2, 4), x)
		_ = g.Build().Run(t.Context())
	})
}
