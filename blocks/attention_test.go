package blocks_test

import (
	"math"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// attentionCases are options of 10 channels.
var attentionCases = []struct {
	name string
	o    blocks.AttentionOptions
}{
	{"as in a U-Net", blocks.AttentionOptions{Heads: 2, HeadDim: 5}},
	{"biases", blocks.AttentionOptions{Heads: 2, HeadDim: 5, Bias: true}},
	{"no bias at all", blocks.AttentionOptions{Heads: 1, HeadDim: 10, NoOutBias: true}},
	{"other widths", blocks.AttentionOptions{Heads: 3, HeadDim: 4, Out: 7, Bias: true}},
	{"unscaled", blocks.AttentionOptions{Heads: 2, HeadDim: 5, Scale: 1}},
}

// scaleOf is what dot products are multiplied by.
func scaleOf(o blocks.AttentionOptions) float64 {
	if o.Scale != 0 {
		return o.Scale
	}
	return 1 / math.Sqrt(float64(o.HeadDim))
}

func outOf(o blocks.AttentionOptions, channels int) int {
	if o.Out != 0 {
		return o.Out
	}
	return channels
}

func TestSelfAttention(t *testing.T) {
	for _, c := range attentionCases {
		t.Run(c.name, func(t *testing.T) {
			judge(t, func(l *blocks.Loader) *blocks.SelfAttention { return l.SelfAttention("a", 10, c.o) },
				[]tensor.NHWC{image(1, 2, 3, 4, 10), image(2, 2, 3, 4, outOf(c.o, 10))},
				func(g *blocks.Graph, a *blocks.SelfAttention, in []tensor.NHWC) program.Value {
					x, y := input(g, "x", in[0]), input(g, "y", in[1])
					a.Build(g, y, x, blocks.Fuse{Add: y})
					return y
				},
				func(w weights, in []picture) picture {
					x := in[0]
					y := x.linear(w, "a.to_q").attend(x.linear(w, "a.to_k"), x.linear(w, "a.to_v"), c.o.Heads, scaleOf(c.o), nil)
					return y.linear(w, "a.to_out.0").plus(in[1])
				})
		})
	}
}

// bindPrompts gives every prompt of the graph the tokens of each image, and a mask.
func bindPrompts(g *blocks.Graph, tokens tensor.NHWC, mask []float32) {
	for _, p := range g.Prompts {
		kv := attention.KV{K: tensor.MakeMat(tokens.N*tokens.H, p.Layer.Inner), V: tensor.MakeMat(tokens.N*tokens.H, p.Layer.Inner)}
		for n := range tokens.N {
			one := p.Layer.Project(g.Engine, tokens.Images(n, n+1).Tokens())
			for r := range tokens.H {
				copy(kv.K.Row(n*tokens.H+r), one.K.Row(r))
				copy(kv.V.Row(n*tokens.H+r), one.V.Row(r))
			}
		}
		if mask != nil {
			kv.Mask = tensor.MakeMat(tokens.N, len(mask))
			for n := range tokens.N {
				copy(kv.Mask.Row(n), mask)
			}
		}
		p.KV = []attention.KV{kv}
	}
}

// crossNormed is what a layer does to tokens before it projects them.
func crossNormed(w weights, p picture, o blocks.AttentionOptions) picture {
	switch o.CrossNorm {
	case blocks.CrossLayerNorm:
		return p.layerNorm(w, "a.norm_cross", 1e-5)
	case blocks.CrossGroupNorm:
		return p.groupNorm(w, "a.norm_cross", o.CrossGroups, 1e-5)
	}
	return p
}

func TestCrossAttention(t *testing.T) {
	cases := attentionCases
	for _, o := range []blocks.AttentionOptions{
		{Heads: 2, HeadDim: 5, CrossNorm: blocks.CrossLayerNorm},
		{Heads: 2, HeadDim: 5, CrossNorm: blocks.CrossGroupNorm, CrossGroups: 4, Bias: true},
	} {
		cases = append(cases, struct {
			name string
			o    blocks.AttentionOptions
		}{kerneltest.Name("norm", o.CrossNorm), o})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			judge(t, func(l *blocks.Loader) *blocks.CrossAttention { return l.CrossAttention("a", 10, 8, c.o) },
				[]tensor.NHWC{image(1, 2, 3, 4, 10), image(2, 2, 5, 1, 8)},
				func(g *blocks.Graph, a *blocks.CrossAttention, in []tensor.NHWC) program.Value {
					x := input(g, "x", in[0])
					y := g.Image(x.N, x.H, x.W, outOf(c.o, 10))
					a.Build(g, y, x, blocks.Fuse{})
					if p := g.Prompts[0].Layer; p.Name != "a" || p.Context != 8 || p.OverTokens() != (c.o.CrossNorm == blocks.CrossGroupNorm) {
						t.Errorf("prompt of %+v", p)
					}
					bindPrompts(g, in[1], nil)
					return y
				},
				func(w weights, in []picture) picture {
					tokens := crossNormed(w, in[1], c.o)
					y := in[0].linear(w, "a.to_q").attend(tokens.linear(w, "a.to_k"), tokens.linear(w, "a.to_v"), c.o.Heads, scaleOf(c.o), nil)
					return y.linear(w, "a.to_out.0")
				})
		})
	}
}

