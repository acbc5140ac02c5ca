package adapter

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/internal/size"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/resample"
	"github.com/lanewise/lanewise/tensor"
)

// T2ISession is an adapter's program and memory for pictures of one size. It has one user at a time.
type T2ISession struct {
	program *program.Program
	shape   tensor.NHWC // of the picture
	busy    atomic.Bool
	picture tensor.NHWC
	levels  []tensor.NHWC
}

// Options are the choices that a session is made with. The zero value is the default.
type Options = blocks.Options

// Session prepares the adapter for batch pictures of height × width pixels, which are multiples of
// Config.Factor, with the default Options or those given. For a U-Net that works on latents they are
// the sizes of the image that comes of them.
func (a *T2I) Session(batch, height, width int, options ...Options) (*T2ISession, error) {
	c := &a.Config
	if err := size.Check("pictures", batch, height, width, 1); err != nil {
		return nil, fmt.Errorf("adapter: session for %w", err)
	}
	if height%c.Factor != 0 || width%c.Factor != 0 {
		return nil, fmt.Errorf("adapter: pictures of %d×%d, want multiples of %d", height, width, c.Factor)
	}
	o, err := blocks.Given(options)
	if err != nil {
		return nil, fmt.Errorf("adapter: session: %w", err)
	}
	s := &T2ISession{shape: tensor.NHWC{N: batch, H: height, W: width, C: c.InChannels}}
	s.build(a, o)
	return s, nil
}

// Program returns the session's program, to observe or measure its ops.
func (s *T2ISession) Program() *program.Program { return s.program }

// Forward makes the features of pictures, as many as the session's batch, with values from 0 to 1. It
// returns them as a condition's residual, whose Levels are memory of the session: the next Forward
// overwrites them. Scale is left to the caller.
//
// Forward neither allocates nor fails but for pictures of another shape, a session in use, and a
// context that is canceled, which is looked at between ops and leaves features undefined.
func (s *T2ISession) Forward(ctx context.Context, picture tensor.NHWC) (cond.Residual, error) {
	picture.Check("adapter: picture")
	if !picture.SameShape(s.shape) {
		return cond.Residual{}, fmt.Errorf("adapter: picture is %s, want %s", picture.Shape(), s.shape.Shape())
	}
	if s.busy.Swap(true) {
		return cond.Residual{}, errBusy
	}
	s.picture = picture
	err := s.program.Run(ctx)
	s.picture = tensor.NHWC{}
	s.busy.Store(false)
	if err != nil {
		return cond.Residual{}, err
	}
	return cond.Residual{Levels: s.levels}, nil
}

var errBusy = errors.New("adapter: the session is in use")

// build makes the session's program.
func (s *T2ISession) build(a *T2I, o Options) {
	g := &blocks.Graph{Engine: a.engine, Options: o}
	k := a.Config.Factor
	pixels := g.Image(s.shape.N, s.shape.H/k, s.shape.W/k, s.shape.C*k*k)
	g.Add(program.Op{Name: "adapter.unshuffle", Kind: "resample", Dst: pixels, Bind: func(m program.Memory) func() {
		d := m.Image(pixels)
		return func() { resample.PixelUnshuffle(g.Engine, d, s.picture, k) }
	}})
	x := pixels
	if a.in != nil {
		x = a.in.Image(g, pixels)
		a.in.Build(g, x, pixels, blocks.Fuse{})
	}
	for _, b := range a.body {
		y := b.build(g, x)
		level := tensor.Make(y.N, y.H, y.W, y.C)
		s.levels = append(s.levels, level)
		g.Add(program.Op{Name: b.name, Kind: "copy", Src: []program.Value{y}, Bind: func(m program.Memory) func() {
			src := m.Image(y)
			return func() { tensor.Copy(level, src) }
		}})
		x = y
	}
	s.program = g.Build()
}

// build appends the level, and returns its output. It may overwrite src.
func (b *t2iBlock) build(g *blocks.Graph, src program.Value) program.Value {
	x := src
	if b.pool {
		pooled := g.Image(src.N, (src.H+1)/2, (src.W+1)/2, src.C)
		g.Add(program.Op{Name: b.name + ".downsample", Kind: "resample", Dst: pooled, Src: []program.Value{src}, Bind: func(m program.Memory) func() {
			d, s := m.Image(pooled), m.Image(src)
			return func() { resample.AveragePool(g.Engine, d, s, 2) }
		}})
		x = pooled
	}
	if b.in != nil {
		h := g.Image(x.N, x.H, x.W, b.width)
		b.in.Build(g, h, x, blocks.Fuse{})
		x = h
	}
	h := g.Image(x.N, x.H, x.W, b.width)
	for _, l := range b.layers {
		l.first.Build(g, h, x, blocks.Fuse{Act: kernels.ReLU})
		l.second.Build(g, x, h, blocks.Fuse{Add: x})
	}
	if b.out != nil {
		y := g.Image(x.N, x.H, x.W, b.out.Out)
		b.out.Build(g, y, x, blocks.Fuse{})
		x = y
	}
	return x
}
