package blocks

import (
	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/resample"
)

// ResampleOptions say how a Downsample or an Upsample convolves. The zero value is a convolution of
// 3 × 3 with a bias that keeps the number of channels.
type ResampleOptions struct {
	// NoConv says that there is no convolution: a Downsample averages blocks of 2 × 2 pixels, an
	// Upsample repeats its pixels.
	NoConv bool
	Out    int // channels; 0 means those of the input
	Kernel int // rows and columns of the convolution; 0 means 3. That of an Upsample is odd
	// Padding is how many rows and columns of zeros a Downsample puts around its input. 0 is, as
	// diffusers has it, one row below and one column to the right: with a kernel of 3, on images of
	// odd size it gives a pixel less than 1.
	Padding int
	NoBias  bool
	// Norm is that of the pixels of the input, before all else; nil is none.
	Norm *NormOptions
}

// kernel returns the size of the convolution.
func (o ResampleOptions) kernel() int {
	if o.Kernel == 0 {
		return 3
	}
	return o.Kernel
}

// conv loads the convolution "conv", or returns nil where there is none.
func (o ResampleOptions) conv(l *Loader, name string, channels int, g conv.Geometry) *Conv {
	out := o.Out
	if out == 0 {
		out = channels
	}
	switch {
	case o.NoConv && out != channels:
		l.Fail(name, "%d channels out of %d without a convolution", out, channels)
		return nil
	case o.NoConv:
		return nil
	case o.NoBias:
		return l.Filter(name+".conv", channels, out, g)
	}
	return l.Conv(name+".conv", channels, out, g)
}

// norm loads the norm "norm", or returns nil where there is none.
func (o ResampleOptions) norm(l *Loader, name string, channels int) *LayerNorm {
	if o.Norm == nil {
		return nil
	}
	return l.Norm(name+".norm", channels, *o.Norm)
}

// normed appends the norm of src, if there is one, and returns where it is.
func normed(g *Graph, n *LayerNorm, src program.Value) program.Value {
	if n == nil {
		return src
	}
	x := g.Image(src.N, src.H, src.W, src.C)
	n.Build(g, x, src)
	return x
}

// Downsample halves an image by a convolution of stride 2, or by averages of 2 × 2 pixels, which
// leave out what is odd of it.
type Downsample struct {
	Name string
	norm *LayerNorm // nil where there is none
	conv *Conv      // nil for averages
}

// Downsample loads "conv", and "norm" where o has one.
func (l *Loader) Downsample(name string, channels int, o ResampleOptions) *Downsample {
	k := o.kernel()
	g := conv.Geometry{KH: k, KW: k, Stride: 2, Bottom: 1, Right: 1}
	if p := o.Padding; p > 0 {
		g.Top, g.Left, g.Bottom, g.Right = p, p, p, p
	}
	return &Downsample{name, o.norm(l, name, channels), o.conv(l, name, channels, g)}
}

// Size returns the size of the output for an image of h × w. It is 0 where nothing would be left.
func (d *Downsample) Size(h, w int) (int, int) {
	if d.conv == nil {
		return h / 2, w / 2
	}
	return d.conv.w.Size(h, w)
}

// Image makes a value for the output from src.
func (d *Downsample) Image(g *Graph, src program.Value) program.Value {
	if d.conv != nil {
		return d.conv.Image(g, src)
	}
	return g.Image(src.N, src.H/2, src.W/2, src.C)
}

// Build appends dst = the image of src at half its size. dst does not overlap src.
func (d *Downsample) Build(g *Graph, dst, src program.Value) {
	src = normed(g, d.norm, src)
	if d.conv == nil {
		g.Average(d.Name, dst, src)
		return
	}
	d.conv.Build(g, dst, src, Fuse{})
}

// Upsample enlarges an image to any size by its nearest pixels and convolves it. The enlarged image
// exists nowhere: the convolution reads through it.
type Upsample struct {
	Name string
	norm *LayerNorm // nil where there is none
	conv *Conv      // nil where there is none
}

// Upsample loads "conv", and "norm" where o has one.
func (l *Loader) Upsample(name string, channels int, o ResampleOptions) *Upsample {
	g := conv.Same(o.kernel())
	g.Upsample = true
	return &Upsample{name, o.norm(l, name, channels), o.conv(l, name, channels, g)}
}

// Image makes a value for the output from src at twice its size.
func (u *Upsample) Image(g *Graph, src program.Value) program.Value {
	channels := src.C
	if u.conv != nil {
		channels = u.conv.Out
	}
	return g.Image(src.N, 2*src.H, 2*src.W, channels)
}

// Build appends dst = the image of src at dst's size. dst does not overlap src.
func (u *Upsample) Build(g *Graph, dst, src program.Value) {
	src = normed(g, u.norm, src)
	if u.conv == nil {
		g.Nearest(u.Name, dst, src)
		return
	}
	u.conv.Build(g, dst, src, Fuse{})
}

// Nearest appends dst = src resized to dst's size by its nearest pixels: row floor(y·h/H) for row y of
// H. dst does not overlap src.
func (g *Graph) Nearest(name string, dst, src program.Value) {
	g.Add(program.Op{Name: name, Kind: "resample", Dst: dst, Src: []program.Value{src}, Bind: func(m program.Memory) func() {
		d, s := m.Image(dst), m.Image(src)
		return func() { resample.Nearest(g.Engine, d, s) }
	}})
}

// Average appends dst = the averages of blocks of 2 × 2 pixels of src. dst does not overlap src.
func (g *Graph) Average(name string, dst, src program.Value) {
	g.Add(program.Op{Name: name, Kind: "resample", Dst: dst, Src: []program.Value{src}, Bind: func(m program.Memory) func() {
		d, s := m.Image(dst), m.Image(src)
		return func() { resample.AveragePool(g.Engine, d, s, 2) }
	}})
}
