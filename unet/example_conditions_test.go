package unet_test

import (
	"context"
	"fmt"
	"io/fs"
	"log"
	"testing/fstest"

	"github.com/lanewise/lanewise/adapter"
	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/tensor"
	"github.com/lanewise/lanewise/unet"
)

// A text prompt and an image prompt beside it: the picture has its own keys and values, which an
// IP-Adapter brings, and a weight.
func ExampleModel_Adapt() {
	e, done := start()
	defer done()
	m, err := unet.Load(e, example(e, plainUNet))
	if err != nil {
		log.Fatal(err)
	}
	ip, err := adapter.LoadImagePrompt(e, exampleAdapter(), "ip-adapter.safetensors")
	if err != nil {
		log.Fatal(err)
	}
	m, err = m.Adapt(ip) // shares all weights with the model that it was
	if err != nil {
		log.Fatal(err)
	}

	picture := tensor.MakeMat(1, ip.Embedding) // from clip.VisionModel
	tokens, err := ip.Tokens(context.Background(), picture)
	if err != nil {
		log.Fatal(err)
	}
	text := cond.Text(tensor.MakeMat(77, m.Config.ContextDim)) // from clip.TextModel
	both, err := cond.Join(text, cond.Image(1, tokens, 0.6))
	if err != nil {
		log.Fatal(err)
	}
	s, err := m.Session(2, 8, 8)
	if err != nil {
		log.Fatal(err)
	}
	b, err := s.Bind(text, both) // one image without the picture, one with it
	if err != nil {
		log.Fatal(err)
	}
	x, out := tensor.Make(1, 8, 8, 4), tensor.Make(2, 8, 8, 4)
	if err := b.Forward(context.Background(), out, x, 999); err != nil {
		log.Fatal(err)
	}
	fmt.Println(tokens.Rows, "tokens of a picture,", out.Shape())
	fmt.Println("the picture makes a difference:", out.Data[0] != out.Images(1, 2).Data[0])
	// Output:
	// 2 tokens of a picture, 2×8×8×4
	// the picture makes a difference: true
}

// Inpainting: a mask and the masked image stand behind the channels of what is denoised.
func ExampleSession_Bind_concat() {
	e, done := start()
	defer done()
	m, err := unet.Load(e, example(e, `{"_class_name": "UNet2DConditionModel", `+layout+`, `+ways+`, "in_channels": 9}`))
	if err != nil {
		log.Fatal(err)
	}
	s, err := m.Session(1, 8, 8)
	if err != nil {
		log.Fatal(err)
	}
	mask := cond.Cond{Concat: tensor.Make(1, 8, 8, 1)}
	masked := cond.Cond{Concat: tensor.Make(1, 8, 8, 4)}
	text := cond.Text(tensor.MakeMat(77, m.Config.ContextDim))
	all, err := cond.Join(text, mask, masked) // maps concatenate in this order
	if err != nil {
		log.Fatal(err)
	}
	b, err := s.Bind(all)
	if err != nil {
		log.Fatal(err)
	}
	x := tensor.Make(1, 8, 8, 4)
	fmt.Println(b.Forward(context.Background(), x, x, 999))

	_, err = s.Bind(text)
	fmt.Println(err) // the input has to bring all channels, then
	fmt.Println(b.Forward(context.Background(), x, tensor.Make(1, 8, 8, 9), 999))
	// Output:
	// <nil>
	// <nil>
	// unet: x is 1×8×8×9, want n×8×8×4 with n a divisor of 1
}

