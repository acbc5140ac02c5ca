package blocks

import (
	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
)

// ResNet is diffusers' ResnetBlock2D without resampling:
//
//	h = conv1(act(norm1(x))) + time
//	y = conv2(act(norm2(h))) + shortcut(x)
//
// where time is a vector for each image, or with ScaleShift
//
//	h = conv1(act(norm1(x)))
//	y = conv2(act(norm2(h)·(1+scale) + shift)) + shortcut(x)
//
// and shortcut is a 1 × 1 convolution where the block changes the number of channels.
type ResNet struct {
	Out int

	norm1, norm2 *GroupNorm
	conv1, conv2 *Conv
	shortcut     *Linear // nil where Out is the number of channels in

	time       *TimeProjection // nil where there is none
	scaleShift bool
}

// ResNetOptions are what the residual blocks of a model have in common.
type ResNetOptions struct {
	Groups int
	Eps    float64
	Act    kernels.Act
	// Time projects the time embedding for the model's blocks; nil where there is no such thing.
	Time *TimeProjections
	// ScaleShift says that time scales and shifts the second norm instead of being added before it.
	ScaleShift bool
}

// ResNet loads "norm1", "conv1", "norm2", "conv2", and "conv_shortcut" where in and out differ. The
// weights of "time_emb_proj" are left to o.Time.
func (l *Loader) ResNet(name string, in, out int, o ResNetOptions) *ResNet {
	r := &ResNet{
		Out:        out,
		norm1:      l.GroupNorm(name+".norm1", in, o.Groups, o.Eps, o.Act),
		conv1:      l.Conv(name+".conv1", in, out, conv.Same(3)),
		norm2:      l.GroupNorm(name+".norm2", out, o.Groups, o.Eps, o.Act),
		conv2:      l.Conv(name+".conv2", out, out, conv.Same(3)),
		scaleShift: o.ScaleShift,
	}
	if in != out {
		r.shortcut = l.Pointwise(name+".conv_shortcut", in, out)
	}
	switch {
	case o.Time == nil:
	case o.ScaleShift:
		r.time = o.Time.add(name+".time_emb_proj", 2*out, nil)
	default:
		// What is added after conv1 takes the place of its bias.
		r.time = o.Time.add(name+".time_emb_proj", out, r.conv1.bias)
	}
	return r
}

// Build appends dst = the block of src, which must not overlap.
func (r *ResNet) Build(g *Graph, dst, src program.Value) {
	x := g.Image(src.N, src.H, src.W, src.C)
	r.norm1.Build(g, x, src)
	h := g.Image(src.N, src.H, src.W, r.Out)
	switch {
	case r.time == nil:
		r.conv1.Build(g, h, x, Fuse{})
		r.norm2.Build(g, h, h)
	case r.scaleShift:
		r.conv1.Build(g, h, x, Fuse{})
		time := r.time.of(g)
		r.norm2.BuildAda(g, h, h, time.Channels(0, r.Out), time.Channels(r.Out, 2*r.Out))
	default:
		r.conv1.Build(g, h, x, Fuse{ImageBias: r.time.of(g)})
		r.norm2.Build(g, h, h)
	}
	residual := src
	if r.shortcut != nil {
		r.shortcut.Build(g, dst, src, Fuse{})
		residual = dst
	}
	r.conv2.Build(g, dst, h, Fuse{Add: residual})
}
