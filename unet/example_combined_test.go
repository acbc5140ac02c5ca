package unet_test

import (
	"context"
	"fmt"
	"log"

	"github.com/lanewise/lanewise/adapter"
	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
	"github.com/lanewise/lanewise/unet"
)

// A text prompt, a style image and the outlines of a ControlNet, away from a negative prompt: all in one
// predictor, which a sampler asks once a step.
func Example_combined() {
	e, done := start()
	defer done()
	m, err := unet.Load(e, example(e, plainUNet))
	if err != nil {
		log.Fatal(err)
	}
	net, err := unet.LoadControlNet(e, exampleControlNet(e))
	if err != nil {
		log.Fatal(err)
	}
	ip, err := adapter.LoadImagePrompt(e, exampleAdapter(), "ip-adapter.safetensors")
	if err != nil {
		log.Fatal(err)
	}
	if m, err = m.Adapt(ip); err != nil {
		log.Fatal(err)
	}

	prompt := cond.Text(tensor.MakeMat(77, m.Config.ContextDim)) // from clip.TextModel
	negative := cond.Text(tensor.MakeMat(77, m.Config.ContextDim))
	tokens, err := ip.Tokens(context.Background(), tensor.MakeMat(1, ip.Embedding)) // from clip.VisionModel
	if err != nil {
		log.Fatal(err)
	}
	control, err := net.Session(2, 8, 8)
	if err != nil {
		log.Fatal(err)
	}
	outlines := tensor.Make(1, 8*net.Factor, 8*net.Factor, net.ImageChannels)
	edges, err := control.Bind(outlines, negative, prompt)
	if err != nil {
		log.Fatal(err)
	}

	negative.Residual = []cond.Residual{control.Residual(0, 1)}
	positive, err := cond.Join(
		prompt,
		cond.Image(1, tokens, 0.6),
		cond.Cond{Residual: []cond.Residual{control.Residual(1, 2)}},
	)
	if err != nil {
		log.Fatal(err)
	}
	session, err := m.Session(2, 8, 8)
	if err != nil {
		log.Fatal(err)
	}
	bound, err := session.Bind(negative, positive)
	if err != nil {
		log.Fatal(err)
	}

	model := unet.Controlled{UNet: bound, Nets: []*unet.BoundControl{edges}}
	predict := sampler.Guide(func(ctx context.Context, out, x tensor.NHWC, p sampler.Point) error {
		return model.Forward(ctx, out, x, p.T)
	}, 7.5)
	x := tensor.Make(1, 8, 8, 4)
	sampler.Noise(x, 7)
	points := []sampler.Point{{T: 999, Alpha: 0.1, Sigma: 0.995}, {T: 500, Alpha: 0.7, Sigma: 0.714}, {Alpha: 1}}
	for step, err := range sampler.Steps(context.Background(), predict, x, points, sampler.Euler{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("step", step.Index+1, "of", step.Count)
	}
	// Output:
	// step 1 of 2
	// step 2 of 2
}
