package lora_test

import (
	"fmt"
	"io/fs"
	"log"
	"testing/fstest"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/lora"
	"github.com/lanewise/lanewise/unet"
)

// Two LoRAs for a small U-Net, of which one also has something for another model.
func Example() {
	e, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	// In earnest, os.DirFS("sd15/unet").
	dir := modeltest.Files(`{"_class_name": "UNet2DConditionModel", "block_out_channels": [8], "norm_num_groups": 4, "cross_attention_dim": 12,
		"attention_head_dim": 2, "down_block_types": ["CrossAttnDownBlock2D"], "up_block_types": ["CrossAttnUpBlock2D"]}`,
		"diffusion_pytorch_model", 1, func(fsys fs.FS) error { _, err := unet.Load(e, fsys); return err })

	const rank = 4
	query := "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_q"
	files := fstest.MapFS{
		"watercolour.safetensors": {Data: modeltest.Safetensors(map[string]modeltest.Tensor{
			"unet." + query + ".lora_A.weight":           modeltest.Random("a", 1, rank, 8),
			"unet." + query + ".lora_B.weight":           modeltest.Random("b", 1, 8, rank),
			"unet.conv_other.lora_A.weight":              modeltest.Random("c", 1, rank, 8, 3, 3),
			"unet.conv_other.lora_B.weight":              modeltest.Random("d", 1, 8, rank, 1, 1),
			"text_encoder.text_projection.lora_A.weight": modeltest.Random("e", 1, rank, 8),
			"text_encoder.text_projection.lora_B.weight": modeltest.Random("f", 1, 8, rank),
		})},
		"night.safetensors": {Data: modeltest.Safetensors(map[string]modeltest.Tensor{
			"lora_unet_conv_in.lora_down.weight": modeltest.Random("g", 1, rank, 4, 3, 3),
			"lora_unet_conv_in.lora_up.weight":   modeltest.Random("h", 1, 8, rank, 1, 1),
			"lora_unet_conv_in.alpha":            {Shape: []int{}, Data: []float32{rank / 2}},
		})},
	}
	watercolour, err := lora.Open(files, "watercolour.safetensors")
	if err != nil {
		log.Fatal(err)
	}
	defer watercolour.Close()
	night, err := lora.Open(files, "night.safetensors")
	if err != nil {
		log.Fatal(err)
	}
	defer night.Close()

	m, err := unet.Load(e, dir, watercolour.UNet(0.8), night.UNet(0.5))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("unused:", m.Unused)
	// Output: unused: [unet.conv_other (watercolour.safetensors)]
}
