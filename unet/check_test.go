package unet_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
	"github.com/lanewise/lanewise/unet"
)

func TestBindErrors(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	plain := small()
	plain.Down, plain.Up, plain.Mid = []string{down, down}, []string{up, up}, nil
	classes := small()
	classes.Classes = 3
	models := map[string]*unet.Model{}
	for name, c := range map[string]diffusers{"small": small(), "plain": plain, "classes": classes} {
		models[name] = loadModel(t, e, randomModel(t, c))
	}
	context := func(tokens, dim int) cond.Context { return cond.Context{Tokens: tensor.MakeMat(tokens, dim)} }
	spoiled := context(3, 12)
	spoiled.Tokens.Row(2)[5] = float32(math.NaN())
	shortMask, nanMask := context(3, 12), context(3, 12)
	shortMask.Mask, nanMask.Mask = make([]float32, 2), []float32{0, 0, float32(math.NaN())}
	nanScale := context(3, 12)
	nanScale.Scale = float32(math.NaN())
	with := func(c ...cond.Context) cond.Cond { return cond.Cond{Context: c} }
	for _, test := range []struct {
		model string
		conds []cond.Cond
		want  string
	}{
		{"small", nil, "0 conditions for a batch of 2"},
		{"small", slices.Repeat([]cond.Cond{with(context(3, 12))}, 3), "3 conditions for a batch of 2"},
		{"small", []cond.Cond{with(context(3, 12)), {}}, "condition 1: 0 contexts, want tokens"},
		{"small", []cond.Cond{with(cond.Context{Slot: 1, Tokens: tensor.MakeMat(3, 12)})}, "condition 0: context 0: slot 1, which the model has not, want 0 to 0"},
		{"small", []cond.Cond{with(context(3, 16))}, "condition 0: context 0: 3 tokens of 16 values, want at least 1 of 12"},
		{"small", []cond.Cond{with(context(0, 12))}, "context 0: 0 tokens of 12 values"},
		{"small", []cond.Cond{with(spoiled)}, "condition 0: context 0: token 2 is NaN at value 5"},
		{"small", []cond.Cond{with(shortMask)}, "mask of 2 values for 3 tokens"},
		{"small", []cond.Cond{with(nanMask)}, "mask with a value that is NaN"},
		{"small", []cond.Cond{with(nanScale)}, "context 0: scale NaN"},
		{"small", []cond.Cond{{Context: []cond.Context{context(3, 12)}, Class: 1}}, "class 1, but the model has no classes"},
		{"plain", []cond.Cond{with(context(3, 12))}, "1 contexts, but the model has no cross-attention"},
		{"classes", []cond.Cond{{Context: []cond.Context{context(3, 12)}, Class: 3}}, "class 3 of 3, want 0 to 2"},
		{"classes", []cond.Cond{{Context: []cond.Context{context(3, 12)}, Class: -1}}, "class -1 of 3"},
	} {
		s, err := models[test.model].Session(2, 4, 4)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Bind(test.conds...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.model, err, test.want)
		}
	}
}

