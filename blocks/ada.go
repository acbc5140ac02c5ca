package blocks

import (
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/norm"
	"github.com/lanewise/lanewise/program"
)

// Modulation is what a condition makes of a part of a transformer block (Peebles & Xie 2023, "Scalable
// Diffusion Models with Transformers"):
//
//	y = gate·part(norm(x)·(1 + scale) + shift)
//
// Each is images × channels. The zero Value stands for a shift or a scale of 0, a gate of 1; a shift
// and a scale are there together.
type Modulation struct{ Shift, Scale, Gate program.Value }

// twoModulations cuts columns into those of the attention and of the feed-forward network, each shift,
// scale, gate: the order of AdaLayerNormZero and AdaLayerNormSingle.
func twoModulations(columns program.Value) (attention, feedForward Modulation) {
	c := columns.C / 6
	part := func(i int) program.Value { return columns.Channels(i*c, (i+1)*c) }
	return Modulation{part(0), part(1), part(2)}, Modulation{part(3), part(4), part(5)}
}

// NormOptions are what a norm of rows is like. The zero value is a layer norm without weights and eps.
type NormOptions struct {
	Eps          float64
	Scale, Shift bool // "weight", "bias"
	RMS          bool // rows are divided by their root mean square, and keep their mean
}

// Norm is LayerNorm with options: it loads "weight" and "bias" where there are such.
func (l *Loader) Norm(name string, channels int, o NormOptions) *LayerNorm {
	n := &LayerNorm{Name: name, affine: norm.Affine{Eps: float32(o.Eps)}, rms: o.RMS}
	if o.Scale {
		n.affine.Scale = l.Vector(name+".weight", channels)
	}
	if o.Shift {
		n.affine.Shift = l.Vector(name+".bias", channels)
	}
	return n
}

// BuildAda appends dst = norm(src)·(1 + m.Scale) + m.Shift, row by row. dst may be src.
func (n *LayerNorm) BuildAda(g *Graph, dst, src program.Value, m Modulation) {
	g.Add(program.Op{
		Name: n.Name, Kind: "norm", Dst: dst, Src: []program.Value{src, m.Scale, m.Shift},
		Bind: func(mem program.Memory) func() {
			d, s, scale, shift := mem.Mat(dst), mem.Mat(src), mem.Mat(m.Scale), mem.Mat(m.Shift)
			switch {
			case n.rms:
				return func() { norm.RMS(g.Engine, d, s, scale.Rows, n.affine, scale, shift) }
			case scale.Data != nil:
				return func() { norm.Ada(g.Engine, d, s, scale.Rows, n.affine, scale, shift) }
			}
			return func() { norm.Layer(g.Engine, d, s, n.affine) }
		},
	})
}

// AdaNorm is a norm whose modulation is linear in a condition c,
//
//	y = norm(x)·(1 + scale) + shift    with [scale | shift] = linear(c)
//
// which is diffusers' AdaLayerNormContinuous, and what stands before the last layer of DiT.
type AdaNorm struct {
	norm       *LayerNorm
	linear     *Linear
	shiftFirst bool
}

// AdaNormOptions are what an AdaNorm is like.
type AdaNormOptions struct {
	NormOptions
	Width      int  // of the condition
	Bias       bool // the linear layer has one
	ShiftFirst bool // the columns of the linear layer are [shift | scale]
}

// AdaNorm loads the weights of two modules, a norm and a linear layer.
func (l *Loader) AdaNorm(norm, linear string, channels int, o AdaNormOptions) *AdaNorm {
	return &AdaNorm{
		norm:       l.Norm(norm, channels, o.NormOptions),
		linear:     l.Linear(linear, o.Width, 2*channels, o.Bias),
		shiftFirst: o.ShiftFirst,
	}
}

// modulation appends what the condition c, a row for each image, makes of the norm.
func (n *AdaNorm) modulation(g *Graph, c program.Value) Modulation {
	v := g.Mat(c.Rows(), n.linear.Out)
	n.linear.Build(g, v, c, Fuse{})
	m := Modulation{Scale: v.Channels(0, v.C/2), Shift: v.Channels(v.C/2, v.C)}
	if n.shiftFirst {
		m.Scale, m.Shift = m.Shift, m.Scale
	}
	return m
}

