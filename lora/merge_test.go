package lora_test

import (
	"math"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/lora"
	"github.com/lanewise/lanewise/safetensors"
)

// unetOf, textOf and text2Of are the models that a file may have something for.
var unetOf, textOf, text2Of = (*lora.File).UNet, (*lora.File).Text, (*lora.File).Text2

const (
	attn  = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
	layer = "text_model.encoder.layers.1"
)

// spellings are names of a pair in files, and the name of the weight that it is for.
var spellings = []struct {
	of             func(*lora.File, float64) *lora.Merge
	down, up, name string
}{
	// PEFT, and diffusers since it uses it.
	{unetOf, "unet." + attn + ".to_q.lora_A.weight", "unet." + attn + ".to_q.lora_B.weight", attn + ".to_q.weight"},
	{unetOf, "unet." + attn + ".to_out.0.lora_A.weight", "unet." + attn + ".to_out.0.lora_B.weight", attn + ".to_out.0.weight"},
	{unetOf, "unet." + attn + ".to_q.lora_A.default_0.weight", "unet." + attn + ".to_q.lora_B.default_0.weight", attn + ".to_q.weight"},
	{unetOf, "base_model.model." + attn + ".to_k.lora_A.weight", "base_model.model." + attn + ".to_k.lora_B.weight", attn + ".to_k.weight"},
	{unetOf, "base_model.model.unet." + attn + ".to_k.lora_A.weight", "base_model.model.unet." + attn + ".to_k.lora_B.weight", attn + ".to_k.weight"},
	{unetOf, "unet.base_model.model." + attn + ".to_k.lora_A.a.weight", "unet.base_model.model." + attn + ".to_k.lora_B.a.weight", attn + ".to_k.weight"},
	{unetOf, "transformer.transformer_blocks.1.attn2.to_v.lora_A.weight", "transformer.transformer_blocks.1.attn2.to_v.lora_B.weight", "transformer_blocks.1.attn2.to_v.weight"},
	{unetOf, "transformer_blocks.1.attn2.to_v.lora_A.weight", "transformer_blocks.1.attn2.to_v.lora_B.weight", "transformer_blocks.1.attn2.to_v.weight"},
	{textOf, "text_encoder." + layer + ".mlp.fc1.lora_A.weight", "text_encoder." + layer + ".mlp.fc1.lora_B.weight", layer + ".mlp.fc1.weight"},
	{textOf, "base_model.model." + layer + ".mlp.fc1.lora_A.weight", "base_model.model." + layer + ".mlp.fc1.lora_B.weight", layer + ".mlp.fc1.weight"},
	{text2Of, "text_encoder_2." + layer + ".self_attn.k_proj.lora_A.weight", "text_encoder_2." + layer + ".self_attn.k_proj.lora_B.weight", layer + ".self_attn.k_proj.weight"},
	// Diffusers before.
	{unetOf, "unet." + attn + ".to_v.lora.down.weight", "unet." + attn + ".to_v.lora.up.weight", attn + ".to_v.weight"},
	{unetOf, "unet.up_blocks.1.attentions.0.proj_in.lora.down.weight", "unet.up_blocks.1.attentions.0.proj_in.lora.up.weight", "up_blocks.1.attentions.0.proj_in.weight"},
	{textOf, "text_encoder." + layer + ".self_attn.q_proj.lora_linear_layer.down.weight", "text_encoder." + layer + ".self_attn.q_proj.lora_linear_layer.up.weight", layer + ".self_attn.q_proj.weight"},
	{text2Of, "text_encoder_2.text_projection.lora.down.weight", "text_encoder_2.text_projection.lora.up.weight", "text_projection.weight"},
	// The attention processors of its first version.
	{unetOf, attn + ".processor.to_q_lora.down.weight", attn + ".processor.to_q_lora.up.weight", attn + ".to_q.weight"},
	{unetOf, "unet." + attn + ".processor.to_out_lora.down.weight", "unet." + attn + ".processor.to_out_lora.up.weight", attn + ".to_out.0.weight"},
	{unetOf, "unet." + attn + ".to_k_lora.down.weight", "unet." + attn + ".to_k_lora.up.weight", attn + ".to_k.weight"},
	{unetOf, "unet.mid_block.attentions.0.processor.add_k_proj_lora.down.weight", "unet.mid_block.attentions.0.processor.add_k_proj_lora.up.weight", "mid_block.attentions.0.add_k_proj.weight"},
	{textOf, "text_encoder." + layer + ".self_attn.to_v_lora.down.weight", "text_encoder." + layer + ".self_attn.to_v_lora.up.weight", layer + ".self_attn.v_proj.weight"},
	{textOf, "text_encoder." + layer + ".self_attn.to_out_lora.down.weight", "text_encoder." + layer + ".self_attn.to_out_lora.up.weight", layer + ".self_attn.out_proj.weight"},
	// Kohya's scripts.
	{unetOf, "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0.lora_down.weight",
		"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0.lora_up.weight", attn + ".to_out.0.weight"},
	{unetOf, "lora_unet_mid_block_resnets_1_time_emb_proj.lora_down.weight", "lora_unet_mid_block_resnets_1_time_emb_proj.lora_up.weight", "mid_block.resnets.1.time_emb_proj.weight"},
	{unetOf, "lora_unet_input_blocks_4_1_transformer_blocks_1_ff_net_0_proj.lora_down.weight",
		"lora_unet_input_blocks_4_1_transformer_blocks_1_ff_net_0_proj.lora_up.weight", "down_blocks.1.attentions.0.transformer_blocks.1.ff.net.0.proj.weight"},
	{textOf, "lora_te_text_model_encoder_layers_1_self_attn_q_proj.lora_down.weight", "lora_te_text_model_encoder_layers_1_self_attn_q_proj.lora_up.weight", layer + ".self_attn.q_proj.weight"},
	{textOf, "lora_te1_text_model_encoder_layers_1_mlp_fc2.lora_down.weight", "lora_te1_text_model_encoder_layers_1_mlp_fc2.lora_up.weight", layer + ".mlp.fc2.weight"},
	{text2Of, "lora_te2_text_model_encoder_layers_1_mlp_fc2.lora_down.weight", "lora_te2_text_model_encoder_layers_1_mlp_fc2.lora_up.weight", layer + ".mlp.fc2.weight"},
	{text2Of, "lora_te2_text_projection.lora_down.weight", "lora_te2_text_projection.lora_up.weight", "text_projection.weight"},
}

