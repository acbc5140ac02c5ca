package unet_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/unet"
)

// An image prompt whose keys and values are the text's does with tokens what the text does with them:
// scales of two contexts of the same tokens add.
func TestAdaptByTheTextsOwnLayers(t *testing.T) {
	const h, w = 5, 4
	e := kerneltest.Engine(t, kernels.Available()[0], 2)
	fsys := writeModel(t, plainUNet)
	m := loadModel(t, e, fsys)
	prompt := imagePromptOf(t, e, fsys, "down_blocks.0.attentions.0", "up_blocks.1.attentions.0", "up_blocks.1.attentions.1", "mid_block.attentions.0")
	adapted, err := m.Adapt(prompt)
	if err != nil {
		t.Fatal(err)
	}
	tokens, x := randomMat(1, 6, 12), randomImages(2, 1, h, w, 4)
	once := cond.Cond{Context: []cond.Context{{Tokens: tokens}}}
	beside := cond.Cond{Context: []cond.Context{{Tokens: tokens, Scale: 0.75}, {Slot: 1, Tokens: tokens, Scale: 0.25}}}
	alone := cond.Cond{Context: []cond.Context{{Slot: 1, Tokens: tokens}}}
	want := forward(t, bind(t, m, 1, h, w, once), x, 4, 9)
	near := make([]float64, len(want.Data))
	for i, v := range want.Data {
		near[i] = float64(v)
	}
	for name, c := range map[string]cond.Cond{"beside": beside, "alone": alone} {
		got := forward(t, bind(t, adapted, 1, h, w, c), x, 4, 9)
		kerneltest.Near(t, name, got.Data, near, func(int) float64 { return 1e-5 })
	}
	kerneltest.Same(t, "without the image", forward(t, bind(t, adapted, 1, h, w, once), x, 4, 9).Data, want.Data)

	// Two adapters, of which each condition may use another.
	both, err := adapted.Adapt(imagePrompt(t, e, richInners...))
	if err != nil {
		t.Fatal(err)
	}
	second := cond.Cond{Context: []cond.Context{{Tokens: tokens}, {Slot: 2, Tokens: tokens}}}
	got := forward(t, bind(t, both, 2, h, w, alone, second), x, 4, 9, 9)
	kerneltest.Near(t, "of two", got.Images(0, 1).Data, near, func(int) float64 { return 1e-5 })
	if slices.Equal(got.Images(1, 2).Data, want.Data) {
		t.Error("the second adapter does nothing")
	}
	kerneltest.Same(t, "the model itself", forward(t, bind(t, m, 1, h, w, once), x, 4, 9).Data, want.Data)
}

func TestAdaptErrors(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	m := loadModel(t, e, writeModel(t, plainUNet))
	for want, try := range map[string]func() (*unet.Model, error){
		"unet: mid_block.attentions.0.transformer_blocks.0.attn2: the adapter has no layer 7": func() (*unet.Model, error) {
			return m.Adapt(imagePrompt(t, e, 8, 8, 8))
		},
		"unet: up_blocks.1.attentions.0.transformer_blocks.0.attn2: layer 3 of the adapter has keys of 12 values, want 8": func() (*unet.Model, error) {
			return m.Adapt(imagePrompt(t, e, 8, 12, 8, 16))
		},
		"unet: the adapter has a layer 9, the model 4 layers with cross-attention: 1, 3, … 7": func() (*unet.Model, error) {
			return m.Adapt(imagePrompt(t, e, 8, 8, 8, 16, 8))
		},
		"unet: an image prompt for a model without cross-attention": func() (*unet.Model, error) {
			return loadModel(t, e, writeModel(t, pixels)).Adapt(imagePrompt(t, e, 8))
		},
		"unet: mid_block: an image prompt needs cross-attention of its own": func() (*unet.Model, error) {
			return loadModel(t, e, writeModel(t, sharedSoftmax)).Adapt(imagePrompt(t, e, 8))
		},
	} {
		if _, err := try(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
