package golden_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/clip"
	"github.com/lanewise/lanewise/internal/golden"
)

// runTokenizer runs the prompts of a group E: clip_ids.json, for the tokenizer in clip_tokenizer. Where other
// tokenizers of CLIP give other ids than transformers' CLIPTokenizer without ftfy, ids are the latter's.
func runTokenizer(t *testing.T, dir string) {
	tok, err := clip.LoadTokenizer(os.DirFS(filepath.Join(dir, "clip_tokenizer")))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "clip_ids.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Prompt string
		IDs    []int // between those for beginning and end, however many
		IDs77  []int `json:"ids_77"` // padded or cut; left out where it is padded with the end
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Error("no prompts")
	}
	for i, c := range cases {
		t.Run(fmt.Sprintf("prompt=%d", i), func(t *testing.T) {
			if len(c.IDs) < 2 {
				t.Fatalf("%q: ids %v", c.Prompt, c.IDs)
			}
			begin, want, end := c.IDs[0], c.IDs[1:len(c.IDs)-1], c.IDs[len(c.IDs)-1]
			if got := tok.Split(c.Prompt); !slices.Equal(got, want) {
				t.Errorf("%q: %v, want %v", c.Prompt, got, want)
			}
			got := tok.Encode(c.Prompt)
			if got.IDs[0] != begin || !slices.Contains(got.IDs[1:], end) {
				t.Errorf("%q: %v, want beginning %d and end %d", c.Prompt, got.IDs, begin, end)
			}
			padded := c.IDs77
			if padded == nil && len(c.IDs) <= 77 {
				padded = append(slices.Clone(c.IDs), slices.Repeat([]int{end}, 77-len(c.IDs))...)
			}
			if !slices.Equal(got.IDs, padded) {
				t.Errorf("%q: %v, want %v", c.Prompt, got.IDs, padded)
			}
			if (len(got.Cut) > 0) != (len(want) > 75) || got.Unknown != nil {
				t.Errorf("%q: cut %q, unknown %q of %d ids", c.Prompt, got.Cut, got.Unknown, len(want))
			}
		})
	}
}

// TestPipelineTokenizers compares the ids that diffusers' pipelines gave their text encoders, in the cases of
// group F, with those of the tokenizers in the pipelines' directories.
func TestPipelineTokenizers(t *testing.T) {
	for _, root := range roots() {
		text, err := os.ReadFile(filepath.Join(root, "index.json"))
		if err != nil {
			t.Fatal(err)
		}
		var calls map[string]struct {
			Directory string `json:"pipeline_dir"`
			Call      struct {
				Prompt   string
				Negative string `json:"negative_prompt"`
			}
		}
		if err := json.Unmarshal(text, &calls); err != nil {
			t.Fatal(err)
		}
		cases, err := golden.Index(root)
		if err != nil {
			t.Fatal(err)
		}
		const ids = "in.expect.input_ids" // _2 behind it is for the second encoder
		for _, c := range cases {
			if _, ok := c.Inputs[ids]; !ok {
				continue
			}
			call := calls[c.Name]
			t.Run(c.Name, func(t *testing.T) {
				if err := c.Open(); err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				for _, name := range c.Tensors("in.expect.") {
					suffix := strings.TrimPrefix(name, ids)
					tok, err := clip.LoadTokenizer(os.DirFS(filepath.Join(root, call.Directory, "tokenizer"+suffix)))
					if err != nil {
						t.Fatal(err)
					}
					want, err := c.Int64(name)
					if err != nil {
						t.Fatal(err)
					}
					var got []int64
					for _, prompt := range []string{call.Call.Negative, call.Call.Prompt} {
						for _, id := range tok.Encode(prompt).IDs {
							got = append(got, int64(id))
						}
					}
					if !slices.Equal(got, want) {
						t.Errorf("%s: %v, want %v", name, got, want)
					}
				}
			})
		}
	}
}