// Two ControlNets, the second at half its weight, and the features of a T2I-Adapter guide an image
// together. Residuals add.
func ExampleControlled() {
	e, done := start()
	defer done()
	m, err := unet.Load(e, example(e, plainUNet))
	if err != nil {
		log.Fatal(err)
	}
	prompt := cond.Text(tensor.MakeMat(77, m.Config.ContextDim))

	guided := prompt
	var nets []*unet.BoundControl
	for i, weight := range []float32{1, 0.5} {
		net, err := unet.LoadControlNet(e, exampleControlNet(e))
		if err != nil {
			log.Fatal(err)
		}
		s, err := net.Session(1, 8, 8)
		if err != nil {
			log.Fatal(err)
		}
		picture := tensor.Make(1, 8*net.Factor, 8*net.Factor, net.ImageChannels) // edges, depth, a pose, …
		b, err := s.Bind(picture, prompt)
		if err != nil {
			log.Fatal(err)
		}
		b.Scale = weight
		nets = append(nets, b)
		guided.Residual = append(guided.Residual, s.Residual(0, 1))
		fmt.Printf("net %d sees %s and makes %d skips\n", i, picture.Shape(), len(guided.Residual[i].Skips))
	}
	features := []tensor.NHWC{tensor.Make(1, 8, 8, 8), tensor.Make(1, 4, 4, 16)} // from adapter.T2ISession
	guided.Residual = append(guided.Residual, cond.Residual{Levels: features})

	s, err := m.Session(2, 8, 8)
	if err != nil {
		log.Fatal(err)
	}
	b, err := s.Bind(prompt, guided) // one image without any of it
	if err != nil {
		log.Fatal(err)
	}
	controlled := unet.Controlled{UNet: b, Nets: nets}
	x, out := tensor.Make(1, 8, 8, 4), tensor.Make(2, 8, 8, 4)
	if err := controlled.Forward(context.Background(), out, x, 999); err != nil {
		log.Fatal(err)
	}
	fmt.Println("a difference:", out.Data[0] != out.Images(1, 2).Data[0])
	// Output:
	// net 0 sees 1×32×32×3 and makes 4 skips
	// net 1 sees 1×32×32×3 and makes 4 skips
	// a difference: true
}

// Classes are vectors in a table. A mixture of two is a vector too.
func ExampleModel_ClassVector() {
	e, done := start()
	defer done()
	m, err := unet.Load(e, example(e, `{"_class_name": "UNet2DModel", "block_out_channels": [8, 8], "norm_num_groups": 4,
		"down_block_types": ["DownBlock2D", "AttnDownBlock2D"], "up_block_types": ["AttnUpBlock2D", "UpBlock2D"], "num_class_embeds": 10}`))
	if err != nil {
		log.Fatal(err)
	}
	seven, err := m.ClassVector(7)
	if err != nil {
		log.Fatal(err)
	}
	one, err := m.ClassVector(1)
	if err != nil {
		log.Fatal(err)
	}
	mixed, err := cond.Mix([]float64{0.6, 0.4}, seven, one)
	if err != nil {
		log.Fatal(err)
	}
	s, err := m.Session(3, 8, 8)
	if err != nil {
		log.Fatal(err)
	}
	b, err := s.Bind(cond.Cond{Class: 7}, cond.Cond{Vector: seven}, cond.Cond{Vector: mixed})
	if err != nil {
		log.Fatal(err)
	}
	x, out := tensor.Make(1, 8, 8, 3), tensor.Make(3, 8, 8, 3)
	if err := b.Forward(context.Background(), out, x, 999); err != nil {
		log.Fatal(err)
	}
	fmt.Println("7 by its vector is 7:", out.Images(0, 1).Data[0] == out.Images(1, 2).Data[0])
	fmt.Println("mixed it is another: ", out.Images(0, 1).Data[0] != out.Images(2, 3).Data[0])
	// Output:
	// 7 by its vector is 7: true
	// mixed it is another:  true
}

// SDXL is told a text as a whole and the sizes of the picture, a model distilled for few steps (LCM) the
// guidance scale: all join the time embedding.
func ExampleSession_Bind_pooled() {
	e, done := start()
	defer done()
	m, err := unet.Load(e, example(e, `{"_class_name": "UNet2DConditionModel", `+layout+`, `+ways+`, "time_cond_proj_dim": 16,
		"addition_embed_type": "text_time", "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 68}`))
	if err != nil {
		log.Fatal(err)
	}
	prompt := cond.Text(tensor.MakeMat(77, m.Config.ContextDim))
	prompt.Pooled = make([]float32, 20)                  // clip.TextOutput.Embedding
	prompt.Sizes = []float64{1024, 768, 0, 0, 1024, 768} // as it was, top and left of the crop, as wanted
	prompt.Guidance = m.GuidanceVector(7.5)
	s, err := m.Session(1, 8, 8)
	if err != nil {
		log.Fatal(err)
	}
	b, err := s.Bind(prompt)
	if err != nil {
		log.Fatal(err)
	}
	x := tensor.Make(1, 8, 8, m.Config.InChannels)
	fmt.Println(b.Forward(context.Background(), x, x, 999))

	prompt.Sizes = prompt.Sizes[:4]
	_, err = s.Bind(prompt)
	fmt.Println(err)
	// Output:
	// <nil>
	// unet: condition 0: pooled of 20 values and 4 sizes, want 36 values with so many sizes: 68 in all with 8 for each size
}