func TestSpellings(t *testing.T) {
	const rank, scale = 3, 0.7
	e := kerneltest.Engine(t, kernels.Available()[0], 2)
	for _, s := range spellings {
		t.Run(s.down, func(t *testing.T) {
			down, up, w := random(1, rank, 10), random(2, 7, rank), random(3, 7, 10)
			f := open(t, map[string]modeltest.Tensor{s.down: down, s.up: up})
			m := s.of(f, scale)
			if unused := m.Unused(); len(unused) != 1 {
				t.Errorf("unused before: %v", unused)
			}
			got := slices.Clone(w.Data)
			if err := m.Add(e, got, "conv_in.weight", []int{7, 10}); err != nil {
				t.Fatal(err)
			}
			kerneltest.Same(t, "another weight", got, w.Data)
			modeltest.Says(t, m.Err(), "none of its 1 layers is one of the model's")
			if err := m.Add(e, got, s.name, []int{7, 10}); err != nil {
				t.Fatal(err)
			}
			want, bound := merged(w.Data, up.Data, nil, down.Data, scale, rank)
			near(t, s.name, got, want, bound)
			if unused := m.Unused(); len(unused) != 0 || m.Err() != nil {
				t.Errorf("unused %v, error %v", unused, m.Err())
			}
			for _, other := range []*lora.Merge{f.UNet(1), f.Text(1), f.Text2(1)} {
				if n := len(other.Unused()); n == 0 && other.Err() != nil || n > 0 && !slices.Equal(other.Unused(), s.of(f, 1).Unused()) {
					t.Errorf("another model: unused %v, error %v", other.Unused(), other.Err())
				}
			}
		})
	}
}

