package unet_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
	"github.com/lanewise/lanewise/unet"
)

func loadControlNet(t testing.TB, e *engine.Engine, config string) *unet.ControlNet {
	t.Helper()
	n, err := unet.LoadControlNet(e, writeControlNet(t, config))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// bindControl makes a session of a ControlNet and binds it.
func bindControl(t testing.TB, n *unet.ControlNet, batch, h, w int, image tensor.NHWC, conds ...cond.Cond) (*unet.ControlSession, *unet.BoundControl) {
	t.Helper()
	s, err := n.Session(batch, h, w)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Bind(image, conds...)
	if err != nil {
		t.Fatal(err)
	}
	return s, b
}

// flat is a residual's values, of all skips and the middle.
func flat(r cond.Residual) []float32 {
	var all []float32
	for _, image := range append(slices.Clone(r.Skips), r.Mid) {
		for p := range image.N * image.H * image.W {
			all = append(all, image.Tokens().Row(p)...)
		}
	}
	return all
}

// controlCond is a condition of controlNet.
func controlCond(seed uint64, tokens int) cond.Cond {
	return cond.Cond{Context: []cond.Context{{Tokens: randomMat(seed, tokens, 12)}}, Class: int(seed % 3)}
}

// plainUNet is a U-Net of the layout that controlNet is a copy of.
const plainUNet = `{"_class_name": "UNet2DConditionModel", ` + layout + `, ` + ways + `}`

func TestControlNetSameBits(t *testing.T) {
	const h, w = 5, 7
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		var alone []float32
		for _, workers := range []int{1, 2, 7} {
			n := loadControlNet(t, kerneltest.Engine(t, set, workers), controlNet)
			x, image := randomImages(1, 2, h, w, 4), randomImages(2, 2, 4*h, 4*w, 3)
			conds := []cond.Cond{controlCond(3, 4), controlCond(4, 9)}
			times := []float64{999, 0.5}
			if workers == 1 {
				var parts [2]cond.Residual
				for i, c := range conds {
					s, b := bindControl(t, n, 1, h, w, image.Images(i, i+1), c)
					if err := b.ForwardEach(t.Context(), x.Images(i, i+1), times[i:i+1]); err != nil {
						t.Fatal(err)
					}
					parts[i] = s.Residual(0, 1)
				}
				for i := range parts {
					alone = append(alone, flat(parts[i])...)
				}
			}
			s, b := bindControl(t, n, 2, h, w, image, conds...)
			if err := b.ForwardEach(t.Context(), x, times); err != nil {
				t.Fatal(err)
			}
			kerneltest.Same(t, kerneltest.Name("workers", workers), append(flat(s.Residual(0, 1)), flat(s.Residual(1, 2))...), alone)
		}
	})
}

