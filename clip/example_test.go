package clip_test

import (
	"context"
	"fmt"
	"image"
	"io/fs"
	"log"

	"github.com/lanewise/lanewise/clip"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/modeltest"
)

// A picture of any size becomes one vector, and a sequence of states, which image prompts are made of.
// Any image encoder will do: os.DirFS("ip-adapter/image_encoder").
func ExampleLoadVision() {
	e, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	const config = `{"architectures": ["CLIPVisionModelWithProjection"], "image_size": 32, "patch_size": 8,
		"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": 12}`
	dir := modeltest.Files(config, "model", 1, func(fsys fs.FS) error {
		_, err := clip.LoadVision(e, fsys)
		return err
	})

	m, err := clip.LoadVision(e, dir)
	if err != nil {
		log.Fatal(err)
	}
	picture := image.NewRGBA(image.Rect(0, 0, 200, 120)) // from image.Decode
	pixels, err := clip.NewPreprocessor(m.Config.Size).Pixels(picture)
	if err != nil {
		log.Fatal(err)
	}
	out, err := m.Encode(context.Background(), pixels, clip.VisionOptions{Hidden: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("pixels", pixels.Shape())
	fmt.Println("embedding", out.Embedding.Rows, "×", out.Embedding.Cols)
	penultimate := out.Hidden[m.Config.Layers-1]
	fmt.Println("states", penultimate.Rows, "×", penultimate.Cols)
	// Output:
	// pixels 1×32×32×3
	// embedding 1 × 12
	// states 17 × 16
}

// A prompt's ids become what a U-Net attends to. Any text encoder will do:
// os.DirFS("stable-diffusion-v1-5/text_encoder").
func ExampleLoadText() {
	e, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	const config = `{"architectures": ["CLIPTextModelWithProjection"], "vocab_size": 50, "max_position_embeddings": 8, "eos_token_id": 49,
		"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": 12}`
	dir := modeltest.Files(config, "model", 1, func(fsys fs.FS) error {
		_, err := clip.LoadText(e, fsys)
		return err
	})

	m, err := clip.LoadText(e, dir)
	if err != nil {
		log.Fatal(err)
	}
	ids := []int{48, 5, 17, 49, 49, 49, 49, 49} // from a tokenizer
	out, err := m.Encode(context.Background(), [][]int{ids}, clip.TextOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("states", out.States.Rows, "×", out.States.Cols)
	fmt.Println("embedding", out.Embedding.Rows, "×", out.Embedding.Cols)
	// Output:
	// states 8 × 16
	// embedding 1 × 12
}