// In the U-Net of DeepFloyd IF pixels attend to a prompt's tokens and to each other in one softmax. It is
// conditioned as any other is.
func ExampleSession_Bind_addedKV() {
	e, done := start()
	defer done()
	m, err := unet.Load(e, example(e, `{"_class_name": "UNet2DConditionModel", "block_out_channels": [8, 16], "norm_num_groups": 4,
		"layers_per_block": 1, "cross_attention_dim": 12, "attention_head_dim": 4, "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
		"down_block_types": ["SimpleCrossAttnDownBlock2D", "ResnetDownsampleBlock2D"],
		"up_block_types": ["ResnetUpsampleBlock2D", "SimpleCrossAttnUpBlock2D"]}`))
	if err != nil {
		log.Fatal(err)
	}
	s, err := m.Session(2, 8, 8)
	if err != nil {
		log.Fatal(err)
	}
	words := tensor.MakeMat(7, m.Config.ContextDim) // from a text encoder
	words.Data[0] = 1
	b, err := s.Bind(cond.Text(words), cond.Text(words.Slice(1, 7)))
	if err != nil {
		log.Fatal(err)
	}
	x, out := tensor.Make(1, 8, 8, 4), tensor.Make(2, 8, 8, 4)
	if err := b.Forward(context.Background(), out, x, 999); err != nil {
		log.Fatal(err)
	}
	fmt.Println("a word makes a difference:", out.Data[0] != out.Images(1, 2).Data[0])
	// Output:
	// a word makes a difference: true
}

// start starts an engine.
func start() (e *engine.Engine, done func()) {
	e, err := engine.New(engine.Options{Workers: 2})
	if err != nil {
		log.Fatal(err)
	}
	return e, e.Close
}

// example is the directory of a U-Net with random weights.
func example(e *engine.Engine, config string) fs.FS {
	return modeltest.Files(config, "diffusion_pytorch_model", 1, func(fsys fs.FS) error {
		_, err := unet.Load(e, fsys)
		return err
	})
}

// exampleControlNet is that of a ControlNet of the same layout.
func exampleControlNet(e *engine.Engine) fs.FS {
	return modeltest.Files(`{"_class_name": "ControlNetModel", `+layout+`, "conditioning_embedding_out_channels": [4, 4, 8]}`,
		"diffusion_pytorch_model", 2, func(fsys fs.FS) error {
			_, err := unet.LoadControlNet(e, fsys)
			return err
		})
}

// exampleAdapter is the file of an IP-Adapter for plainUNet: a picture's embedding of 5 values makes 2
// tokens, and four layers attend to them.
func exampleAdapter() fs.FS {
	weights := make(map[string]modeltest.Tensor)
	add := func(name string, shape ...int) { weights[name] = modeltest.Random(name, 3, shape...) }
	add("image_proj.proj.weight", 24, 5)
	add("image_proj.proj.bias", 24)
	add("image_proj.norm.weight", 12)
	add("image_proj.norm.bias", 12)
	for i, inner := range richInners {
		add(fmt.Sprintf("ip_adapter.%d.to_k_ip.weight", 2*i+1), inner, 12)
		add(fmt.Sprintf("ip_adapter.%d.to_v_ip.weight", 2*i+1), inner, 12)
	}
	return fstest.MapFS{"ip-adapter.safetensors": {Data: modeltest.Safetensors(weights)}}
}