func TestAddedKVAttention(t *testing.T) {
	for _, c := range []struct {
		name string
		o    blocks.AddedKVOptions
		mask []float32
	}{
		{"pixels and tokens", blocks.AddedKVOptions{}, nil},
		{"tokens alone", blocks.AddedKVOptions{OnlyCross: true}, nil},
		{"masked", blocks.AddedKVOptions{}, []float32{0, -1e4, 0.5, 0, -1e4}},
		{"tokens alone, masked", blocks.AddedKVOptions{OnlyCross: true}, []float32{0, -1e4, 0.5, 0, -1e4}},
		{"normed", blocks.AddedKVOptions{AttentionOptions: blocks.AttentionOptions{CrossNorm: blocks.CrossGroupNorm, CrossGroups: 2}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := c.o
			o.Heads, o.HeadDim, o.Bias, o.Groups, o.Eps = 2, 5, true, 2, 1e-5
			judge(t, func(l *blocks.Loader) *blocks.AddedKVAttention { return l.AddedKVAttention("a", 10, 8, o) },
				[]tensor.NHWC{image(1, 2, 3, 4, 10), image(2, 2, 5, 1, 8)},
				func(g *blocks.Graph, a *blocks.AddedKVAttention, in []tensor.NHWC) program.Value {
					x := input(g, "x", in[0])
					a.Build(g, x, x)
					bindPrompts(g, in[1], c.mask)
					return x
				},
				func(w weights, in []picture) picture {
					h, tokens := in[0].groupNorm(w, "a.group_norm", 2, 1e-5), crossNormed(w, in[1], o.AttentionOptions)
					k, v := tokens.linear(w, "a.add_k_proj"), tokens.linear(w, "a.add_v_proj")
					mask := kerneltest.Float64s(c.mask)
					if c.mask == nil {
						mask = make([]float64, 5)
					}
					if !o.OnlyCross {
						k, v = k.stacked(h.linear(w, "a.to_k")), v.stacked(h.linear(w, "a.to_v"))
						mask = append(mask, make([]float64, h.h*h.w)...)
					}
					y := h.linear(w, "a.to_q").attend(k, v, 2, scaleOf(o.AttentionOptions), mask)
					return y.linear(w, "a.to_out.0").plus(in[0])
				})
		})
	}
}

func TestSpatialAttention(t *testing.T) {
	for _, c := range []struct {
		name string
		o    blocks.SpatialOptions
	}{
		{"as in an autoencoder", blocks.SpatialOptions{Groups: 5, Eps: 1e-6, Residual: true}},
		{"rescaled", blocks.SpatialOptions{Groups: 2, Eps: 1e-5, Residual: true, Rescale: 1.4}},
		{"no residual", blocks.SpatialOptions{Groups: 2, Eps: 1e-5, Rescale: 3}},
		{"no norm", blocks.SpatialOptions{Residual: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := c.o
			o.Heads, o.HeadDim, o.Bias = 2, 5, true
			judge(t, func(l *blocks.Loader) *blocks.SpatialAttention { return l.SpatialAttention("a", 10, o) },
				[]tensor.NHWC{image(1, 2, 3, 4, 10)},
				func(g *blocks.Graph, a *blocks.SpatialAttention, in []tensor.NHWC) program.Value {
					x := input(g, "x", in[0])
					a.Build(g, x, x)
					return x
				},
				func(w weights, in []picture) picture {
					h := in[0]
					if o.Groups > 0 {
						h = h.groupNorm(w, "a.group_norm", o.Groups, o.Eps)
					}
					y := h.linear(w, "a.to_q").attend(h.linear(w, "a.to_k"), h.linear(w, "a.to_v"), 2, scaleOf(o.AttentionOptions), nil)
					y = y.linear(w, "a.to_out.0")
					if o.Residual {
						y = y.plus(in[0])
					}
					if o.Rescale != 0 {
						y = y.times(1 / o.Rescale)
					}
					return y
				})
		})
	}
}

// Groups that do not divide what they are of are errors of the model, not panics while it runs.
func TestGroupErrors(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	l := blocks.NewLoader(e, checkpoint(t, nil), "test")
	l.CrossAttention("a", 4, 40, blocks.AttentionOptions{Heads: 1, HeadDim: 4, CrossNorm: blocks.CrossGroupNorm})
	l.ResNet("r", 12, 10, blocks.ResNetOptions{Groups: 4})
	l.ResNet("s", 9, 8, blocks.ResNetOptions{Groups: 4, AdaGroup: true, Time: blocks.NewTimeProjections(3)})
	err := l.Err()
	for _, says := range []string{
		"test: a.norm_cross: 32 groups of 40 channels", "test: r.norm2: 4 groups of 10 channels", "test: s.norm1: 4 groups of 9 channels",
	} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
}

func TestLegacyAttention(t *testing.T) {
	for name, want := range map[string]string{
		"mid_block.attentions.0.to_q.weight":     "mid_block.attentions.0.query.weight",
		"mid_block.attentions.0.to_k.bias":       "mid_block.attentions.0.key.bias",
		"to_v.weight":                            "value.weight",
		"mid_block.attentions.0.to_out.0.weight": "mid_block.attentions.0.proj_attn.weight",
		"mid_block.attentions.0.group_norm.bias": "",
		"to_qualify.weight":                      "",
	} {
		if got := blocks.LegacyAttention(name); got != want {
			t.Errorf("%s is called %q, want %q", name, got, want)
		}
	}
}