// Layers of all shapes, on every Set and worker count, in files of every type.
func TestShapes(t *testing.T) {
	const module, rank = "lora_unet_conv_in", 4
	for _, test := range []struct {
		what          string
		w             []int
		down, mid, up []int
	}{
		{"linear", []int{9, 20}, []int{rank, 20}, nil, []int{9, rank}},
		{"1×1 convolution", []int{9, 20, 1, 1}, []int{rank, 20, 1, 1}, nil, []int{9, rank, 1, 1}},
		{"linear pair for a 1×1 convolution", []int{9, 20, 1, 1}, []int{rank, 20}, nil, []int{9, rank}},
		{"1×1 pair for a linear layer", []int{9, 20}, []int{rank, 20, 1, 1}, nil, []int{9, rank, 1, 1}},
		{"3×3 convolution", []int{9, 20, 3, 3}, []int{rank, 20, 3, 3}, nil, []int{9, rank, 1, 1}},
		{"3×1 convolution", []int{9, 20, 3, 1}, []int{rank, 20, 3, 1}, nil, []int{9, rank, 1, 1}},
		{"three factors", []int{9, 20, 3, 3}, []int{rank, 20, 1, 1}, []int{rank, rank, 3, 3}, []int{9, rank, 1, 1}},
		{"large", []int{130, 70, 3, 3}, []int{rank, 70, 3, 3}, nil, []int{130, rank, 1, 1}},
	} {
		t.Run(test.what, func(t *testing.T) {
			var first []float32
			kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
				for _, dtype := range []string{"", "F16", "BF16"} {
					down, up, w := random(1, test.down...), random(2, test.up...), random(3, test.w...)
					weights := map[string]modeltest.Tensor{module + ".alpha": {Shape: []int{}, Data: []float32{3}, Type: "I64"}}
					var mid modeltest.Tensor
					if test.mid != nil {
						mid = random(4, test.mid...)
					}
					for name, p := range map[string]*modeltest.Tensor{".lora_down.weight": &down, ".lora_up.weight": &up, ".lora_mid.weight": &mid} {
						if p.Data == nil {
							continue
						}
						if p.Type = dtype; dtype != "" {
							kerneltest.Truncate(p.Data, map[string]kernels.HalfType{"F16": kernels.Float16, "BF16": kernels.BFloat16}[dtype])
						}
						weights[module+name] = *p
					}
					want, bound := merged(w.Data, up.Data, mid.Data, down.Data, 0.5*3/rank, rank)
					for _, workers := range []int{1, 2, 7} {
						got := slices.Clone(w.Data)
						if err := open(t, weights).UNet(0.5).Add(kerneltest.Engine(t, set, workers), got, "conv_in.weight", test.w); err != nil {
							t.Fatal(err)
						}
						near(t, "merged", got, want, bound)
						switch {
						case dtype != "" || set.ISA == kernels.Generic: // rounds twice at times
						case first == nil:
							first = got
						default:
							kerneltest.Same(t, kerneltest.Name("workers", workers), got, first)
						}
					}
				}
			})
		})
	}
}

// Every tensor that a loader reads is changed by all merges in order, and no other.
func TestSeveral(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 2)
	base := map[string]modeltest.Tensor{"a.weight": random(1, 6, 8), "b.weight": random(2, 6, 8), "c.weight": random(3, 6, 8), "a.bias": random(4, 6)}
	half := base["a.weight"]
	half.Type = "F16"
	kerneltest.Truncate(half.Data, kernels.Float16)
	base["a.weight"] = half
	first := map[string]modeltest.Tensor{
		"unet.a.lora_A.weight": random(5, 2, 8), "unet.a.lora_B.weight": random(6, 6, 2),
		"unet.z.lora_A.weight": random(5, 2, 8), "unet.z.lora_B.weight": random(6, 6, 2),
	}
	second := map[string]modeltest.Tensor{
		"lora_unet_a.lora_down.weight": random(7, 3, 8), "lora_unet_a.lora_up.weight": random(8, 6, 3), "lora_unet_a.alpha": one(1.5),
		"lora_unet_b.lora_down.weight": random(9, 1, 8), "lora_unet_b.lora_up.weight": random(10, 6, 1), "lora_unet_b.alpha": one(-1),
	}
	checkpoint, err := safetensors.OpenSharded(fstest.MapFS{"model.safetensors": {Data: modeltest.Safetensors(base)}}, "model")
	if err != nil {
		t.Fatal(err)
	}
	l := blocks.NewLoader(e, checkpoint, "test", open(t, first).UNet(0.25), open(t, second).UNet(2))
	a, b, c, bias := l.Tensor("a.weight", 6, 8), l.Tensor("b.weight", 6, 8), l.Tensor("c.weight", 6, 8), l.Tensor("a.bias", 6)
	if err := l.Err(); err != nil {
		t.Fatal(err)
	}
	want, bound := merged(base["a.weight"].Data, first["unet.a.lora_B.weight"].Data, nil, first["unet.a.lora_A.weight"].Data, 0.25, 2)
	middle := make([]float32, len(want))
	for i, v := range want {
		middle[i] = float32(v)
	}
	want, bound2 := merged(middle, second["lora_unet_a.lora_up.weight"].Data, nil, second["lora_unet_a.lora_down.weight"].Data, 2*1.5/3, 3)
	kerneltest.Near(t, "a", a, want, func(i int) float64 { return bound[i] + 2*bound2[i] })
	want, bound = merged(base["b.weight"].Data, second["lora_unet_b.lora_up.weight"].Data, nil, second["lora_unet_b.lora_down.weight"].Data, -2, 1)
	near(t, "b", b, want, bound)
	kerneltest.Same(t, "c", c, base["c.weight"].Data)
	kerneltest.Same(t, "bias", bias, base["a.bias"].Data)
	if unused := l.Unused(); !slices.Equal(unused, []string{"unet.z (" + name + ")"}) {
		t.Errorf("unused: %q", unused)
	}
}

