package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"testing/fstest"

	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
	"github.com/lanewise/lanewise/unet"
)

// Stable Diffusion 1.5's.
const (
	modelConfig = `{"_class_name": "UNet2DConditionModel", "cross_attention_dim": 768, "attention_head_dim": 8,
		"down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
		"block_out_channels": [320, 640, 1280, 1280]}`
	schedulerConfig = `{"_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
		"clip_sample": false, "set_alpha_to_one": false, "steps_offset": 1}`
	words, width = 77, 768 // of a prompt
)

// unet prints how far predictions and latents of a U-Net of random weights are from the direct ones.
func (s *settings) unet() error {
	dir, err := os.MkdirTemp("", "drift")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	weights, err := modeltest.Dense(dir, modelConfig, "diffusion_pytorch_model", 1, func(fsys fs.FS) error {
		_, err := unet.Load(s.engine, fsys)
		return err
	})
	if err != nil {
		return err
	}
	m, err := unet.Load(s.engine, weights)
	if err != nil {
		return err
	}
	fmt.Printf("\nU-Net of Stable Diffusion 1.5's shape, latents of %d×%d, beside the direct algorithm\n\n", s.size, s.size)
	fmt.Printf("| algorithm | one prediction: rms | largest | after %d steps: rms | largest |\n| --- | --- | --- | --- | --- |\n", s.steps)
	prediction, latents, err := s.sample(m, conv.Direct)
	if err != nil {
		return err
	}
	for _, a := range s.algorithms {
		p, x, err := s.sample(m, a)
		if err != nil {
			return err
		}
		rms, most := difference(p, prediction)
		after, mostAfter := difference(x, latents)
		fmt.Printf("| %v | %.1e | %.1e | %.1e | %.1e |\n", a, rms, most, after, mostAfter)
	}
	return nil
}

// sample returns the prediction for noise, and what the noise becomes.
func (s *settings) sample(m *unet.Model, a conv.Algorithm) (prediction, latents []float32, err error) {
	session, err := m.Session(1, s.size, s.size, unet.Options{Conv: conv.Options{Algorithm: a}})
	if err != nil {
		return nil, nil, err
	}
	prompt := tensor.MakeMat(words, width)
	copy(prompt.Data, modeltest.Random("prompt", 2, words, width).Data)
	bound, err := session.Bind(cond.Text(prompt))
	if err != nil {
		return nil, nil, err
	}
	c, err := sampler.ReadConfig(fstest.MapFS{"config.json": {Data: []byte(schedulerConfig)}}, "config.json", "")
	if err != nil {
		return nil, nil, err
	}
	plan, err := c.Plan(s.steps)
	if err != nil {
		return nil, nil, err
	}
	x := tensor.Make(1, s.size, s.size, m.Config.InChannels)
	sampler.Noise(x, 1)
	plan.Begin(x)
	predict := func(ctx context.Context, out, x tensor.NHWC, p sampler.Point) error {
		err := bound.Forward(ctx, out, x, p.T)
		if prediction == nil {
			prediction = slices.Clone(out.Data)
		}
		return err
	}
	for _, err := range sampler.Steps(context.Background(), predict, x, plan.Points, plan.Method) {
		if err != nil {
			return nil, nil, err
		}
	}
	return prediction, x.Data, nil
}
