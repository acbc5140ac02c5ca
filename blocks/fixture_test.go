package blocks_test

import (
	"fmt"
	"io/fs"
	"math"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/internal/ref"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/safetensors"
	"github.com/lanewise/lanewise/tensor"
)

// weights are random ones, by name, in float64. One that no block asked for is nil.
type weights map[string][]float64

// load loads a block whose weights are random.
func load[B any](t *testing.T, e *engine.Engine, f func(l *blocks.Loader) B) (block B, w weights) {
	t.Helper()
	files := modeltest.Files("{}", "model", 1, func(fsys fs.FS) error {
		c, err := safetensors.OpenSharded(fsys, "model")
		if err != nil {
			return err
		}
		defer c.Close()
		l := blocks.NewLoader(e, c, "test")
		block = f(l)
		if unused := l.Unused(); len(unused) > 0 && l.Err() == nil {
			t.Errorf("unused %v", unused)
		}
		return l.Err()
	})
	w = make(weights)
	for name, v := range modeltest.Read(files, "model") {
		w[name] = kerneltest.Float64s(v.Data)
	}
	return block, w
}

// input appends a value that holds x on every run.
func input(g *blocks.Graph, name string, x tensor.NHWC) program.Value {
	v := g.Image(x.N, x.H, x.W, x.C)
	g.Add(program.Op{Name: name, Dst: v, Bind: func(m program.Memory) func() {
		dst := m.Image(v)
		return func() { tensor.Copy(dst, x) }
	}})
	return v
}

// run runs what build appends to a graph, often, and returns the value that it returns. No run but the
// first may allocate.
func run(t *testing.T, e *engine.Engine, build func(g *blocks.Graph) program.Value) tensor.NHWC {
	t.Helper()
	g := &blocks.Graph{Engine: e}
	v := build(g)
	out := tensor.Make(v.N, v.H, v.W, v.C)
	g.Add(program.Op{Name: "output", Src: []program.Value{v}, Bind: func(m program.Memory) func() {
		src := m.Image(v)
		return func() { tensor.Copy(out, src) }
	}})
	p, ctx := g.Build(), t.Context()
	forward := func() {
		if err := p.Run(ctx); err != nil {
			t.Fatal(err)
		}
	}
	forward()
	kerneltest.NoAllocations(t, "a run", forward)
	return out
}

// image returns a random batch of images.
func image(seed uint64, n, h, w, c int) tensor.NHWC {
	return tensor.NHWC{N: n, H: h, W: w, C: c, Stride: c, Data: kerneltest.Random(seed, n*h*w*c)}
}

// judge runs a block on two images over every Set. The result must be what the reference says, image by
// image, the same bits for any number of workers, and for the images together or alone. inputs are
// all operands that have an image each.
func judge[B any](t *testing.T, f func(l *blocks.Loader) B, inputs []tensor.NHWC,
	build func(g *blocks.Graph, b B, in []tensor.NHWC) program.Value, want func(w weights, in []picture) picture) {
	t.Helper()
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		var first tensor.NHWC
		for _, workers := range []int{1, 2, 7} {
			e := kerneltest.Engine(t, set, workers)
			b, w := load(t, e, f)
			got := run(t, e, func(g *blocks.Graph) program.Value { return build(g, b, inputs) })
			if workers > 1 {
				kerneltest.Same(t, fmt.Sprint(workers, " workers"), got.Data, first.Data)
				continue
			}
			first = got
			for n := range got.N {
				var in []tensor.NHWC
				var pictures []picture
				for _, x := range inputs {
					in = append(in, x.Images(n, n+1))
					pictures = append(pictures, pictureOf(x.Images(n, n+1)))
				}
				one := run(t, e, func(g *blocks.Graph) program.Value { return build(g, b, in) })
				kerneltest.Same(t, fmt.Sprint("image ", n, " alone"), one.Data, got.Images(n, n+1).Data)
				p := want(w, pictures)
				if p.h != one.H || p.w != one.W || p.c != one.C {
					t.Fatalf("an image of %s, want %d×%d×%d", one.Shape(), p.h, p.w, p.c)
				}
				kerneltest.Near(t, fmt.Sprint("image ", n), one.Data, p.v, func(i int) float64 { return 1e-5 * (1 + math.Abs(p.v[i])) })
			}
		}
	})
}