// What is wrong with a condition is said before anything runs.
func TestConditionErrors(t *testing.T) {
	const h, w = 6, 6
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	rich, err := loadModel(t, e, writeModel(t, richModel)).Adapt(imagePrompt(t, e, richInners...))
	if err != nil {
		t.Fatal(err)
	}
	models := map[string]*unet.Model{
		"rich": rich, "pixels": loadModel(t, e, writeModel(t, pixels)), "image": loadModel(t, e, writeModel(t, imageTokens)),
		"shared": loadModel(t, e, writeModel(t, sharedSoftmax)),
		"learned": loadModel(t, e, writeModel(t, `{"_class_name": "UNet2DModel", "block_out_channels": [4, 4], "norm_num_groups": 2, "layers_per_block": 1,
			"down_block_types": ["DownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "UpBlock2D"], "add_attention": false,
			"time_embedding_type": "learned", "num_train_timesteps": 10, "class_embed_type": "timestep"}`)),
		"tokens of an image": loadModel(t, e, writeModel(t, strings.Replace(plainUNet, "{", `{"encoder_hid_dim": 6, "encoder_hid_dim_type": "image_proj",`, 1))),
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, test := range []struct {
		model, want string
		change      func(c *cond.Cond)
	}{
		{"rich", "context 1: slot 2, which the model has not, want 0 to 1: its own and one for each adapter", func(c *cond.Cond) { c.Context[1].Slot = 2 }},
		{"rich", "context 1: slot -1", func(c *cond.Cond) { c.Context[1].Slot = -1 }},
		{"rich", "context 1: 2 tokens of 11 values, want at least 1 of 12", func(c *cond.Cond) { c.Context[1].Tokens = randomMat(1, 2, 11) }},
		{"rich", "context 1: token 1 is +Inf at value 3", func(c *cond.Cond) { c.Context[1].Tokens.Row(1)[3] = inf }},
		{"rich", "context 1: scale NaN", func(c *cond.Cond) { c.Context[1].Scale = nan }},
		{"rich", "class 2 beside a vector that stands for one", func(c *cond.Cond) { c.Class = 2 }},
		{"rich", "class 3 of 3, want 0 to 2", func(c *cond.Cond) { c.Class = 3 }},
		{"rich", "vector of 5 values, want 32", func(c *cond.Cond) { c.Vector = make([]float32, 5) }},
		{"rich", "vector is NaN at value 4", func(c *cond.Cond) { c.Vector[4] = nan }},
		{"rich", "pooled of 6 values and 2 sizes, want 5 values with so many sizes: 13 in all with 4 for each size", func(c *cond.Cond) { c.Pooled = make([]float32, 6) }},
		{"rich", "pooled of 5 values and 3 sizes", func(c *cond.Cond) { c.Sizes = make([]float64, 3) }},
		{"rich", "pooled is NaN at value 0", func(c *cond.Cond) { c.Pooled[0] = nan }},
		{"rich", "size 1 is NaN", func(c *cond.Cond) { c.Sizes = []float64{1, math.NaN()} }},
		{"rich", "guidance of 1 values, want 7", func(c *cond.Cond) { c.Guidance = c.Guidance[:1] }},
		{"rich", "guidance is +Inf at value 6", func(c *cond.Cond) { c.Guidance[6] = inf }},
		{"rich", "concat is 1×6×5×2, want n×6×6×c with n 1 or 1 and c from 1 to 5", func(c *cond.Cond) { c.Concat = tensor.Make(1, 6, 5, 2) }},
		{"rich", "concat is 1×6×6×6", func(c *cond.Cond) { c.Concat = tensor.Make(1, 6, 6, 6) }},
		{"rich", "concat is 2×6×6×2", func(c *cond.Cond) { c.Concat = tensor.Make(2, 6, 6, 2) }},
		{"rich", "concat is NaN at channel 1 of image 0, row 2, column 3", func(c *cond.Cond) { c.Concat.Pixel(0, 2, 3)[1] = nan }},
		{"rich", "residual 0: scale NaN", func(c *cond.Cond) { c.Residual[0].Scale = nan }},
		{"rich", "residual 0: 3 skips, want 4", func(c *cond.Cond) { c.Residual[0].Skips = c.Residual[0].Skips[:3] }},
		{"rich", "residual 0: skip 2 is 1×6×6×8, want n×3×3×8 or n×1×1×8 with n 1 or 1", func(c *cond.Cond) { c.Residual[0].Skips[2] = tensor.Make(1, 6, 6, 8) }},
		{"rich", "residual 0: mid is 2×3×3×16", func(c *cond.Cond) { c.Residual[0].Mid = tensor.Make(2, 3, 3, 16) }},
		{"rich", "residual 0: level 0 is 1×3×3×8, want n×6×6×8", func(c *cond.Cond) { c.Residual[0].Levels[0] = tensor.Make(1, 3, 3, 8) }},
		{"rich", "residual 0: 4 levels, want at most 3: the model's, and the middle", func(c *cond.Cond) { c.Residual[0].Levels = make([]tensor.NHWC, 4) }},
		{"rich", "residual 0: level 1 is +Inf at channel 2 of image 0, row 1, column 0", func(c *cond.Cond) { c.Residual[0].Levels[1].Pixel(0, 1, 0)[2] = inf }},
		{"rich", "residual 1: mid is NaN", func(c *cond.Cond) { c.Residual[1].Mid.Data[0] = nan }},
		{"pixels", "1 contexts, but the model has no cross-attention", func(c *cond.Cond) { *c = cond.Text(randomMat(1, 2, 12)) }},
		{"pixels", "vector of 0 values, want 32", func(c *cond.Cond) { *c = cond.Cond{} }},
		{"pixels", "class 1, but the model's class is a vector", func(c *cond.Cond) { *c = cond.Cond{Class: 1, Vector: make([]float32, 32)} }},
		{"pixels", "pooled of 1 values, want 0", func(c *cond.Cond) { *c = cond.Cond{Vector: make([]float32, 32), Pooled: []float32{1}} }},
		{"pixels", "1 sizes, want none", func(c *cond.Cond) { *c = cond.Cond{Vector: make([]float32, 32), Sizes: []float64{1}} }},
		{"pixels", "guidance of 1 values, want 0", func(c *cond.Cond) { *c = cond.Cond{Vector: make([]float32, 32), Guidance: []float32{1}} }},
		{"image", "pooled of 0 values, want 24", func(c *cond.Cond) { *c = cond.Text(randomMat(1, 2, 10)) }},
		{"image", "vector of 4 values, want 0", func(c *cond.Cond) { *c = cond.Cond{Pooled: make([]float32, 24), Vector: make([]float32, 4)} }},
		{"shared", "no context in slot 0, whose tokens are pooled", func(c *cond.Cond) { *c = cond.Cond{Context: []cond.Context{{Slot: 1}}} }},
		{"learned", "class 10: time 10, want a whole one from 0 to 9", func(c *cond.Cond) { *c = cond.Cond{Class: 10} }},
		{"tokens of an image", "context of slot 0, but the model makes its tokens of an image", func(c *cond.Cond) { *c = cond.Text(randomMat(1, 2, 12)); c.Pooled = make([]float32, 6) }},
	} {
		c := richConds(h, w)[1]
		test.change(&c)
		s, err := models[test.model].Session(1, h, w)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Bind(c); err == nil || !strings.HasPrefix(err.Error(), "unet: condition 0: "+test.want) {
			t.Errorf("%s: error %v, want %s", test.model, err, test.want)
		}
	}

	s, err := rich.Session(2, h, w)
	if err != nil {
		t.Fatal(err)
	}
	one, two := richConds(h, w)[1], richConds(h, w)[1]
	two.Concat = tensor.Make(1, h, w, 1)
	if _, err := s.Bind(one, two); err == nil || !strings.Contains(err.Error(), "condition 1: concat of 1 channels beside one of 2") {
		t.Errorf("maps that differ: %v", err)
	}
	b, err := s.Bind(one)
	if err != nil {
		t.Fatal(err)
	}
	out := tensor.Make(2, h, w, 4)
	if err := b.Forward(t.Context(), out, tensor.Make(2, h, w, 6), 1); err == nil || !strings.Contains(err.Error(), "x is 2×6×6×6, want n×6×6×4") {
		t.Errorf("x with the channels of maps: %v", err)
	}

	// Times that a model does not know.
	for name, times := range map[string][]float64{"learned": {10, -1, 2.5}, "pixels": {0, -3}} {
		c := cond.Cond{}
		if name == "pixels" {
			c.Vector = make([]float32, 32)
		}
		b := bind(t, models[name], 1, h, w, c)
		x := tensor.Make(1, h, w, 3)
		for _, time := range times {
			if err := b.Forward(t.Context(), x, x, time); err == nil || !strings.HasPrefix(err.Error(), "unet: time ") {
				t.Errorf("%s: time %v: %v", name, time, err)
			}
		}
		if err := b.Forward(t.Context(), x, x, 3); err != nil {
			t.Errorf("%s afterwards: %v", name, err)
		}
	}
}
