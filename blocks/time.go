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
// diffusers' get_timestep_embedding). Frequencies and products are the float32s that they are there, a
// frequency's last bit included, which makes 6e-5 of a late step's sine; the functions are those of
// package portable, so a time means the same bits on every machine.
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
		s.frequencies[i] = portable.Exp32(exponent)
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
//
//	y = post(linear_2(act(linear_1(x + cond_proj(c)))))
//
// where c, in models that have it, is an embedding of what else is told about the step: the guidance
// scale of a distilled model (Luo et al. 2023, "Latent Consistency Models").
type TimeEmbedding struct {
	linear1, linear2 *Linear
	cond             *Linear // nil where there is none
	act, post        kernels.Act
}

// TimeEmbeddingOptions are what the network is like besides its widths.
type TimeEmbeddingOptions struct {
	Act, Post kernels.Act // between and behind the layers
	Hidden    int         // columns between the layers; 0 means those of the output
	Cond      int         // columns of c; 0 where there is none
	NoBias    bool        // of either layer
}

// TimeEmbedding loads "linear_1" and "linear_2", and "cond_proj", without a bias, where there is one.
func (l *Loader) TimeEmbedding(name string, in, out int, o TimeEmbeddingOptions) *TimeEmbedding {
	hidden := o.Hidden
	if hidden == 0 {
		hidden = out
	}
	t := &TimeEmbedding{
		linear1: l.Linear(name+".linear_1", in, hidden, !o.NoBias),
		linear2: l.Linear(name+".linear_2", hidden, out, !o.NoBias),
		act:     o.Act, post: o.Post,
	}
	if o.Cond > 0 {
		t.cond = l.Linear(name+".cond_proj", o.Cond, in, false)
	}
	return t
}

// Build appends dst = the embedding of src, row by row, with no c.
func (t *TimeEmbedding) Build(g *Graph, dst, src program.Value) {
	h := g.Mat(src.Rows(), t.linear1.Out)
	t.linear1.Build(g, h, src, Fuse{Act: t.act})
	t.linear2.Build(g, dst, h, Fuse{Act: t.post})
}

// BuildCond appends dst = the embedding of src and cond, row by row, of a network that has "cond_proj".
func (t *TimeEmbedding) BuildCond(g *Graph, dst, src, cond program.Value) {
	x := g.Mat(src.Rows(), src.C)
	t.cond.Build(g, x, cond, Fuse{Add: src})
	t.Build(g, dst, x)
}

// TimeProjections are the layers of all blocks of a model that project the time embedding, as one:
// there are dozens of them, and each has only as many rows as there are images. A model whose blocks
// want different things projected, the embedding and its activation say, has several of them.
type TimeProjections struct {
	// NoBias says that the layers have no biases.
	NoBias bool

	in     int
	parts  []Part
	biases [][]float32 // for each part what is added to its bias, nil for nothing
	width  int
	linear *Linear // nil where no block wants any
}

// NewTimeProjections returns the projections of a time embedding of the given width. Blocks add
// theirs as they are loaded.
func NewTimeProjections(width int) *TimeProjections { return &TimeProjections{in: width} }

// Width is how many columns the projections have that were added so far.
func (t *TimeProjections) Width() int { return t.width }

// TimeProjection is one of TimeProjections: the columns of their output that it fills.
type TimeProjection struct {
	all      *TimeProjections
	from, to int
}

// of returns the projection's columns in a graph.
func (p *TimeProjection) of(g *Graph) program.Value {
	all, ok := g.times[p.all]
	if !ok {
		panic("blocks: a block comes before the time projections that it reads")
	}
	return all.Channels(p.from, p.to)
}

// add announces a layer of that name and width, to whose own bias another is added.
func (t *TimeProjections) add(name string, width int, bias []float32) *TimeProjection {
	p := &TimeProjection{t, t.width, t.width + width}
	t.parts = append(t.parts, Part{name, width})
	t.biases = append(t.biases, bias)
	t.width = p.to
	return p
}

// Load loads "weight", and "bias" where there are such, of all layers that were added.
func (t *TimeProjections) Load(l *Loader) {
	if t.width == 0 {
		return
	}
	t.linear = l.Stack("time_emb_proj", t.in, !t.NoBias, t.parts...)
	if t.linear.w == nil {
		return
	}
	if t.NoBias {
		t.linear.bias = make([]float32, t.width)
	}
	at := 0
	for i, p := range t.parts {
		for c, b := range t.biases[i] {
			t.linear.bias[at+c] += b
		}
		at += p.Out
	}
}

// Build appends the projections of src, a row for each image: the time embedding, or its activation, as
// the blocks want it. Blocks built from then on read them.
func (t *TimeProjections) Build(g *Graph, src program.Value) {
	if t.width == 0 {
		return
	}
	if g.times == nil {
		g.times = make(map[*TimeProjections]program.Value)
	}
	all := g.Mat(src.Rows(), t.width)
	t.linear.Build(g, all, src, Fuse{})
	g.times[t] = all
}
