package unet

import (
	"context"
	"math"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/denoiser"
	"github.com/lanewise/lanewise/internal/portable"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// ControlSession is a ControlNet's program and memory for one shape, and the residuals that it makes. It
// has one user at a time.
type ControlSession struct {
	session
	net       *ControlNet
	residuals cond.Residual // of all images
}

// Session prepares the ControlNet for batch images of height × width, sizes of what is denoised, with
// the default Options or those given.
func (n *ControlNet) Session(batch, height, width int, options ...Options) (*ControlSession, error) {
	s := &ControlSession{net: n}
	if err := s.prepare(&n.trunk, batch, height, width, 0, options); err != nil {
		return nil, err
	}
	s.build()
	return s, nil
}

// Residual returns the residuals of images from up to to, for the condition of a U-Net that these are
// images of. They are the session's memory, which every Forward writes anew.
func (s *ControlSession) Residual(from, to int) cond.Residual {
	r := cond.Residual{Mid: s.residuals.Mid.Images(from, to)}
	for _, skip := range s.residuals.Skips {
		r.Skips = append(r.Skips, skip.Images(from, to))
	}
	return r
}

// build makes the session's program.
func (s *ControlSession) build() {
	g := &blocks.Graph{Engine: s.trunk.engine, Options: s.options}
	s.buildTime(g)
	first := s.shapes.skips[0]
	features := g.Image(s.run.Batch, first.H, first.W, first.C)
	g.Add(program.Op{Name: "controlnet_cond_embedding", Kind: "copy", Dst: features, Bind: func(m program.Memory) func() {
		dst := m.Image(features)
		return func() { repeat(dst, s.bound.control.features) }
	}})
	skips := make([]program.Value, len(s.shapes.skips))
	finish := func(i int) {
		s.residuals.Skips = append(s.residuals.Skips, s.buildResidual(g, s.net.skips[i], skips[i], i))
	}
	h := s.buildDown(g, blocks.Fuse{Add: features}, func(i int) program.Value {
		if i > 0 {
			finish(i - 1)
		}
		shape := s.shapes.skips[i]
		skips[i] = g.Image(s.run.Batch, shape.H, shape.W, shape.C)
		return skips[i]
	}, func(int, program.Value) {})
	finish(len(skips) - 1)
	mid := g.Image(h.N, h.H, h.W, h.C)
	s.buildMid(g, mid, h)
	s.residuals.Mid = s.buildResidual(g, s.net.middle, mid, len(skips))
	s.run.Plan(g)
}

// buildResidual appends the i-th residual, which a layer makes of src, and returns the memory that it is
// written to.
func (s *ControlSession) buildResidual(g *blocks.Graph, layer *blocks.Linear, src program.Value, i int) tensor.NHWC {
	y := g.Image(src.N, src.H, src.W, src.C)
	layer.Build(g, y, src, blocks.Fuse{})
	out := tensor.Make(src.N, src.H, src.W, src.C)
	if s.net.Pooled {
		out = tensor.Make(src.N, 1, 1, src.C)
	}
	g.Add(program.Op{Name: layer.Name + ".residual", Kind: "residual", Src: []program.Value{y}, Bind: func(m program.Memory) func() {
		job := &weighing{dst: out, src: m.Image(y)}
		return func() {
			job.scale = s.bound.control.scale(i)
			g.Engine.For(out.N*out.H, engine.Scratch{}, job)
		}
	}})
	return out
}

// weighing is a job that fills dst with scale times src, a row of pixels in each tile; or, where dst has one
// pixel for each image, with scale times the mean of src's.
type weighing struct {
	dst, src tensor.NHWC
	scale    float32
}

// Tile fills one row of pixels.
func (j *weighing) Tile(_ *engine.Worker, tile int) {
	n, y := tile/j.dst.H, tile%j.dst.H
	if j.dst.H == 1 && j.dst.W == 1 {
		j.mean(n)
		return
	}
	for x := range j.dst.W {
		to := j.dst.Pixel(n, y, x)
		for c, v := range j.src.Pixel(n, y, x) {
			to[c] = j.scale * v
		}
	}
}

// mean fills the pixel of image n.
func (j *weighing) mean(n int) {
	image := j.src.Images(n, n+1).Tokens()
	to := j.dst.Pixel(n, 0, 0)
	for c := range to {
		total := 0.0
		for r := range image.Rows {
			total += float64(image.Data[r*image.Stride+c])
		}
		to[c] = j.scale * float32(total/float64(image.Rows))
	}
}

// repeat fills dst with the images of src, over and over.
func repeat(dst, src tensor.NHWC) {
	for n := 0; n < dst.N; n += src.N {
		tensor.Copy(dst.Images(n, n+src.N), src)
	}
}

// BoundControl is a session of a ControlNet with its image and conditions bound. Scale and Guess may be
// changed between runs.
type BoundControl struct {
	// Scale weighs the residuals; 0 means 1. What cond.Residual.Scale says comes on top.
	Scale float32
	// Guess weighs the residuals by how deep they lie, from a tenth for the first to all for the middle's,
	// which is for images without a prompt: the ControlNet then has to recognise what it sees. A
	// ControlNet whose residuals are pooled pays it no heed.
	Guess bool

	session  *ControlSession
	binding  *binding
	features tensor.NHWC // of the image
}

// Bind embeds the image and checks and computes conditions, as a U-Net's session does. image holds as
// many images as the session, or a divisor, of which image i of the batch sees image i mod image.N; they
// are Factor times as high and wide, with values from 0 to 1.
//
// The conditions may be those of the U-Net. A ControlNet has no adapters, so of contexts it sees those
// of slot 0; and it looks at no Concat, Residual or Guidance, nor at a class or pooled vectors that
// there is no place for in it.
func (s *ControlSession) Bind(image tensor.NHWC, conds ...cond.Cond) (*BoundControl, error) {
	n := s.net
	image.Check("controlnet: image")
	h, w := n.size(image.H, image.W)
	if image.N < 1 || s.run.Batch%image.N != 0 || image.C != n.ImageChannels || h != s.run.Height || w != s.run.Width {
		return nil, n.errorf("image is %s, want n×%d×%d×%d with n a divisor of %d", image.Shape(), n.Factor*s.run.Height, n.Factor*s.run.Width, n.ImageChannels, s.run.Batch)
	}
	if err := denoiser.Finite("image", image); err != nil {
		return nil, n.errorf("%w", err)
	}
	own := make([]cond.Cond, len(conds))
	for i := range conds {
		own[i] = n.own(&conds[i])
	}
	b, err := s.bind(own)
	if err != nil {
		return nil, err
	}
	if n.Reversed {
		image = reversed(image)
	}
	b.control = &BoundControl{session: s, binding: b, features: n.computeImage(image, s.options, n.image.build)}
	return b.control, nil
}

// own returns what there is a place for of a U-Net's condition.
func (n *ControlNet) own(c *cond.Cond) cond.Cond {
	var own cond.Cond
	if n.Config.Attends() || n.Config.PooledKind == PooledTokens {
		for _, x := range c.Context {
			if x.Slot == 0 {
				own.Context = append(own.Context, x)
			}
		}
	}
	if n.Config.ClassKind != NoClass {
		own.Class, own.Vector = c.Class, c.Vector
	}
	if n.Config.PooledKind == PooledSizes {
		own.Pooled, own.Sizes = c.Pooled, c.Sizes
	}
	return own
}

// reversed returns an image with its channels from the last to the first.
func reversed(t tensor.NHWC) tensor.NHWC {
	r := tensor.Make(t.N, t.H, t.W, t.C)
	from, to := t.Tokens(), r.Tokens()
	for p := range from.Rows {
		for c, v := range from.Row(p) {
			to.Row(p)[t.C-1-c] = v
		}
	}
	return r
}

// scale returns the weight of the i-th residual, of which the middle's is the last.
func (b *BoundControl) scale(i int) float32 {
	scale := b.Scale
	if scale == 0 {
		scale = 1
	}
	if last := len(b.session.shapes.skips); b.Guess && !b.session.net.Pooled && i < last {
		scale *= float32(portable.Exp(-math.Ln10 * float64(last-i) / float64(last)))
	}
	return scale
}

// Forward makes the residuals for the noisy images x at time t, in training steps. x is what the U-Net
// gets, as many images as the session or a divisor.
//
// Once bound, Forward neither allocates nor fails, but for an x that does not fit, a session in use,
// and a context that is canceled: that is looked at between ops, and leaves residuals undefined.
func (b *BoundControl) Forward(ctx context.Context, x tensor.NHWC, t float64) error {
	return b.forward(ctx, x, denoiser.All(t))
}

// ForwardEach is Forward with a time for each image of the batch.
func (b *BoundControl) ForwardEach(ctx context.Context, x tensor.NHWC, times []float64) error {
	return b.forward(ctx, x, denoiser.Each(times))
}

// forward runs the program once.
func (b *BoundControl) forward(ctx context.Context, x tensor.NHWC, at denoiser.Times) error {
	if s := b.Scale; s-s != 0 {
		return b.session.run.Errorf("scale %v", s)
	}
	return b.session.forward(ctx, b.binding, tensor.NHWC{}, x, at)
}

// Controlled is a U-Net with ControlNets that run before it in every step. The U-Net's conditions have
// the residuals of their sessions:
//
//	edges, err := controlSession.Bind(canny, prompt)
//	prompt.Residual = append(prompt.Residual, controlSession.Residual(0, 1))
//	bound, err := session.Bind(prompt)
//	model := unet.Controlled{UNet: bound, Nets: []*unet.BoundControl{edges}}
//	err = model.Forward(ctx, out, x, t)
type Controlled struct {
	UNet *Bound
	Nets []*BoundControl
}

// Forward runs the ControlNets and then the U-Net. It is what Bound.Forward is, with images x that are
// a divisor of the batch of all of them.
func (c Controlled) Forward(ctx context.Context, out, x tensor.NHWC, t float64) error {
	for _, net := range c.Nets {
		if err := net.Forward(ctx, x, t); err != nil {
			return err
		}
	}
	return c.UNet.Forward(ctx, out, x, t)
}
