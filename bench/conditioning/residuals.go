package main

import (
	"context"
	"io/fs"
	"time"

	"github.com/lanewise/lanewise/adapter"
	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
	"github.com/lanewise/lanewise/unet"
)

// residuals measures T2I-Adapters and ControlNets.
func (b *bench) residuals() error {
	m, err := b.unet("residuals", "")
	if err != nil {
		return err
	}
	s, err := m.Session(1, b.size, b.size)
	if err != nil {
		return err
	}
	plain, err := b.step("", s, text())
	if err != nil {
		return err
	}
	t2i, err := b.t2i(s)
	if err != nil {
		return err
	}
	controlled, err := b.controlled(s)
	if err != nil {
		return err
	}
	return b.table(plain, t2i, controlled)
}

// t2i is a step with the features of a T2I-Adapter, which are made once.
func (b *bench) t2i(s *unet.Session) (mechanism, error) {
	dir, err := b.folder("t2i")
	if err != nil {
		return mechanism{}, err
	}
	var a *adapter.T2I
	if _, err := modeltest.Sparse(dir, `{"_class_name": "T2IAdapter", "adapter_type": "full_adapter", "channels": [320, 640, 1280, 1280]}`,
		"diffusion_pytorch_model", func(fsys fs.FS) (err error) { a, err = adapter.LoadT2I(b.engine, fsys); return err }); err != nil {
		return mechanism{}, err
	}
	as, err := a.Session(1, 8*b.size, 8*b.size)
	if err != nil {
		return mechanism{}, err
	}
	start := time.Now()
	r, err := as.Forward(context.Background(), b.image(8*b.size, 3))
	if err != nil {
		return mechanism{}, err
	}
	once := time.Since(start)
	whole, err := cond.Join(text(), cond.Cond{Residual: []cond.Residual{r}})
	if err != nil {
		return mechanism{}, err
	}
	step, err := b.step("T2I-Adapter, full", s, whole)
	step.once = once
	return step, err
}

// controlled is a step with a ControlNet, which runs in every step.
func (b *bench) controlled(s *unet.Session) (mechanism, error) {
	dir, err := b.folder("controlnet")
	if err != nil {
		return mechanism{}, err
	}
	var net *unet.ControlNet
	if _, err := modeltest.Sparse(dir, config("ControlNetModel", ""), "diffusion_pytorch_model", func(fsys fs.FS) (err error) {
		net, err = unet.LoadControlNet(b.engine, fsys)
		return err
	}); err != nil {
		return mechanism{}, err
	}
	cs, err := net.Session(1, b.size, b.size)
	if err != nil {
		return mechanism{}, err
	}
	start := time.Now()
	edges, err := cs.Bind(b.image(net.Factor*b.size, net.ImageChannels), text())
	if err != nil {
		return mechanism{}, err
	}
	once := time.Since(start)
	prompt := text()
	prompt.Residual = []cond.Residual{cs.Residual(0, 1)}
	bound, err := s.Bind(prompt)
	if err != nil {
		return mechanism{}, err
	}
	both := unet.Controlled{UNet: bound, Nets: []*unet.BoundControl{edges}}
	x, out := b.image(b.size, 4), tensor.Make(1, b.size, b.size, 4)
	step := mechanism{name: "ControlNet", once: once, run: func(ctx context.Context) error { return both.Forward(ctx, out, x, 500) }}
	for _, p := range []*program.Program{cs.Program(), s.Program()} {
		flop, err := flopOf(p, step.run)
		if err != nil {
			return mechanism{}, err
		}
		step.flop += flop
	}
	return step, nil
}
