package blocks_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/ref"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// rms is every pixel divided by its root mean square, with a scale where there is one.
func (p picture) rms(w weights, name string, eps float64) picture {
	square := make([]float64, p.h*p.w)
	for i, v := range p.v {
		square[i/p.c] += v * v
	}
	gain := w[name+".weight"]
	return p.each(func(i int, v float64) float64 {
		v /= math.Sqrt(square[i/p.c]/float64(p.c) + eps)
		if gain != nil {
			v *= gain[i%p.c]
		}
		return v
	})
}

// gated is x·gate, by columns.
func (p picture) gated(gate []float64) picture {
	return p.each(func(i int, v float64) float64 { return v * gate[i%p.c] })
}

// attention is the attention module of that name, to the pixels of kv.
func (p picture) attention(w weights, name string, kv picture, heads int) picture {
	q := p.linear(w, name+".to_q")
	size := float64(q.c / heads)
	return q.attend(kv.linear(w, name+".to_k"), kv.linear(w, name+".to_v"), heads, 1/math.Sqrt(size), nil).linear(w, name+".to_out.0")
}

// feedForward is the feed-forward network of that name.
func (p picture) feedForward(w weights, name string, kind blocks.FeedForwardKind) picture {
	wide := p.linear(w, name+".net.0.proj")
	acts := map[blocks.FeedForwardKind]kernels.Act{
		blocks.GEGLU: kernels.GELU, blocks.SwiGLU: kernels.SiLU, blocks.GELU: kernels.GELU, blocks.GELUTanh: kernels.GELUTanh, blocks.QuickGELU: kernels.QuickGELU,
	}
	act := ref.Acts[acts[kind].String()]
	if kind != blocks.GEGLU && kind != blocks.SwiGLU {
		return wide.act(acts[kind]).linear(w, name+".net.2")
	}
	half := picture{p.h, p.w, wide.c / 2, nil}
	for r := 0; r < len(wide.v); r += wide.c {
		for c := range half.c {
			half.v = append(half.v, wide.v[r+c]*act(wide.v[r+half.c+c]))
		}
	}
	return half.linear(w, name+".net.2")
}

func TestFeedForward(t *testing.T) {
	for name, kind := range blocks.FeedForwardKinds {
		t.Run(name, func(t *testing.T) {
			o := blocks.FeedForwardOptions{Kind: kind}
			if kind == blocks.SwiGLU {
				o = blocks.FeedForwardOptions{Kind: kind, Inner: 10, Out: 7, NoBias: true}
			}
			judge(t, func(l *blocks.Loader) *blocks.FeedForward { return l.FeedForward("ff", 12, o) },
				[]tensor.NHWC{image(1, 2, 3, 2, 12)},
				func(g *blocks.Graph, f *blocks.FeedForward, in []tensor.NHWC) program.Value {
					x := input(g, "x", in[0])
					y := g.Image(x.N, x.H, x.W, f.Out)
					f.Build(g, y, x, blocks.Fuse{})
					return y
				},
				func(w weights, in []picture) picture { return in[0].feedForward(w, "ff", kind) })
		})
	}
}

// modulation is what a transformer block of the reference is told for one of its parts.
type modulation struct{ shift, scale, gate []float64 }

// apply is x·(1+scale) + shift.
func (m modulation) apply(p picture) picture {
	if m.scale == nil {
		return p
	}
	return p.modulated(append(append([]float64(nil), m.scale...), m.shift...))
}

// gate is x·gate.
func (m modulation) gated(p picture) picture {
	if m.gate == nil {
		return p
	}
	return p.gated(m.gate)
}

// six cuts what modulates a block in the order of AdaLayerNormZero.
func six(v []float64) (attention, feedForward modulation) {
	c := len(v) / 6
	return modulation{v[:c], v[c : 2*c], v[2*c : 3*c]}, modulation{v[3*c : 4*c], v[4*c : 5*c], v[5*c:]}
}

