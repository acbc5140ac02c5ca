package blocks

import (
	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
)

// ResNet is diffusers' ResnetBlock2D and ResnetBlockCondNorm2D:
//
//	h = conv1(resize(act(norm1(x)))) + time
//	y = (conv2(act(norm2(h))) + shortcut(resize(x))) / OutScale
//
// where time is a vector for each image, or with ScaleShift
//
//	h = conv1(resize(act(norm1(x))))
//	y = (conv2(act(norm2(h)·(1+scale) + shift)) + shortcut(resize(x))) / OutScale
//
// or with AdaGroup that scale and shift for both norms. resize is nothing, or with Up twice the size by
// nearest pixels, or with Down half the size by averages of 2 × 2 pixels. shortcut is a 1 × 1
// convolution where the block changes the number of channels.
type ResNet struct {
	Out int

	name         string
	norm1, norm2 *AdaGroupNorm
	conv1, conv2 *Conv
	shortcut     *Linear // nil where x is added as it is

	time     *TimeProjection // what is added behind conv1; nil where nothing is
	up, down bool
	scale    float64 // 1/OutScale
}

// ResNetOptions are what a residual block is like besides its channels: most of it is the same for all
// of a model.
type ResNetOptions struct {
	Groups    int // of the norms
	GroupsOut int // of the second norm; 0 means Groups
	Eps       float64
	Act       kernels.Act
	// Time projects the time embedding for blocks; nil where there is no such thing. What it projects
	// is the embedding after Act, or for blocks with skip_time_act or AdaGroup the embedding itself.
	Time *TimeProjections
	// ScaleShift says that time scales and shifts the second norm instead of being added before it.
	ScaleShift bool
	// AdaGroup says that both norms take scale and shift from time, and have none of their own.
	AdaGroup bool
	// Up and Down say that the block doubles or halves the size of its image.
	Up, Down bool
	// OutScale divides the output; 0 means 1.
	OutScale float64
	// Hidden is the number of channels between the two convolutions; 0 means those of the output.
	Hidden int
	// Shortcut asks for a shortcut with weights even where the channels stay the same.
	Shortcut       bool
	NoShortcutBias bool // of the shortcut
}

// ResNet loads "norm1", "conv1", "norm2", "conv2", and "conv_shortcut" where in and out differ or o asks
// for one. The weights of "time_emb_proj", with AdaGroup "norm1.linear" and "norm2.linear", are left to
// o.Time.
func (l *Loader) ResNet(name string, in, out int, o ResNetOptions) *ResNet {
	hidden, groupsOut := o.Hidden, o.GroupsOut
	if hidden == 0 {
		hidden = out
	}
	if groupsOut == 0 {
		groupsOut = o.Groups
	}
	first := conv.Same(3)
	first.Upsample = o.Up // reads through the enlarged image
	r := &ResNet{
		Out: out, name: name,
		conv1: l.Conv(name+".conv1", in, hidden, first),
		conv2: l.Conv(name+".conv2", hidden, out, conv.Same(3)),
		up:    o.Up, down: o.Down, scale: 1,
	}
	if o.OutScale != 0 {
		r.scale = 1 / o.OutScale
	}
	if in != out || o.Shortcut {
		r.shortcut = l.pointwise(name+".conv_shortcut", in, out, !o.NoShortcutBias)
	}
	if o.AdaGroup {
		r.norm1 = l.AdaGroupNorm(name+".norm1", in, o.Groups, o.Eps, o.Act, o.Time)
		r.norm2 = l.AdaGroupNorm(name+".norm2", hidden, groupsOut, o.Eps, o.Act, o.Time)
		return r
	}
	r.norm1 = &AdaGroupNorm{norm: l.GroupNorm(name+".norm1", in, o.Groups, o.Eps, o.Act)}
	r.norm2 = &AdaGroupNorm{norm: l.GroupNorm(name+".norm2", hidden, groupsOut, o.Eps, o.Act)}
	switch {
	case o.Time == nil:
	case o.ScaleShift:
		r.norm2.time = o.Time.add(name+".time_emb_proj", 2*hidden, nil)
	default:
		// What is added after conv1 takes the place of its bias.
		r.time = o.Time.add(name+".time_emb_proj", hidden, r.conv1.bias)
	}
	return r
}

// Size returns the size of the output for an image of h × w. It is 0 where nothing would be left.
func (r *ResNet) Size(h, w int) (int, int) {
	switch {
	case r.up:
		return 2 * h, 2 * w
	case r.down:
		return h / 2, w / 2
	}
	return h, w
}

// Image makes a value for the output from src.
func (r *ResNet) Image(g *Graph, src program.Value) program.Value {
	h, w := r.Size(src.H, src.W)
	return g.Image(src.N, h, w, r.Out)
}

// Build appends dst = the block of src, which must not overlap. With Up, dst may have any size, which x
// is enlarged to.
func (r *ResNet) Build(g *Graph, dst, src program.Value) {
	h, f := g.Image(dst.N, dst.H, dst.W, r.conv1.Out), Fuse{}
	if r.time != nil {
		f.ImageBias = r.time.of(g)
	}
	if r.down {
		x := g.Image(src.N, src.H, src.W, src.C)
		r.norm1.Build(g, x, src)
		r.conv1.Build(g, h, r.halve(g, x), f)
	} else {
		x, pro := r.norm1.before(g, r.conv1, h, src)
		r.conv1.build(g, h, x, pro, f)
	}
	r.norm2.Build(g, h, h)
	r.conv2.Build(g, dst, h, Fuse{Scale: r.scale, Add: r.residual(g, dst, src)})
}

// residual appends what conv2 is added to, resized and scaled, and returns where it is: dst, or src where
// that is it. The shortcut works on the smaller image, which changes nothing.
func (r *ResNet) residual(g *Graph, dst, src program.Value) program.Value {
	if r.down {
		src = r.halve(g, src)
	}
	to := dst
	if r.up {
		to = g.Image(src.N, src.H, src.W, r.Out)
	}
	switch {
	case r.shortcut != nil:
		r.shortcut.Build(g, to, src, Fuse{Scale: r.scale})
		src = to
	case r.scale != 1:
		g.Scale(r.name+".output_scale_factor", to, src, r.scale)
		src = to
	}
	if r.up {
		g.Nearest(r.name+".upsample", dst, src)
		src = dst
	}
	return src
}

// halve appends an image of half src's size.
func (r *ResNet) halve(g *Graph, src program.Value) program.Value {
	half := g.Image(src.N, src.H/2, src.W/2, src.C)
	g.Average(r.name+".downsample", half, src)
	return half
}
