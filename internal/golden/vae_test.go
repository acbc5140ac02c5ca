package golden_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/golden"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
	"github.com/lanewise/lanewise/vae"
)

// runAutoencoder encodes an image and decodes latents, which a case has independently of each other.
func runAutoencoder(e *engine.Engine, c *golden.Case) error {
	for _, name := range c.Tensors("in.") {
		if !slices.Contains([]string{"in.image", "in.latent"}, name) {
			return unsupported("an autoencoder does not take " + name)
		}
	}
	m, err := vae.Open(e, c.Model())
	if err != nil {
		return err
	}
	got := make(map[string]golden.Tensor)
	var seen trace
	if c.Has("in.image") {
		if err := encode(m, c, got, &seen); err != nil {
			return err
		}
	}
	if c.Has("in.latent") {
		if err := decode(m, c, got, &seen); err != nil {
			return err
		}
	}
	if err := check(c, got); err != nil {
		return fmt.Errorf("%w\n%s", err, seen.firstOff(c))
	}
	return nil
}

// encode runs the encoder on the case's image.
func encode(m vae.Autoencoder, c *golden.Case, got map[string]golden.Tensor, seen *trace) error {
	in, err := c.Float32("in.image")
	if err != nil {
		return err
	}
	x := image(in)
	s, err := m.Encoder(x.N, x.H, x.W, c.Options)
	if err != nil {
		return err
	}
	to := s.Moments()
	if err := observed(s.Program(), seen, func() error { return s.Encode(context.Background(), to, x) }); err != nil {
		return err
	}
	mean := to.Mean
	got["out.mean"] = nchw(mean)
	got["out.latents"] = nchw(mean)
	if to.LogVar.Data != nil {
		moments := tensor.Make(mean.N, mean.H, mean.W, 2*mean.C)
		tensor.Copy(moments.Channels(0, mean.C), mean)
		tensor.Copy(moments.Channels(mean.C, moments.C), to.LogVar)
		got["out.moments"] = nchw(moments)
		std := tensor.Make(mean.N, mean.H, mean.W, mean.C)
		to.Std(std)
		got["out.std"] = nchw(std)
	}
	if tiny, ok := m.(*vae.Tiny); ok {
		scaled := tensor.Make(mean.N, mean.H, mean.W, mean.C)
		tensor.Copy(scaled, mean)
		tiny.Config.Unit(scaled)
		got["out.scaled"] = nchw(scaled)
	}
	return nil
}

// decode runs the decoder on the case's latents.
func decode(m vae.Autoencoder, c *golden.Case, got map[string]golden.Tensor, seen *trace) error {
	in, err := c.Float32("in.latent")
	if err != nil {
		return err
	}
	z := image(in)
	s, err := m.Decoder(z.N, z.H, z.W, c.Options)
	if err != nil {
		return err
	}
	to := s.Images()
	err = observed(s.Program(), seen, func() error { return s.Decode(context.Background(), to, z) })
	got["out.decoded"] = nchw(to)
	return err
}

// observed runs a program with a trace of its ops.
func observed(p *program.Program, seen *trace, run func() error) error {
	p.Observe(seen.add)
	defer p.Observe(nil)
	return run()
}

// nchw is an image as a case has it.
func nchw(t tensor.NHWC) golden.Tensor { return planes(t, []int{t.N, t.C, t.H, t.W}) }