// transformerBlock is the block "b", of norms that depend on a vector c, the number of a step or a row of
// modulations, and a prompt.
func transformerBlock(w weights, x, prompt, c picture, o blocks.TransformerOptions) picture {
	eps := o.Eps
	if eps == 0 {
		eps = 1e-5
	}
	plain := func(name string) func(p picture) picture {
		return func(p picture) picture { return p.layerNorm(w, "b."+name, eps) }
	}
	norm1, norm2, norm3 := plain("norm1"), plain("norm2"), plain("norm3")
	var attn1, ff modulation
	switch o.Norm {
	case blocks.StepNorms:
		step := func(name string) func(p picture) picture {
			return func(p picture) picture {
				row := picture{1, 1, p.c, w["b."+name+".emb.weight"][int(c.v[0])*p.c:][:p.c]}
				return p.layerNorm(nil, "", 1e-5).modulated(row.act(kernels.SiLU).linear(w, "b."+name+".linear").v)
			}
		}
		norm1, norm2 = step("norm1"), step("norm2")
	case blocks.AdaZero:
		attn1, ff = six(c.linear(w, "b.norm1.linear").v)
		norm1 = func(p picture) picture { return p.layerNorm(nil, "", 1e-6) }
	case blocks.AdaSingle:
		attn1, ff = six(c.each(func(i int, v float64) float64 { return v + w["b.scale_shift_table"][i] }).v)
		norm2, norm3 = func(p picture) picture { return p }, plain("norm2")
	case blocks.AdaContinuous:
		modulated := func(name string, norm func(p picture) picture) func(p picture) picture {
			return func(p picture) picture { return norm(p).modulated(c.linear(w, "b."+name+".linear").v) }
		}
		rms := func(name string) func(p picture) picture {
			return modulated(name, func(p picture) picture { return p.rms(w, "b."+name+".norm", eps) })
		}
		norm1, norm2 = rms("norm1"), rms("norm2")
		norm3 = modulated("norm3", func(p picture) picture { return p.layerNorm(w, "b.norm3.norm", eps) })
	}
	placed := func(p picture) picture { return p }
	if o.Positions > 0 {
		placed = func(p picture) picture {
			return p.each(func(i int, v float64) float64 {
				n, c := i/p.c, i%p.c
				a := float64(n) * math.Pow(10000, -float64(c-c%2)/float64(p.c))
				if c%2 == 0 {
					return v + math.Sin(a)
				}
				return v + math.Cos(a)
			})
		}
	}
	self := func(p picture) picture { return p }
	other := func(picture) picture { return prompt }
	first, second := self, other
	if o.OnlyCross {
		first = other
	}
	if o.DoubleSelf {
		second = self
	}
	y := placed(attn1.apply(norm1(x)))
	x = x.plus(attn1.gated(y.attention(w, "b.attn1", first(y), o.Heads)))
	if o.Context > 0 || o.DoubleSelf {
		y := norm2(x)
		if o.Norm != blocks.AdaSingle {
			y = placed(y)
		}
		x = x.plus(y.attention(w, "b.attn2", second(y), o.Heads))
	}
	return x.plus(ff.gated(ff.apply(norm3(x)).feedForward(w, "b.ff", o.FeedForward.Kind)))
}

// A block of every kind against the reference, each with other options.
func TestTransformerBlock(t *testing.T) {
	const channels, context, condition, steps = 12, 5, 8, 4
	for name, o := range map[string]blocks.TransformerOptions{
		"layer norms, self":     {},
		"layer norms, cross":    {Context: context},
		"double self":           {DoubleSelf: true, Bias: true, FeedForward: blocks.FeedForwardOptions{Kind: blocks.GELU}},
		"only cross":            {Context: context, OnlyCross: true, NoOutBias: true, Eps: 1e-3},
		"without weights":       {Context: context, NoAffine: true, FeedForward: blocks.FeedForwardOptions{Kind: blocks.SwiGLU, NoBias: true, Inner: 9}},
		"positions":             {Context: context, Positions: 7},
		"steps":                 {Norm: blocks.StepNorms, Steps: steps},
		"steps, cross":          {Norm: blocks.StepNorms, Steps: steps, Context: context, NoAffine: true},
		"zero":                  {Norm: blocks.AdaZero, NoAffine: true, Bias: true, FeedForward: blocks.FeedForwardOptions{Kind: blocks.GELUTanh}},
		"zero, affine, cross":   {Norm: blocks.AdaZero, Context: context},
		"single":                {Norm: blocks.AdaSingle, NoAffine: true, Context: context, Bias: true, FeedForward: blocks.FeedForwardOptions{Kind: blocks.GELUTanh}},
		"single, affine, self":  {Norm: blocks.AdaSingle, Eps: 1e-6},
		"single, positions":     {Norm: blocks.AdaSingle, Context: context, Positions: 6},
		"continuous":            {Norm: blocks.AdaContinuous, ConditionDim: condition, Context: context},
		"continuous, no weight": {Norm: blocks.AdaContinuous, ConditionDim: condition, NoAffine: true, ConditionBias: true},
		"continuous, biases":    {Norm: blocks.AdaContinuous, ConditionDim: condition, ConditionBias: true, DoubleSelf: true},
	} {
		o.Heads, o.HeadDim = 3, 4
		t.Run(name, func(t *testing.T) {
			c := image(3, 2, 1, 1, condition)
			switch o.Norm {
			case blocks.StepNorms:
				c = tensor.NHWC{N: 2, H: 1, W: 1, C: 1, Stride: 1, Data: []float32{3, 1}}
			case blocks.AdaSingle:
				c = image(3, 2, 1, 1, 6*channels)
			}
			type part struct {
				block      *blocks.TransformerBlock
				conditions *blocks.TimeProjections
			}
			judge(t, func(l *blocks.Loader) part {
				o := o
				if o.Norm == blocks.AdaZero {
					o.Conditions = blocks.NewTimeProjections(condition)
				}
				b := l.TransformerBlock("b", channels, o)
				if o.Conditions != nil {
					o.Conditions.Load(l)
				}
				return part{b, o.Conditions}
			}, []tensor.NHWC{image(1, 2, 3, 2, channels), image(2, 2, 4, 1, context), c},
				func(g *blocks.Graph, b part, in []tensor.NHWC) program.Value {
					switch o.Norm {
					case blocks.StepNorms:
						for _, step := range in[2].Data {
							g.Steps = append(g.Steps, int(step))
						}
					case blocks.AdaZero:
						b.conditions.Build(g, input(g, "c", in[2]))
					case blocks.AdaSingle:
						g.Modulation = input(g, "c", in[2])
					case blocks.AdaContinuous:
						g.Condition = input(g, "c", in[2])
					}
					x := input(g, "x", in[0])
					b.block.Build(g, x)
					bindPrompts(g, in[1], nil)
					return x
				},
				func(w weights, in []picture) picture { return transformerBlock(w, in[0], in[1], in[2], o) })
		})
	}
}

