package vae

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// Options are the choices that an Encoder or a Decoder is made with. The zero value is the default.
type Options = blocks.Options

// newGraph returns the beginning of a session's program.
func newGraph(e *engine.Engine, options []Options) (*blocks.Graph, error) {
	o, err := blocks.Given(options)
	if err != nil {
		return nil, fmt.Errorf("vae: session: %w", err)
	}
	return &blocks.Graph{Engine: e, Options: o}, nil
}

// Encoder is the way from images of one shape to latents: a program and its memory. It has one
// user at a time.
type Encoder struct {
	session
	normal bool // latents have variances
	to     Moments
}

// Decoder is the way from latents of one shape to images: a program and its memory. It has one
// user at a time.
type Decoder struct {
	session
	to tensor.NHWC
}

// session is what both ways have in common. Shapes are images without Data.
type session struct {
	program *program.Program
	in, out tensor.NHWC // shapes

	busy atomic.Bool
	x    tensor.NHWC // what goes in, during a run
}

// Program returns the session's program, to observe or measure its ops.
func (s *session) Program() *program.Program { return s.program }

// Moments allocates what Encode fills.
func (s *Encoder) Moments() Moments {
	m := Moments{Mean: tensor.Make(s.out.N, s.out.H, s.out.W, s.out.C)}
	if s.normal {
		m.LogVar = tensor.Make(s.out.N, s.out.H, s.out.W, s.out.C)
	}
	return m
}

// Images allocates what Decode fills.
func (s *Decoder) Images() tensor.NHWC { return tensor.Make(s.out.N, s.out.H, s.out.W, s.out.C) }

// Encode fills to with the latents of images, whose values go from −1 to 1.
//
// It neither allocates nor fails, but for operands that do not fit, a session in use, and a context
// that is canceled: that is looked at between ops, and leaves to as it was.
func (s *Encoder) Encode(ctx context.Context, to Moments, images tensor.NHWC) error {
	if err := fits("vae: images", images, s.in); err != nil {
		return err
	}
	if err := fits("vae: means", to.Mean, s.out); err != nil {
		return err
	}
	if s.normal {
		if err := fits("vae: logarithms of variances", to.LogVar, s.out); err != nil {
			return err
		}
	} else if to.LogVar.Data != nil {
		return errors.New("vae: there are no variances to encode")
	}
	if s.busy.Swap(true) {
		return errBusy
	}
	s.x, s.to = images, to
	err := s.program.Run(ctx)
	s.x, s.to = tensor.NHWC{}, Moments{}
	s.busy.Store(false)
	return err
}

// Decode fills to with the images of latents, whose values go from about −1 to 1; they are not
// clipped.
//
// It neither allocates nor fails, but for operands that do not fit, a session in use, and a context
// that is canceled: that is looked at between ops, and leaves to as it was.
func (s *Decoder) Decode(ctx context.Context, to, latents tensor.NHWC) error {
	if err := fits("vae: latents", latents, s.in); err != nil {
		return err
	}
	if err := fits("vae: images", to, s.out); err != nil {
		return err
	}
	if s.busy.Swap(true) {
		return errBusy
	}
	s.x, s.to = latents, to
	err := s.program.Run(ctx)
	s.x, s.to = tensor.NHWC{}, tensor.NHWC{}
	s.busy.Store(false)
	return err
}

var errBusy = errors.New("vae: the session is in use")

// fits is an error unless x has the shape wanted. It panics where x lacks memory for its shape.
func fits(what string, x, shape tensor.NHWC) error {
	if !x.SameShape(shape) {
		return fmt.Errorf("%s are %s, want %s", what, x.Shape(), shape.Shape())
	}
	x.Check(what)
	return nil
}

// input appends what brings a session's input into the program, and returns it.
func (s *session) input(g *blocks.Graph) program.Value {
	x := g.Image(s.in.N, s.in.H, s.in.W, s.in.C)
	g.Add(program.Op{Name: "input", Kind: "copy", Dst: x, Bind: func(m program.Memory) func() {
		dst := m.Image(x)
		return func() { tensor.Copy(dst, s.x) }
	}})
	return x
}

// output appends what takes y out of the program, and builds it. y must not be used otherwise.
func (s *session) output(g *blocks.Graph, y program.Value, write func(y tensor.NHWC)) {
	g.Add(program.Op{Name: "output", Kind: "copy", Src: []program.Value{y}, Bind: func(m program.Memory) func() {
		src := m.Image(y)
		return func() { write(src) }
	}})
	s.program = g.Build()
}

// each appends what changes the pixels of x by f.
func each(g *blocks.Graph, name string, x program.Value, f func(pixel []float32)) {
	g.Add(program.Op{Name: name, Kind: "activation", Dst: x, Src: []program.Value{x}, Bind: func(m program.Memory) func() {
		pixels := m.Mat(x)
		return func() {
			for r := range pixels.Rows {
				f(pixels.Row(r))
			}
		}
	}})
}

// newEncoder builds a session from images of a shape to latents. build appends the network and
// returns what it makes of x.
func newEncoder(g *blocks.Graph, images tensor.NHWC, l Latents, normal bool, build func(x program.Value) program.Value) *Encoder {
	s := &Encoder{session: session{in: images}, normal: normal}
	y := build(s.input(g))
	s.out = tensor.NHWC{N: y.N, H: y.H, W: y.W, C: l.LatentChannels}
	s.output(g, y, func(y tensor.NHWC) {
		tensor.Copy(s.to.Mean, y.Channels(0, l.LatentChannels))
		if !normal {
			return
		}
		tensor.Copy(s.to.LogVar, y.Channels(l.LatentChannels, y.C))
		logs := s.to.LogVar.Tokens()
		for r := range logs.Rows {
			for c, v := range logs.Row(r) {
				logs.Row(r)[c] = min(max(v, logVarMin), logVarMax)
			}
		}
	})
	return s
}

// newDecoder builds a session from latents of a shape to images.
func newDecoder(g *blocks.Graph, latents tensor.NHWC, build func(x program.Value) program.Value) *Decoder {
	s := &Decoder{session: session{in: latents}}
	y := build(s.input(g))
	s.out = tensor.NHWC{N: y.N, H: y.H, W: y.W, C: y.C}
	s.output(g, y, func(y tensor.NHWC) { tensor.Copy(s.to, y) })
	return s
}
