package adapter_test

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

// exampleUNet is a small U-Net with cross-attention.
const exampleUNet = `{"_class_name": "UNet2DConditionModel", "block_out_channels": [8, 16], "norm_num_groups": 4, "cross_attention_dim": 12,
	"attention_head_dim": 2, "layers_per_block": 1, "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"]}`

// newExampleUNet makes a U-Net with random weights. In earnest it is unet.Load(e, os.DirFS("sd15/unet")).
func newExampleUNet(e *engine.Engine) (m *unet.Model) {
	modeltest.Files(exampleUNet, "diffusion_pytorch_model", 1, func(fsys fs.FS) (err error) {
		m, err = unet.Load(e, fsys)
		return err
	})
	return m
}

// A picture beside the text: the adapter makes tokens of its embedding, and the U-Net attends to them with
// keys and values of the adapter's.
func ExampleImagePrompt() {
	e, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	m := newExampleUNet(e)

	// In earnest, a file as they are published: os.DirFS("IP-Adapter/models").
	weights := map[string]modeltest.Tensor{}
	add := func(name string, shape ...int) { weights[name] = modeltest.Random(name, 1, shape...) }
	add("image_proj.proj.weight", 4*12, 20)
	add("image_proj.proj.bias", 4*12)
	add("image_proj.norm.weight", 12)
	add("image_proj.norm.bias", 12)
	for number, inner := range map[int]int{1: 8, 3: 8, 5: 8, 7: 16} { // down, up, up, middle
		add(fmt.Sprintf("ip_adapter.%d.to_k_ip.weight", number), inner, 12)
		add(fmt.Sprintf("ip_adapter.%d.to_v_ip.weight", number), inner, 12)
	}
	ip, err := adapter.LoadImagePrompt(e, fstest.MapFS{"ip.safetensors": {Data: modeltest.Safetensors(weights)}}, "ip.safetensors")
	if err != nil {
		log.Fatal(err)
	}
	m, err = m.Adapt(ip)
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	embedding := tensor.MakeMat(1, ip.Embedding) // a clip.VisionModel's
	tokens, err := ip.Tokens(ctx, embedding)
	if err != nil {
		log.Fatal(err)
	}
	nothing, err := ip.Negative(ctx)
	if err != nil {
		log.Fatal(err)
	}
	text := cond.Text(tensor.MakeMat(77, 12)) // a clip.TextModel's
	positive, err := cond.Join(text, cond.Image(1, tokens, 0.6))
	if err != nil {
		log.Fatal(err)
	}
	negative, err := cond.Join(text, cond.Image(1, nothing, 0.6))
	if err != nil {
		log.Fatal(err)
	}
	s, err := m.Session(2, 8, 8)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := s.Bind(negative, positive); err != nil {
		log.Fatal(err)
	}
	fmt.Println(ip.Kind, "makes", tokens.Rows, "tokens of", tokens.Cols)
	// Output: Plain makes 4 tokens of 12
}

// Edges as features of every level, which the U-Net adds to its own.
func ExampleT2I() {
	e, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	m := newExampleUNet(e)

	// In earnest, os.DirFS("t2iadapter_canny_sd15v2").
	const config = `{"_class_name": "T2IAdapter", "in_channels": 1, "channels": [8, 16], "num_res_blocks": 1}`
	var edges *adapter.T2I
	modeltest.Files(config, "diffusion_pytorch_model", 1, func(fsys fs.FS) (err error) {
		edges, err = adapter.LoadT2I(e, fsys)
		return err
	})
	once, err := edges.Session(1, 64, 64) // the size of the image, 8 times that of its latents
	if err != nil {
		log.Fatal(err)
	}
	features, err := once.Forward(context.Background(), tensor.Make(1, 64, 64, 1))
	if err != nil {
		log.Fatal(err)
	}
	features.Scale = 0.8
	guided := cond.Text(tensor.MakeMat(77, 12))
	guided.Residual = append(guided.Residual, features)

	s, err := m.Session(1, 8, 8)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := s.Bind(guided); err != nil {
		log.Fatal(err)
	}
	for _, level := range features.Levels {
		fmt.Println(level.Shape())
	}
	// Output:
	// 1×8×8×8
	// 1×4×4×16
}

// Two pictures, each through an adapter of its own, of which the first counts more.
func ExampleMultiT2I() {
	e, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	const config = `{"_class_name": "T2IAdapter", "channels": [8, 16], "num_res_blocks": 1}`
	load := func(seed uint64) (a *adapter.T2I) {
		modeltest.Files(config, "diffusion_pytorch_model", seed, func(fsys fs.FS) (err error) {
			a, err = adapter.LoadT2I(e, fsys)
			return err
		})
		return a
	}
	both, err := adapter.NewMultiT2I(load(1), load(2))
	if err != nil {
		log.Fatal(err)
	}
	s, err := both.Session(1, 64, 64)
	if err != nil {
		log.Fatal(err)
	}
	depth, pose := tensor.Make(1, 64, 64, 3), tensor.Make(1, 64, 64, 3)
	features, err := s.Forward(context.Background(), []tensor.NHWC{depth, pose}, []float64{0.7, 0.3})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(features.Levels), "levels")
	// Output: 2 levels
}