// Every one of the six modulations of AdaLN-Zero does its part: a block whose gates are 0 is the identity,
// and what else is changed changes what comes out.
func TestAdaZeroGates(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 2)
	const channels = 8
	o := blocks.TransformerOptions{Norm: blocks.AdaSingle, NoAffine: true, Heads: 2, HeadDim: 4}
	b, w := load(t, e, func(l *blocks.Loader) *blocks.TransformerBlock { return l.TransformerBlock("b", channels, o) })
	x := image(1, 1, 3, 3, channels)
	forward := func(row tensor.NHWC) tensor.NHWC {
		return run(t, e, func(g *blocks.Graph) program.Value {
			g.Modulation = input(g, "c", row)
			v := input(g, "x", x)
			b.Build(g, v)
			return v
		})
	}
	row := image(2, 1, 1, 1, 6*channels)
	all := forward(row)
	for part := range 6 {
		changed := tensor.Make(1, 1, 1, 6*channels)
		copy(changed.Data, row.Data)
		for c := range channels {
			changed.Data[part*channels+c] += 0.5
		}
		moved := 0.0
		for i, v := range forward(changed).Data {
			moved += math.Abs(float64(v - all.Data[i]))
		}
		if moved < 0.1 {
			t.Errorf("%d of 6: the output moves by %v", part, moved)
		}
	}
	for _, gate := range []int{2, 5} { // minus the block's own
		for c := range channels {
			row.Data[gate*channels+c] = -float32(w["b.scale_shift_table"][gate*channels+c])
		}
	}
	kerneltest.Same(t, "without gates", forward(row).Data, x.Data)
}

// Transformer2D between its projections.
func TestTransformer2D(t *testing.T) {
	for _, linear := range []bool{false, true} {
		t.Run(fmt.Sprint("linear ", linear), func(t *testing.T) {
			o := blocks.TransformerOptions{Heads: 2, HeadDim: 5, Layers: 2, Context: 6, Groups: 4, Linear: linear}
			judge(t, func(l *blocks.Loader) *blocks.Transformer2D { return l.Transformer2D("t", 12, o) },
				[]tensor.NHWC{image(1, 2, 3, 3, 12), image(2, 2, 4, 1, 6)},
				func(g *blocks.Graph, b *blocks.Transformer2D, in []tensor.NHWC) program.Value {
					x := input(g, "x", in[0])
					y := g.Image(x.N, x.H, x.W, x.C)
					b.Build(g, y, x)
					bindPrompts(g, in[1], nil)
					return y
				},
				func(w weights, in []picture) picture {
					x := in[0].groupNorm(w, "t.norm", 4, 1e-6).linear(w, "t.proj_in")
					for i := range 2 {
						block := make(weights)
						prefix := fmt.Sprintf("t.transformer_blocks.%d.", i)
						for name, v := range w {
							if len(name) > len(prefix) && name[:len(prefix)] == prefix {
								block["b."+name[len(prefix):]] = v
							}
						}
						x = transformerBlock(block, x, in[1], picture{}, o)
					}
					return x.linear(w, "t.proj_out").plus(in[0])
				})
		})
	}
}
