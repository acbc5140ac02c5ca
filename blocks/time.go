package blocks

import (
	"math"

	"github.com/lanewise/lanewise/internal/portable"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
)

// Sinusoid turns a time t into dim numbers: with half = dim/2, for i < half,
//
//	f[i] = 10000^(−i/(half−shift))
//	y = [sin(t·f) | cos(t·f)]
//
// or the cosines first, and a zero at the end where dim is odd (Vaswani et al. 2017, as in
// diffusers' get_timestep_embedding). Products are rounded to float32 as they are there; the
// functions are those of package portable, so a time means the same bits on every machine.
type Sinusoid struct {
	Dim int

	frequencies []float32
	cosFirst    bool
}

// NewSinusoid returns the embedding of dim numbers. dim/2 must not be shift.
func NewSinusoid(dim int, cosFirst bool, shift float64) *Sinusoid {
	half := dim / 2
	s := &Sinusoid{Dim: dim, frequencies: make([]float32, half), cosFirst: cosFirst}
	for i := range s.frequencies {
		exponent := float32(float32(-math.Ln10*4)*float32(i)) / float32(float64(half)-shift)
		s.frequencies[i] = float32(portable.Exp(float64(exponent)))
	}
	return s
}

// Embed fills dst, Dim values, for time t.
func (s *Sinusoid) Embed(dst []float32, t float64) {
	half := len(s.frequencies)
	sin, cos := dst[:half], dst[half:2*half]
	if s.cosFirst {
		sin, cos = cos, sin
	}
	for i, f := range s.frequencies {
		a := float64(float32(float32(t) * f))
		sin[i], cos[i] = float32(portable.Sin(a)), float32(portable.Cos(a))
	}
	clear(dst[2*half:])
}

// Build appends dst = the embedding of times, one row for each. times is read on every run.
func (s *Sinusoid) Build(g *Graph, name string, dst program.Value, times []float64) {
	g.Add(program.Op{Name: name, Kind: "embedding", Dst: dst, Bind: func(m program.Memory) func() {
		d := m.Mat(dst)
		return func() {
			for i, t := range times {
				if i > 0 && t == times[i-1] {
					copy(d.Row(i), d.Row(i-1))
					continue
				}
				s.Embed(d.Row(i), t)
			}
		}
	}})
}

// TimeEmbedding is the network that turns a sinusoid into the time embedding:
// y = post(linear_2(act(linear_1(x)))).
type TimeEmbedding struct {
	linear1, linear2 *Linear
	act, post        kernels.Act
}

// TimeEmbedding loads "linear_1" and "linear_2".
func (l *Loader) TimeEmbedding(name string, in, out int, act, post kernels.Act) *TimeEmbedding {
	return &TimeEmbedding{
		linear1: l.Linear(name+".linear_1", in, out, true),
		linear2: l.Linear(name+".linear_2", out, out, true),
		act:     act, post: post,
	}
}

// Build appends dst = the embedding of src, row by row.
func (t *TimeEmbedding) Build(g *Graph, dst, src program.Value) {
	h := g.Mat(src.Rows(), t.linear1.Out)
	t.linear1.Build(g, h, src, Fuse{Act: t.act})
	t.linear2.Build(g, dst, h, Fuse{Act: t.post})
}

// TimeProjections are the layers of all residual blocks of a model that project the time
// embedding, as one: there are dozens of them, and each has only as many rows as there are images.
type TimeProjections struct {
	in     int
	parts  []Part
	biases [][]float32 // for each part what is added to its bias, nil for nothing
	width  int
	linear *Linear
}

// NewTimeProjections returns the projections of a time embedding of the given width. Residual
// blocks add theirs as they are loaded.
func NewTimeProjections(width int) *TimeProjections { return &TimeProjections{in: width} }

// TimeProjection is one of TimeProjections: the columns of their output that it fills.
type TimeProjection struct{ from, to int }

// of returns the projection's columns in a graph.
func (p *TimeProjection) of(g *Graph) program.Value { return g.Time.Channels(p.from, p.to) }

// add announces a layer of that name and width, to whose own bias another is added.
func (t *TimeProjections) add(name string, width int, bias []float32) *TimeProjection {
	p := &TimeProjection{t.width, t.width + width}
	t.parts = append(t.parts, Part{name, width})
	t.biases = append(t.biases, bias)
	t.width = p.to
	return p
}

// Load loads "weight" and "bias" of all layers that were added.
func (t *TimeProjections) Load(l *Loader) {
	t.linear = l.Stack("time_emb_proj", t.in, true, t.parts...)
	at := 0
	for i, p := range t.parts {
		for c, b := range t.biases[i] {
			t.linear.bias[at+c] += b
		}
		at += p.Out
	}
}

// Build appends the projections of src, the time embedding after its activation, a row for each
// image, and makes them the graph's.
func (t *TimeProjections) Build(g *Graph, src program.Value) {
	g.Time = g.Mat(src.Rows(), t.width)
	t.linear.Build(g, g.Time, src, Fuse{})
}
