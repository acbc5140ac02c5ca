package clip_test

import (
	"context"
	"fmt"
	"io/fs"
	"log"
	"os"

	"github.com/lanewise/lanewise/clip"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/modeltest"
)

// A prompt becomes ids. Any tokenizer of CLIP will do: os.DirFS("stable-diffusion-v1-5/tokenizer"). This one
// knows few words and takes 12 tokens, where CLIP's takes 77.
func ExampleLoadTokenizer() {
	tok, err := clip.LoadTokenizer(os.DirFS("testdata/tokenizer"))
	if err != nil {
		log.Fatal(err)
	}
	text := tok.Encode("The red fox")
	fmt.Println(text.IDs)

	text = tok.Encode("the red fox in the snow, the blue cat, the apple!")
	fmt.Println(text.IDs)
	fmt.Printf("%d tokens have no room for %q\n", tok.Length(), text.Cut)
	// Output:
	// [538 520 516 519 539 539 539 539 539 539 539 539]
	// [538 520 516 519 523 520 522 267 520 530 526 539]
	// 12 tokens have no room for ["," "the" "apple" "!"]
}

// Brackets give weights.
func ExampleParseWeights() {
	for _, p := range clip.ParseWeights("a (very (red:1.3)) fox in [the] snow") {
		fmt.Printf("%.4g %q\n", p.Weight, p.Text)
	}
	// Output:
	// 1 "a "
	// 1.1 "very "
	// 1.43 "red"
	// 1 " fox in "
	// 0.9091 "the"
	// 1 " snow"
}

// A positive and a negative prompt, one with weights and too long for the encoder, become two contexts of as many
// tokens for cross-attention.
func ExampleTokenizer_Prompts() {
	e, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	const config = `{"architectures": ["CLIPTextModel"], "vocab_size": 540, "max_position_embeddings": 12, "eos_token_id": 539,
		"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}`
	dir := modeltest.Files(config, "model", 1, func(fsys fs.FS) error {
		_, err := clip.LoadText(e, fsys)
		return err
	})
	m, err := clip.LoadText(e, dir) // os.DirFS("stable-diffusion-v1-5/text_encoder")
	if err != nil {
		log.Fatal(err)
	}
	tok, err := clip.LoadTokenizer(os.DirFS("testdata/tokenizer"))
	if err != nil {
		log.Fatal(err)
	}

	for _, p := range tok.Prompts(clip.PromptOptions{}, "the (red fox:1.3) in the snow, the [blue] cat, the apple", "cats") {
		out, err := m.Encode(context.Background(), p.Chunks, clip.TextOptions{})
		if err != nil {
			log.Fatal(err)
		}
		context := out.States // of all chunks: for cond.Text
		if err := p.Weigh(context); err != nil {
			log.Fatal(err)
		}
		fmt.Println(p.Chunks)
		fmt.Println(context.Rows, "×", context.Cols)
	}
	// Output:
	// [[538 520 516 519 523 520 522 267 520 530 526 539] [538 267 520 537 539 539 539 539 539 539 539 539]]
	// 24 × 16
	// [[538 527 539 539 539 539 539 539 539 539 539 539] [538 539 539 539 539 539 539 539 539 539 539 539]]
	// 24 × 16
}