// The factor is alpha over the rank, wherever alpha is said.
func TestAlpha(t *testing.T) {
	const pair = "unet.mid.to_q"
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	for _, test := range []struct {
		what     string
		file     string
		metadata string
		beside   string // adapter_config.json
		alpha    *modeltest.Tensor
		want     float64
	}{
		{"no alpha", name, "", "", nil, 1},
		{"a tensor", name, "", "", &modeltest.Tensor{Shape: []int{}, Data: []float32{2}}, 0.5},
		{"one value", name, "", "", &modeltest.Tensor{Shape: []int{1}, Data: []float32{8}, Type: "BF16"}, 2},
		{"an integer", name, "", "", &modeltest.Tensor{Shape: []int{}, Data: []float32{1}, Type: "I64"}, 0.25},
		{"nothing of it", name, "", "", &modeltest.Tensor{Shape: []int{}, Data: []float32{0}}, 0},
		{"diffusers", name, `{"unet.r": 4, "unet.lora_alpha": 8, "text_encoder.lora_alpha": 1}`, "", nil, 2},
		{"diffusers, another model", name, `{"text_encoder.lora_alpha": 1}`, "", nil, 1},
		{"a pattern", name, `{"unet.lora_alpha": 8, "unet.alpha_pattern": {"to_q": 1, "mid.to_q": 2, "o_q": 7, "other": 3}}`, "", nil, 0.5},
		{"rank-stabilised", name, `{"unet.lora_alpha": 8, "unet.use_rslora": true}`, "", nil, 4},
		{"rank-stabilised by default", name, `{"unet.use_rslora": true}`, "", nil, 2},
		{"a tensor and metadata", name, `{"unet.lora_alpha": 8}`, "", &modeltest.Tensor{Shape: []int{}, Data: []float32{2}}, 0.5},
		{"rank-stabilised, with a tensor", name, `{"unet.use_rslora": true}`, "", &modeltest.Tensor{Shape: []int{}, Data: []float32{2}}, 0.5},
		{"PEFT", "dir/adapter_model.safetensors", "", `{"peft_type": "LORA", "r": 4, "lora_alpha": 16, "alpha_pattern": {}}`, nil, 4},
		{"another's configuration", "dir/style.safetensors", "", `{"lora_alpha": 16}`, nil, 1},
	} {
		t.Run(test.what, func(t *testing.T) {
			down, up, w := random(1, 4, 5), random(2, 3, 4), random(3, 3, 5)
			weights := map[string]modeltest.Tensor{pair + ".lora_A.weight": down, pair + ".lora_B.weight": up}
			if test.alpha != nil {
				weights[pair+".alpha"] = *test.alpha
			}
			var metadata map[string]string
			if test.metadata != "" {
				metadata = map[string]string{"lora_adapter_metadata": test.metadata, "format": "pt"}
			}
			fsys := fstest.MapFS{test.file: {Data: modeltest.SafetensorsWith(metadata, weights)}}
			if test.beside != "" {
				fsys["dir/adapter_config.json"] = &fstest.MapFile{Data: []byte(test.beside)}
			}
			f, err := lora.Open(fsys, test.file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			got := slices.Clone(w.Data)
			if err := f.UNet(1).Add(e, got, "mid.to_q.weight", []int{3, 5}); err != nil {
				t.Fatal(err)
			}
			want, bound := merged(w.Data, up.Data, nil, down.Data, test.want, 4)
			near(t, "merged", got, want, bound)
		})
	}
}

// Rows get the norms that a DoRA says, one LoRA after the other.
func TestMagnitudes(t *testing.T) {
	const rank, scale = 3, 0.4
	e := kerneltest.Engine(t, kernels.Available()[0], 2)
	for _, test := range []struct {
		names                [3]string
		w, down, up, vectors []int
	}{
		{[3]string{"unet.a.lora_A.weight", "unet.a.lora_B.weight", "unet.a.lora_magnitude_vector"}, []int{7, 10}, []int{rank, 10}, []int{7, rank}, []int{7}},
		{[3]string{"a.lora_A.d.weight", "a.lora_B.d.weight", "a.lora_magnitude_vector.d"}, []int{7, 10}, []int{rank, 10}, []int{7, rank}, []int{7}},
		{[3]string{"a.lora_A.d.weight", "a.lora_B.d.weight", "a.lora_magnitude_vector.d.weight"}, []int{7, 10}, []int{rank, 10}, []int{7, rank}, []int{7}},
		{[3]string{"a.lora_A.weight", "a.lora_B.weight", "a.lora_magnitude_vector.weight"}, []int{7, 10, 3, 3}, []int{rank, 10, 3, 3}, []int{7, rank, 1, 1}, []int{1, 7, 1, 1}},
	} {
		down, up, vectors, w := random(1, test.down...), random(2, test.up...), random(3, test.vectors...), random(4, test.w...)
		f := open(t, map[string]modeltest.Tensor{test.names[0]: down, test.names[1]: up, test.names[2]: vectors})
		got := slices.Clone(w.Data)
		columns := len(got) / 7
		for range 2 {
			want, _ := merged(got, up.Data, nil, down.Data, scale, rank)
			for r := range 7 {
				norm := 0.0
				for _, v := range want[r*columns : (r+1)*columns] {
					norm += v * v
				}
				for c := range columns {
					want[r*columns+c] *= float64(vectors.Data[r]) / math.Sqrt(norm)
				}
			}
			if err := f.UNet(scale).Add(e, got, "a.weight", test.w); err != nil {
				t.Fatal(err)
			}
			kerneltest.Near(t, test.names[2], got, want, func(i int) float64 { return 1e-6 })
		}
	}
}

func TestAddErrors(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	pair := func(down, up modeltest.Tensor) map[string]modeltest.Tensor {
		return map[string]modeltest.Tensor{"lora_unet_a.lora_down.weight": down, "lora_unet_a.lora_up.weight": up}
	}
	nan := random(1, 2, 5)
	nan.Data[3] = float32(math.NaN())
	inf := random(1, 3, 2)
	inf.Data[5] = float32(math.Inf(-1))
	for _, test := range []struct {
		weights map[string]modeltest.Tensor
		shape   []int
		want    []string
	}{
		{pair(random(1, 2, 5), random(2, 3, 2)), []int{3, 6}, []string{name, "lora_unet_a.lora_up.weight of shape [3 2]", "lora_unet_a.lora_down.weight of shape [2 5]", "[3 5]", "the model's has [3 6]"}},
		{pair(random(1, 2, 5), random(2, 3, 2)), []int{4, 5}, []string{"the model's has [4 5]"}},
		{pair(random(1, 2, 5), random(2, 3, 2)), []int{3, 5, 3, 3}, []string{"the model's has [3 5 3 3]"}},
		{pair(random(1, 2, 5), random(2, 3, 2)), []int{15}, []string{"the model's has [15]"}},
		{pair(random(1, 2, 5, 3, 3), random(2, 3, 2, 1, 1)), []int{3, 5, 1, 1}, []string{"[3 5 3 3]", "the model's has [3 5 1 1]"}},
		{pair(nan, random(2, 3, 2)), []int{3, 5}, []string{name, "lora_unet_a.lora_down.weight", "value 3 is NaN"}},
		{pair(random(1, 2, 5), inf), []int{3, 5}, []string{"lora_unet_a.lora_up.weight", "value 5 is -Inf"}},
	} {
		n := 1
		for _, size := range test.shape {
			n *= size
		}
		modeltest.Says(t, open(t, test.weights).UNet(1).Add(e, make([]float32, n), "a.weight", test.shape), test.want...)
	}
}

// A closed file is an error, not a crash.
func TestAddAfterClose(t *testing.T) {
	f := open(t, map[string]modeltest.Tensor{"a.lora_A.weight": random(1, 2, 5), "a.lora_B.weight": random(2, 3, 2)})
	m := f.UNet(1)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	modeltest.Says(t, m.Add(kerneltest.Engine(t, kernels.Available()[0], 1), make([]float32, 15), "a.weight", []int{3, 5}), "closed")
}