// picture is one image of the reference.
type picture struct {
	h, w, c int
	v       []float64
}

func pictureOf(x tensor.NHWC) picture { return picture{x.H, x.W, x.C, kerneltest.Float64s(x.Data)} }

// each returns f of every value.
func (p picture) each(f func(i int, v float64) float64) picture {
	q := picture{p.h, p.w, p.c, make([]float64, len(p.v))}
	for i, v := range p.v {
		q.v[i] = f(i, v)
	}
	return q
}

func (p picture) act(act kernels.Act) picture {
	return p.each(func(_ int, v float64) float64 { return ref.Acts[act.String()](v) })
}

func (p picture) plus(q picture) picture {
	return p.each(func(i int, v float64) float64 { return v + q.v[i] })
}

func (p picture) times(x float64) picture {
	return p.each(func(_ int, v float64) float64 { return x * v })
}

// linear is a linear layer, with a bias where there is one, over the pixels.
func (p picture) linear(w weights, name string) picture {
	weight := w[name+".weight"]
	out := len(weight) / p.c
	y, _ := ref.Linear(p.h*p.w, out, p.c, p.v, weight)
	return picture{p.h, p.w, out, y}.bias(w, name)
}

func (p picture) bias(w weights, name string) picture {
	b := w[name+".bias"]
	return p.each(func(i int, v float64) float64 {
		if b != nil {
			v += b[i%p.c]
		}
		return v
	})
}

// conv is a k × k convolution with zeros above, left, below and right.
func (p picture) conv(w weights, name string, k, stride int, pad ...int) picture {
	weight := w[name+".weight"]
	c := ref.Conv{N: 1, H: p.h, W: p.w, In: p.c, Out: len(weight) / (p.c * k * k), KH: k, KW: k, Stride: stride,
		Top: pad[0], Left: pad[1], Bottom: pad[2], Right: pad[3]}
	oh, ow := c.Size()
	y, _ := c.Apply(p.v, weight)
	return picture{oh, ow, c.Out, y}.bias(w, name)
}

func (p picture) groupNorm(w weights, name string, groups int, eps float64) picture {
	return picture{p.h, p.w, p.c, ref.GroupNorm(p.v, p.c, groups, w[name+".weight"], w[name+".bias"], eps)}
}

// layerNorm is the norm of every pixel.
func (p picture) layerNorm(w weights, name string, eps float64) picture {
	y := picture{p.h, p.w, p.c, nil}
	for r := range p.h * p.w {
		y.v = append(y.v, ref.LayerNorm(p.v[r*p.c:(r+1)*p.c], w[name+".weight"], w[name+".bias"], eps)...)
	}
	return y
}

// modulated is x·(1+scale) + shift with a vector of scales and then of shifts.
func (p picture) modulated(m []float64) picture {
	return p.each(func(i int, v float64) float64 { return v*(1+m[i%p.c]) + m[p.c+i%p.c] })
}

func (p picture) nearest(h, w int) picture {
	return picture{h, w, p.c, ref.Nearest(1, p.h, p.w, p.c, h, w, p.v)}
}

func (p picture) halved() picture {
	h, w := p.h/2, p.w/2
	return picture{h, w, p.c, ref.AveragePool(1, p.h, p.w, p.c, 2, h, w, p.v)}
}

// attend is the attention of the pixels to keys and values, whose masks are added.
func (p picture) attend(k, v picture, heads int, scale float64, mask []float64) picture {
	return picture{p.h, p.w, p.c, ref.Attend(p.v, k.v, v.v, mask, p.c, heads, scale)}
}

// stacked is the pixels of p and then those of q.
func (p picture) stacked(q picture) picture {
	return picture{p.h*p.w + q.h*q.w, 1, p.c, append(append([]float64(nil), p.v...), q.v...)}
}

// panics checks that f panics, and says so.
func panics(t *testing.T, says string, f func()) {
	t.Helper()
	defer func() {
		if got := fmt.Sprint(recover()); !strings.Contains(got, says) {
			t.Errorf("panic %q, want one with %q", got, says)
		}
	}()
	f()
}