// What a condition has for the U-Net alone makes no difference to a ControlNet.
func TestControlNetTakesTheConditionsOfAUNet(t *testing.T) {
	const h, w = 4, 4
	n := loadControlNet(t, kerneltest.Engine(t, kernels.Available()[0], 1), controlNet)
	image, x := randomImages(1, 1, 16, 16, 3), randomImages(2, 1, h, w, 4)
	c := controlCond(1, 3)
	s, b := bindControl(t, n, 1, h, w, image, c)
	if err := b.Forward(t.Context(), x, 10); err != nil {
		t.Fatal(err)
	}
	want := flat(s.Residual(0, 1))
	c.Context = append(c.Context, cond.Context{Slot: 1, Tokens: randomMat(3, 4, 20)})
	c.Concat, c.Guidance, c.Pooled, c.Sizes = tensor.Make(1, h, w, 5), []float32{1}, []float32{2}, []float64{3}
	c.Residual = []cond.Residual{s.Residual(0, 1)}
	b, err := s.Bind(image, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Forward(t.Context(), x, 10); err != nil {
		t.Fatal(err)
	}
	kerneltest.Same(t, "residuals", flat(s.Residual(0, 1)), want)
}

// Scale and Guess weigh the residuals as they say, and Reversed is what turning the channels of the image
// around is.
func TestControlNetOptions(t *testing.T) {
	const h, w = 4, 4
	e := kerneltest.Engine(t, kernels.Available()[0], 2)
	n := loadControlNet(t, e, controlNet)
	image, x, c := randomImages(1, 1, 16, 16, 3), randomImages(2, 1, h, w, 4), controlCond(1, 3)
	run := func(s *unet.ControlSession, b *unet.BoundControl) cond.Residual {
		if err := b.Forward(t.Context(), x, 10); err != nil {
			t.Fatal(err)
		}
		return s.Residual(0, 1)
	}
	s, b := bindControl(t, n, 1, h, w, image, c)
	plain := flat(run(s, b))
	b.Scale = 0.25
	want := make([]float32, len(plain))
	for i, v := range plain {
		want[i] = 0.25 * v
	}
	kerneltest.Same(t, "a quarter", flat(run(s, b)), want)

	b.Scale, b.Guess = 0, true
	r := run(s, b)
	at := 0
	for i, part := range append(slices.Clone(r.Skips), r.Mid) {
		factor := math.Pow(10, float64(i)/float64(len(r.Skips))-1) // from a tenth to one
		near := make([]float64, len(part.Data))
		for k := range near {
			near[k] = factor * float64(plain[at+k])
		}
		kerneltest.Near(t, kerneltest.Name("part", i), part.Data, near, func(k int) float64 { return 1e-6 * math.Abs(near[k]) })
		at += len(near)
	}

	turned := tensor.Make(1, 16, 16, 3)
	for p := range 16 * 16 {
		copy(turned.Tokens().Row(p), image.Tokens().Row(p))
		slices.Reverse(turned.Tokens().Row(p))
	}
	reversed := loadControlNet(t, e, strings.Replace(controlNet, "{", `{"controlnet_conditioning_channel_order": "bgr",`, 1))
	s, b = bindControl(t, reversed, 1, h, w, turned, c)
	kerneltest.Same(t, "reversed", flat(run(s, b)), plain)

	pooled := loadControlNet(t, e, strings.Replace(controlNet, "{", `{"global_pool_conditions": true,`, 1))
	s, b = bindControl(t, pooled, 1, h, w, image, c)
	b.Guess = true // has no effect
	means := run(s, b)
	at = 0
	for i, skip := range r.Skips {
		near := make([]float64, skip.C)
		for p := range skip.H * skip.W {
			for k := range near {
				near[k] += float64(plain[at+p*skip.C+k]) / float64(skip.H*skip.W)
			}
		}
		at += len(skip.Data)
		if got := means.Skips[i].Shape(); got != tensor.Make(1, 1, 1, skip.C).Shape() {
			t.Fatalf("skip %d is %s", i, got)
		}
		kerneltest.Near(t, kerneltest.Name("mean", i), means.Skips[i].Data, near, func(int) float64 { return 1e-6 })
	}
}

// A U-Net with several ControlNets is what their residuals make of it, each with its weight, in every step.
func TestControlled(t *testing.T) {
	const h, w = 6, 4
	e := kerneltest.Engine(t, kernels.Available()[0], 2)
	m := loadModel(t, e, writeModel(t, plainUNet))
	nets := []*unet.ControlNet{loadControlNet(t, e, controlNet), loadControlNet(t, e, strings.Replace(controlNet, "[4, 6, 8]", "[4, 4]", 1))}
	uncond, prompt := controlCond(3, 2), controlCond(6, 5)
	var bounds []*unet.BoundControl
	for i, n := range nets {
		s, b := bindControl(t, n, 1, h, w, randomImages(uint64(i), 1, n.Factor*h, n.Factor*w, 3), prompt)
		r := s.Residual(0, 1)
		r.Scale = float32(i) + 0.5
		prompt.Residual = append(prompt.Residual, r)
		bounds = append(bounds, b)
	}
	prompt.Class, uncond.Class = 0, 0 // the U-Net has none
	controlled := unet.Controlled{UNet: bind(t, m, 2, h, w, uncond, prompt), Nets: bounds}
	out := tensor.Make(2, h, w, 4)
	var last []float32
	for step := range 3 {
		x, time := randomImages(uint64(10+step), 1, h, w, 4), float64(100*step)
		if err := controlled.Forward(t.Context(), out, x, time); err != nil {
			t.Fatal(err)
		}
		// The same with residuals that stay as they are, summed beforehand.
		sum := cond.Residual{}
		for i, r := range prompt.Residual {
			for k, skip := range append(slices.Clone(r.Skips), r.Mid) {
				if i == 0 {
					sum.Skips = append(sum.Skips, tensor.Make(1, skip.H, skip.W, skip.C))
				}
				for j, v := range skip.Data {
					sum.Skips[k].Data[j] += r.Scale * v
				}
			}
		}
		lastSkip := len(sum.Skips) - 1
		sum.Skips, sum.Mid = sum.Skips[:lastSkip], sum.Skips[lastSkip]
		fixed := prompt
		fixed.Residual = []cond.Residual{sum}
		want := forward(t, bind(t, m, 2, h, w, uncond, fixed), x, 4, time, time)
		near := make([]float64, len(want.Data))
		for i, v := range want.Data {
			near[i] = float64(v)
		}
		kerneltest.Near(t, kerneltest.Name("step", step), out.Data, near, func(int) float64 { return 1e-5 })
		plain := prompt
		plain.Residual = nil
		if y := forward(t, bind(t, m, 1, h, w, plain), x, 4, time); slices.Equal(y.Data, out.Images(1, 2).Data) || slices.Equal(out.Data, last) {
			t.Error("without effect")
		}
		last = slices.Clone(out.Data)
	}

	ctx, cancel := context.WithCancel(t.Context())
	x := randomImages(1, 1, h, w, 4)
	kerneltest.NoAllocations(t, "controlled", func() {
		if err := controlled.Forward(ctx, out, x, 5); err != nil {
			t.Fatal(err)
		}
	})
	cancel()
	if err := controlled.Forward(ctx, out, x, 5); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// Of the blocks of a ControlNet, those of the levels can attend to tokens alone; the middle is not told.
func TestControlNetOnlyCross(t *testing.T) {
	n := loadControlNet(t, kerneltest.Engine(t, kernels.Available()[0], 1), strings.Replace(controlNet, "{", `{"only_cross_attention": true,`, 1))
	if down, mid := n.Config.Levels[0].Down, n.Config.Mid; !down.OnlyCross || mid.OnlyCross || mid.ResNets != 2 {
		t.Errorf("down %+v, mid %+v", down, mid)
	}
}

func TestControlNetErrors(t *testing.T) {
	const h, w = 4, 4
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	n := loadControlNet(t, e, controlNet)
	for _, s := range [][3]int{{0, 4, 4}, {1, 1 << 20, 1 << 20}} {
		if _, err := n.Session(s[0], s[1], s[2]); err == nil || !strings.HasPrefix(err.Error(), "controlnet: session") {
			t.Errorf("a session of %v: %v", s, err)
		}
	}
	s, err := n.Session(2, h, w)
	if err != nil {
		t.Fatal(err)
	}
	good, nan := randomImages(1, 1, 16, 16, 3), randomImages(1, 1, 16, 16, 3)
	nan.Pixel(0, 3, 5)[1] = float32(math.NaN())
	for want, bind := range map[string]func() error{
		"controlnet: image is 1×16×20×3, want n×16×16×3 with n a divisor of 2": func() error { _, err := s.Bind(tensor.Make(1, 16, 20, 3), controlCond(1, 3)); return err },
		"controlnet: image is 1×16×16×1":                                       func() error { _, err := s.Bind(tensor.Make(1, 16, 16, 1), controlCond(1, 3)); return err },
		"controlnet: image is 3×16×16×3":                                       func() error { _, err := s.Bind(tensor.Make(3, 16, 16, 3), controlCond(1, 3)); return err },
		"controlnet: image is NaN at channel 1 of image 0, row 3, column 5":    func() error { _, err := s.Bind(nan, controlCond(1, 3)); return err },
		"controlnet: 3 conditions for a batch of 2":                            func() error { _, err := s.Bind(good, make([]cond.Cond, 3)...); return err },
		"controlnet: condition 0: 0 contexts":                                  func() error { _, err := s.Bind(good, cond.Cond{Context: []cond.Context{{Slot: 1}}}); return err },
		"controlnet: condition 1: class 3 of 3": func() error {
			c := controlCond(1, 3)
			c.Class = 3
			_, err := s.Bind(good, controlCond(1, 3), c)
			return err
		},
	} {
		if err := bind(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	b, err := s.Bind(good, controlCond(1, 3))
	if err != nil {
		t.Fatal(err)
	}
	x := tensor.Make(2, h, w, 4)
	for want, run := range map[string]func() error{
		"controlnet: x is 2×4×4×5, want n×4×4×4": func() error { return b.Forward(t.Context(), tensor.Make(2, h, w, 5), 1) },
		"controlnet: time NaN":                   func() error { return b.Forward(t.Context(), x, math.NaN()) },
		"controlnet: 1 times for a batch of 2":   func() error { return b.ForwardEach(t.Context(), x, []float64{1}) },
		"controlnet: scale NaN": func() error {
			b.Scale = float32(math.NaN())
			defer func() { b.Scale = 1 }()
			return b.Forward(t.Context(), x, 1)
		},
	} {
		if err := run(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	modeltest.OneUser(t, s.Program(), func() error { return b.Forward(t.Context(), x, 1) })
}

// A ControlNet's loader says what is wrong as a U-Net's does.
func TestLoadControlNetErrors(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	for text, want := range map[string]string{
		`"_class_name": "UNet2DConditionModel"`:           `_class_name is "UNet2DConditionModel", supported: "ControlNetModel"`,
		`"controlnet_conditioning_channel_order": "gbr"`:  `controlnet_conditioning_channel_order is "gbr", supported: "rgb" or "bgr"`,
		`"mid_block_type": null`:                          `mid_block_type is null, supported: "UNetMidBlock2DCrossAttn" or "UNetMidBlock2D"`,
		`"class_embed_type": "simple_projection"`:         `class_embed_type is "simple_projection", supported: null or "timestep" or "identity" or "projection"`,
		`"addition_embed_type": "image"`:                  `addition_embed_type is "image", supported: null or "text" or "text_time"`,
		`"encoder_hid_dim": 8`:                            `encoder_hid_dim is 8, supported: null`,
		`"conditioning_embedding_out_channels": [4, 0]`:   `conditioning_embedding_out_channels is [4, 0]`,
		`"down_block_types": ["DownBlock2D"]`:             `down_block_types is ["DownBlock2D"], supported: a list of 4`,
		`"down_block_types": ["A", "B", "C", "KDown"]`:    `supported: a list of ["AttnDownBlock2D"`,
		`"resnet_time_scale_shift": "spatial"`:            `resnet_time_scale_shift is "spatial"`,
		`"norm_num_groups": null`:                         `norm_num_groups is null`,
		`"only_cross_attention": [true]`:                  `only_cross_attention is [true]`,
		`"transformer_layers_per_block": [[1], 1, 1, 1]`:  "",
		`"block_out_channels": [32, 64, 96, 100]`:         `norm_num_groups is missing, supported: a divisor of the block_out_channels, [32 64 96 100]`,
		`"cross_attention_dim": "big"`:                    `cross_attention_dim is "big"`,
		`"projection_class_embeddings_input_dim": "many"`: `projection_class_embeddings_input_dim is "many"`,
	} {
		fsys := oneFile("config.json", []byte("{"+text+"}"))
		_, err := unet.LoadControlNet(e, fsys)
		if want == "" {
			want = "diffusion_pytorch_model" // the configuration is right, the weights are missing
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "controlnet: ") {
			t.Errorf("%s:\n\tgot  %v\n\twant %s", text, err, want)
		}
	}
}
