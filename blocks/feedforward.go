package blocks

import (
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
)

// FeedForward is the two-layer network of a transformer block, y = out(widen(x)), whose first layer
// is a gated linear unit or one with an activation.
type FeedForward struct {
	Out int

	widen, out *Linear
	act        kernels.Act // of the first layer, for a gated one the gate's
}

// FeedForwardKind is what the first layer of a FeedForward is.
type FeedForwardKind uint8

const (
	GEGLU     FeedForwardKind = iota // value·gelu(gate) (Shazeer 2020, "GLU Variants Improve Transformer")
	SwiGLU                           // value·silu(gate)
	GELU                             // gelu(x), by the error function
	GELUTanh                         // gelu(x) by its approximation with tanh
	QuickGELU                        // x·σ(1.702·x), which is not gated in spite of its name
)

// FeedForwardKinds are the kinds by diffusers' names, the values of activation_fn.
var FeedForwardKinds = map[string]FeedForwardKind{
	"geglu": GEGLU, "swiglu": SwiGLU, "gelu": GELU, "gelu-approximate": GELUTanh, "geglu-approximate": QuickGELU,
}

// act is the activation of the first layer, and whether it is that of a gate.
func (k FeedForwardKind) act() (act kernels.Act, gated bool) {
	switch k {
	case GEGLU:
		return kernels.GELU, true
	case SwiGLU:
		return kernels.SiLU, true
	case GELU:
		return kernels.GELU, false
	case GELUTanh:
		return kernels.GELUTanh, false
	}
	return kernels.QuickGELU, false
}

// FeedForwardOptions are what a FeedForward is like. The zero value is diffusers' default.
type FeedForwardOptions struct {
	Kind   FeedForwardKind
	Inner  int  // columns between the layers; 0 is four times the channels
	Out    int  // columns of the result; 0 is the channels
	NoBias bool // neither layer has biases
}

// FeedForward loads "net.0.proj" and "net.2".
func (l *Loader) FeedForward(name string, channels int, o FeedForwardOptions) *FeedForward {
	const widening = 4
	if o.Inner == 0 {
		o.Inner = widening * channels
	}
	if o.Out == 0 {
		o.Out = channels
	}
	act, gated := o.Kind.act()
	load := l.Linear
	if gated {
		load = l.GLU
	}
	return &FeedForward{
		Out: o.Out, act: act,
		widen: load(name+".net.0.proj", channels, o.Inner, !o.NoBias),
		out:   l.Linear(name+".net.2", o.Inner, o.Out, !o.NoBias),
	}
}

// Build appends dst = net(src), with f.
func (n *FeedForward) Build(g *Graph, dst, src program.Value, f Fuse) {
	wide := g.Image(src.N, src.H, src.W, n.widen.Out)
	n.widen.Build(g, wide, src, Fuse{Act: n.act})
	n.out.Build(g, dst, wide, f)
}
