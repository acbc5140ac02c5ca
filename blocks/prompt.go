package blocks

import (
	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/norm"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// Prompt is where a layer of a program finds what to attend to. KV must be set before the program
// runs and may be changed between runs; Layer.Project makes its parts.
type Prompt struct {
	Layer *KeyValue
	KV    []attention.KV
}

// prompt adds a prompt for a layer to the graph.
func (g *Graph) prompt(layer *KeyValue) *Prompt {
	p := &Prompt{Layer: layer}
	g.Prompts = append(g.Prompts, p)
	return p
}

// cost is the work of queries that attend to the prompt.
func (p *Prompt) cost(q program.Value) (c program.Cost) {
	for _, kv := range p.KV {
		c.FLOP += attentionCost(q, kv.K.Rows/q.N).FLOP
		c.Bytes += bytes(2 * kv.K.Rows * q.C)
	}
	return c
}

// KeyValue makes the keys and values that an attention layer has for the tokens of a prompt. They
// depend on the prompt alone: Project makes them once, not in every step.
type KeyValue struct {
	Name    string // of the attention layer
	Context int    // columns of a token
	Inner   int    // columns of keys, and of values
	// Unmasked says that masks of tokens are not for this layer, but that tokens which only pad a prompt
	// are to be masked: in diffusers, the first attention of a block that attends to tokens alone.
	Unmasked bool

	cross  CrossNorm
	groups int
	affine norm.Affine
	kv     *Linear
}

// CrossNorm is what normalises tokens.
type CrossNorm uint8

const (
	NoCrossNorm    CrossNorm = iota
	CrossLayerNorm           // each token
	CrossGroupNorm           // groups of columns over all tokens of a prompt
)

// keyValue loads the layers k and v of a module as one, and "norm_cross" where there is one.
func (l *Loader) keyValue(name string, context int, k, v string, o AttentionOptions) *KeyValue {
	const eps = 1e-5
	p := &KeyValue{Name: name, Context: context, Inner: o.inner(), cross: o.CrossNorm, groups: o.CrossGroups}
	if p.groups == 0 {
		p.groups = 32
	}
	if o.CrossNorm != NoCrossNorm {
		p.affine = l.affine(name+".norm_cross", context, eps)
	}
	if o.CrossNorm == CrossGroupNorm {
		l.checkGroups(name+".norm_cross", context, p.groups)
	}
	p.kv = l.Stack(name+".to_kv", context, o.Bias, Part{name + "." + k, p.Inner}, Part{name + "." + v, p.Inner})
	return p
}

// Project returns keys and values of the tokens of a prompt. A layer without a group norm (see
// OverTokens) takes those of several prompts at once, one behind the other.
func (p *KeyValue) Project(e *engine.Engine, tokens tensor.Mat) attention.KV {
	if p.cross != NoCrossNorm {
		normed := tensor.MakeMat(tokens.Rows, tokens.Cols)
		if p.cross == CrossLayerNorm {
			norm.Layer(e, normed, tokens, p.affine)
		} else {
			norm.Group(e, row(normed), row(tokens), p.groups, p.affine, kernels.Identity)
		}
		tokens = normed
	}
	kv := tensor.MakeMat(tokens.Rows, 2*p.Inner)
	gemm.Mul(e, kv, tokens, p.kv.w, gemm.Prologue{}, gemm.Epilogue{Bias: p.kv.bias})
	part := columns(kv, p.Inner, p.Inner)
	return attention.KV{K: part[0], V: part[1]}
}

// OverTokens says whether the keys and values of a token depend on the others of its prompt: then every
// prompt has to be projected by itself, without tokens that pad it.
func (p *KeyValue) OverTokens() bool { return p.cross == CrossGroupNorm }

// row is a matrix as an image of one row of pixels.
func row(m tensor.Mat) tensor.NHWC {
	return tensor.NHWC{N: 1, H: 1, W: m.Rows, C: m.Cols, Stride: m.Stride, Data: m.Data}
}