// Build appends dst = the norm of src under the condition c, a row for each image, which has its
// activation behind it. dst may be src.
func (n *AdaNorm) Build(g *Graph, dst, src, c program.Value) {
	n.norm.BuildAda(g, dst, src, n.modulation(g, c))
}

// StepNorm is diffusers' AdaLayerNorm: a norm whose modulation depends on a time step, an integer that
// selects a row of a table,
//
//	y = norm(x)·(1 + scale) + shift    with [scale | shift] = linear(silu(emb[step]))
type StepNorm struct {
	Steps int // rows of the table

	name string
	emb  *Table
	norm *AdaNorm
}

// StepNorm loads "emb", steps × o.Width, "linear" with o.Bias, and "norm" where it has weights.
func (l *Loader) StepNorm(name string, channels, steps int, o AdaNormOptions) *StepNorm {
	return &StepNorm{
		Steps: steps, name: name,
		emb:  l.Table(name+".emb", steps, o.Width),
		norm: l.AdaNorm(name+".norm", name+".linear", channels, o),
	}
}

// modulation appends what the graph's Steps make of the norm.
func (n *StepNorm) modulation(g *Graph, images int) Modulation {
	c := g.Mat(images, n.emb.rows.Cols)
	g.Add(program.Op{Name: n.emb.Name, Kind: "embedding", Dst: c, Bind: func(m program.Memory) func() {
		d := m.Mat(c)
		return func() {
			for i := range d.Rows {
				copy(d.Row(i), n.emb.Row(g.Steps[i]))
			}
		}
	}})
	g.Activate(n.name+".silu", c, c, kernels.SiLU)
	return n.norm.modulation(g, c)
}

// Build appends dst = the norm of src at the graph's Steps. dst may be src.
func (n *StepNorm) Build(g *Graph, dst, src program.Value) {
	n.norm.norm.BuildAda(g, dst, src, n.modulation(g, src.N))
}

// AdaLayerNormZero is the norm before the attention of a DiT block. What its linear layer makes of the
// condition modulates the block's feed-forward network too.
type AdaLayerNormZero struct {
	norm   *LayerNorm
	linear *TimeProjection
}

// AdaLayerNormZero loads nothing yet: "linear" is left to conditions, which project a condition that
// has a SiLU behind it for all blocks at once. The norm has no weights.
func (l *Loader) AdaLayerNormZero(name string, channels int, eps float64, conditions *TimeProjections) *AdaLayerNormZero {
	return &AdaLayerNormZero{
		norm:   l.Norm(name+".norm", channels, NormOptions{Eps: eps}),
		linear: conditions.add(name+".linear", 6*channels, nil),
	}
}

// Modulations returns what modulates the attention and the feed-forward network.
func (n *AdaLayerNormZero) Modulations(g *Graph) (attention, feedForward Modulation) {
	return twoModulations(n.linear.of(g))
}

// Build appends dst = the norm of src as the attention takes it. dst may be src.
func (n *AdaLayerNormZero) Build(g *Graph, dst, src program.Value) {
	attention, _ := n.Modulations(g)
	n.norm.BuildAda(g, dst, src, attention)
}

// ScaleShiftTable is what tells the blocks of PixArt apart: each adds a table of its own to the
// modulations that all have in common (Chen et al. 2023, "PixArt-α", adaLN-single).
type ScaleShiftTable struct {
	name   string
	values []float32 // row by row
}

// ScaleShiftTable loads a tensor of rows × channels.
func (l *Loader) ScaleShiftTable(name string, rows, channels int) *ScaleShiftTable {
	return &ScaleShiftTable{name, l.Tensor(name, rows, channels)}
}

// Build appends, and returns, the rows of the table side by side plus those of src: images × (rows ·
// channels). src is as wide, or a divisor, and then repeated.
func (t *ScaleShiftTable) Build(g *Graph, src program.Value) program.Value {
	dst := g.Mat(src.Rows(), len(t.values))
	g.Add(program.Op{Name: t.name, Kind: "embedding", Dst: dst, Src: []program.Value{src}, Bind: func(m program.Memory) func() {
		d, s := m.Mat(dst), m.Mat(src)
		return func() {
			for i := range d.Rows {
				to, from := d.Row(i), s.Row(i)
				for at := 0; at < len(to); at += len(from) {
					for c, v := range from {
						to[at+c] = v + t.values[at+c]
					}
				}
			}
		}
	}})
	return dst
}
