package blocks

import (
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/norm"
	"github.com/lanewise/lanewise/program"
)

// GroupNorm normalises groups of channels over an image, and applies an activation.
type GroupNorm struct {
	Name string

	groups int
	affine norm.Affine
	act    kernels.Act
}

// GroupNorm loads "weight" and "bias". groups must divide channels.
func (l *Loader) GroupNorm(name string, channels, groups int, eps float64, act kernels.Act) *GroupNorm {
	l.checkGroups(name, channels, groups)
	return &GroupNorm{name, groups, l.affine(name, channels, eps), act}
}

// checkGroups fails unless groups divide the channels of a norm.
func (l *Loader) checkGroups(name string, channels, groups int) {
	if groups < 1 || channels%groups != 0 {
		l.Fail(name, "%d groups of %d channels", groups, channels)
	}
}

// Build appends dst = act(norm(src)). dst may be src.
func (n *GroupNorm) Build(g *Graph, dst, src program.Value) {
	n.BuildAda(g, dst, src, program.Value{}, program.Value{})
}

// BuildAda appends dst = act(norm(src)·(1+scale) + shift), where scale and shift hold a row for
// each image; their zero values leave them out. dst may be src.
func (n *GroupNorm) BuildAda(g *Graph, dst, src, scale, shift program.Value) {
	g.Add(program.Op{Name: n.Name, Kind: "norm", Dst: dst, Src: []program.Value{src, scale, shift}, Bind: func(m program.Memory) func() {
		d, s, sc, sh := m.Image(dst), m.Image(src), m.Mat(scale), m.Mat(shift)
		if sc.Data == nil {
			return func() { norm.Group(g.Engine, d, s, n.groups, n.affine, n.act) }
		}
		return func() { norm.AdaGroup(g.Engine, d, s, n.groups, n.affine, sc, sh, n.act) }
	}})
}

// AdaGroupNorm is a group norm whose scale and shift come from a time embedding e:
//
//	dst = act(norm(src)·(1+scale) + shift)    with [scale | shift] = linear(e)
//
// Or it is a plain one, which has no such thing.
type AdaGroupNorm struct {
	norm *GroupNorm
	time *TimeProjection // nil for a plain one
}

// AdaGroupNorm loads nothing itself: the norm has no weights of its own, and those of "linear" are left to
// time, which projects e. groups must divide channels.
func (l *Loader) AdaGroupNorm(name string, channels, groups int, eps float64, act kernels.Act, time *TimeProjections) *AdaGroupNorm {
	l.checkGroups(name, channels, groups)
	plain := &GroupNorm{name, groups, norm.Affine{Eps: float32(eps)}, act}
	return &AdaGroupNorm{plain, time.add(name+".linear", 2*channels, nil)}
}

// Build appends dst = the norm of src. dst may be src.
func (n *AdaGroupNorm) Build(g *Graph, dst, src program.Value) {
	scale, shift := n.modulation(g, src.C)
	n.norm.BuildAda(g, dst, src, scale, shift)
}

// modulation returns the scale and shift of so many channels, zero values for a plain norm.
func (n *AdaGroupNorm) modulation(g *Graph, channels int) (scale, shift program.Value) {
	if n.time == nil {
		return scale, shift
	}
	both := n.time.of(g)
	return both.Channels(0, channels), both.Channels(channels, 2*channels)
}

// LayerNorm normalises each row.
type LayerNorm struct {
	Name string

	affine norm.Affine
	rms    bool
}

// LayerNorm loads "weight" and "bias".
func (l *Loader) LayerNorm(name string, channels int, eps float64) *LayerNorm {
	return l.Norm(name, channels, NormOptions{Eps: eps, Scale: true, Shift: true})
}

// Build appends dst = norm(src), row by row. dst may be src.
func (n *LayerNorm) Build(g *Graph, dst, src program.Value) { n.BuildAda(g, dst, src, Modulation{}) }

// affine loads the scale and shift of a norm.
func (l *Loader) affine(name string, channels int, eps float64) norm.Affine {
	return norm.Affine{Scale: l.Vector(name+".weight", channels), Shift: l.Vector(name+".bias", channels), Eps: float32(eps)}
}
