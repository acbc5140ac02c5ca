package blocks

import (
	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/program"
)

// Conv is a two-dimensional convolution, with a bias or without.
type Conv struct {
	Name string
	Out  int

	w    *conv.Packed
	bias []float32 // nil is none
}

// Conv loads "weight", out × in × kh × kw, and "bias".
func (l *Loader) Conv(name string, in, out int, g conv.Geometry) *Conv {
	c := l.Filter(name, in, out, g)
	c.bias = l.Vector(name+".bias", out)
	return c
}

// Filter loads a convolution without a bias: "weight" alone.
func (l *Loader) Filter(name string, in, out int, g conv.Geometry) *Conv {
	c := &Conv{Name: name, Out: out}
	if _, ok := l.find(name+".weight", out, in, g.KH, g.KW); !ok {
		return c
	}
	w := l.reserve(out * in * g.KH * g.KW)
	if l.read(w, name+".weight", out, in, g.KH, g.KW) {
		c.w = conv.Pack(l.Engine, w, out, in, g)
		l.bytes += c.w.Bytes()
	}
	return c
}

// Image makes a value for the layer's output from src.
func (c *Conv) Image(g *Graph, src program.Value) program.Value {
	h, w := c.w.Size(src.H, src.W)
	return g.Image(src.N, h, w, c.Out)
}

// Build appends dst = the convolution of src, with f. Its cost is that of the sum, whatever the
// algorithm: one that needs fewer multiplications may be seen to exceed the peak.
func (c *Conv) Build(g *Graph, dst, src program.Value, f Fuse) { c.build(g, dst, src, prologue{}, f) }

// build appends dst = the convolution of src after pro, with f.
func (c *Conv) build(g *Graph, dst, src program.Value, pro prologue, f Fuse) {
	choice := g.choice(c.w, dst, src)
	g.Add(program.Op{
		Name: c.Name, Kind: "conv", How: choice, Dst: dst, Src: append(f.values(src), pro.coefficients),
		Cost: func() program.Cost {
			k := c.w.In * c.w.KH * c.w.KW
			return program.Cost{FLOP: flops(dst.Rows(), k, c.Out), Bytes: float64(choice.weights.Bytes())}
		},
		Bind: func(m program.Memory) func() {
			w := choice.weights
			d, s, before, after := m.Image(dst), m.Image(src), pro.bind(m, c.w.In), f.bind(m, c.bias, c.Out)
			return func() { conv.Apply(g.Engine, d, s, w, before, after) }
		},
	})
}
