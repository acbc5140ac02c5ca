package lora_test

import (
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/clip"
	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/lora"
	"github.com/lanewise/lanewise/safetensors"
	"github.com/lanewise/lanewise/tensor"
	"github.com/lanewise/lanewise/unet"
)

// sdxl is the layout of SDXL's U-Net with hardly any channels.
const sdxl = `{"_class_name": "UNet2DConditionModel", "block_out_channels": [8, 16, 24], "norm_num_groups": 4, "cross_attention_dim": 12,
	"layers_per_block": %d, "attention_head_dim": [1, 2, 3], "transformer_layers_per_block": [1, 1, 2], "use_linear_projection": true,
	"down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
	"up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
	"addition_embed_type": "text_time", "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 58}`

// sgmNames lists the blocks of such a U-Net by their names in diffusers, and beside them those that
// the original code has: the table of kohya's scripts (sdxl_model_util.make_unet_conversion_map), for any
// number of layers.
func sgmNames(layers int) map[string]string {
	names := map[string]string{
		"conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
		"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
		"add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
		"mid_block.attentions.0": "middle_block.1", "mid_block.resnets.0": "middle_block.0", "mid_block.resnets.1": "middle_block.2",
	}
	each := layers + 1
	for i := range 3 {
		for j := range layers {
			names[fmt.Sprintf("down_blocks.%d.resnets.%d", i, j)] = fmt.Sprintf("input_blocks.%d.0", each*i+j+1)
			names[fmt.Sprintf("down_blocks.%d.attentions.%d", i, j)] = fmt.Sprintf("input_blocks.%d.1", each*i+j+1)
		}
		for j := range each {
			names[fmt.Sprintf("up_blocks.%d.resnets.%d", i, j)] = fmt.Sprintf("output_blocks.%d.0", each*i+j)
			names[fmt.Sprintf("up_blocks.%d.attentions.%d", i, j)] = fmt.Sprintf("output_blocks.%d.1", each*i+j)
		}
		names[fmt.Sprintf("down_blocks.%d.downsamplers.0.conv", i)] = fmt.Sprintf("input_blocks.%d.0.op", each*(i+1))
		names[fmt.Sprintf("up_blocks.%d.upsamplers.0", i)] = fmt.Sprintf("output_blocks.%d.2", each*i+layers)
	}
	return names
}

// sgmLayers are the layers of a residual block.
var sgmLayers = map[string]string{
	"norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3",
	"time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection",
}

// sgm returns the original name of a module of diffusers'.
func sgm(t *testing.T, module string, layers int) string {
	for ours, theirs := range sgmNames(layers) {
		rest, ok := strings.CutPrefix(module, ours)
		if !ok || rest != "" && rest[0] != '.' {
			continue
		}
		if layer, ok := sgmLayers[strings.TrimPrefix(rest, ".")]; ok {
			rest = "." + layer
		}
		return theirs + rest
	}
	t.Fatalf("no original name for %s", module)
	return ""
}

// kohya returns the names of a pair for a module.
func kohya(prefix, module string) (down, up, alpha string) {
	label := prefix + strings.ReplaceAll(module, ".", "_")
	return label + ".lora_down.weight", label + ".lora_up.weight", label + ".alpha"
}

// peft does so, without alpha.
func peft(prefix, module string) (down, up, alpha string) {
	return prefix + module + ".lora_A.weight", prefix + module + ".lora_B.weight", ""
}

// full makes a LoRA for the linear layers and convolutions among the weights that want says, and
// merges it into them in float64.
func full(weights map[string]modeltest.Tensor, seed uint64, scale float64, want func(name string) bool, spell func(module string) (down, up, alpha string)) (pairs map[string]modeltest.Tensor) {
	const rank = 2
	pairs = make(map[string]modeltest.Tensor)
	for i, name := range slices.Sorted(maps.Keys(weights)) {
		w := weights[name]
		module, ok := strings.CutSuffix(name, ".weight")
		if !ok || len(w.Shape) < 2 || !want(name) {
			continue
		}
		down := random(seed+uint64(2*i), append([]int{rank}, w.Shape[1:]...)...)
		up := random(seed+uint64(2*i+1), append([]int{w.Shape[0], rank}, slices.Repeat([]int{1}, len(w.Shape)-2)...)...)
		downName, upName, alphaName := spell(module)
		pairs[downName], pairs[upName] = down, up
		factor := scale
		if alphaName != "" {
			pairs[alphaName] = one(1)
			factor /= rank
		}
		merged, _ := merged(w.Data, up.Data, nil, down.Data, factor, rank)
		for j, v := range merged {
			w.Data[j] = float32(v)
		}
	}
	return pairs
}

// everything and attention are what LoRAs are for.
func everything(string) bool      { return true }
func attention(name string) bool  { return strings.Contains(name, "attn") }
func textLayers(name string) bool { return !strings.Contains(name, "embedding") }

// replaced returns a model directory with another checkpoint.
func replaced(t *testing.T, fsys fstest.MapFS, base string, weights map[string]modeltest.Tensor) fstest.MapFS {
	t.Helper()
	other := maps.Clone(fsys)
	other[base+".safetensors"] = &fstest.MapFile{Data: modeltest.Safetensors(weights)}
	return other
}

// A U-Net with LoRAs is that whose weights were changed beforehand, in every spelling; SDXL's original
// names reach every module.
func TestUNet(t *testing.T) {
	const base, scale = "diffusion_pytorch_model", 0.05
	e := kerneltest.EngineOf(t, engine.Options{Workers: 2})
	run := func(t *testing.T, fsys fs.FS, merges ...blocks.Merge) []float32 {
		t.Helper()
		m, err := unet.Load(e, fsys, merges...)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Unused) > 0 {
			t.Fatalf("unused: %v", m.Unused)
		}
		s, err := m.Session(1, 8, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := cond.Text(tensor.Mat{Rows: 3, Cols: 12, Stride: 12, Data: kerneltest.Random(1, 36)})
		c.Pooled, c.Sizes = kerneltest.Random(2, 10), []float64{64, 64, 0, 0, 64, 64}
		b, err := s.Bind(c)
		if err != nil {
			t.Fatal(err)
		}
		x, out := tensor.Make(1, 8, 8, 4), tensor.Make(1, 8, 8, 4)
		copy(x.Data, kerneltest.Random(3, len(x.Data)))
		if err := b.Forward(t.Context(), out, x, 500); err != nil {
			t.Fatal(err)
		}
		return out.Data
	}
	for _, layers := range []int{2, 1} {
		fsys := modeltest.Files(fmt.Sprintf(sdxl, layers), base, 1, func(fsys fs.FS) error { _, err := unet.Load(e, fsys); return err })
		plain := run(t, fsys)
		for _, test := range []struct {
			name string
			want func(string) bool
			of   func(module string) (down, up, alpha string)
		}{
			{"PEFT", everything, func(m string) (string, string, string) { return peft("unet.", m) }},
			{"kohya", everything, func(m string) (string, string, string) { return kohya("lora_unet_", m) }},
			{"kohya, original names", everything, func(m string) (string, string, string) { return kohya("lora_unet_", sgm(t, m, layers)) }},
			{"attention processors", attention, func(m string) (string, string, string) {
				at := strings.LastIndex(m, ".to_")
				if at < 0 {
					return peft("unet.", m)
				}
				label := m[:at] + ".processor" + strings.TrimSuffix(m[at:], ".0") + "_lora"
				return label + ".down.weight", label + ".up.weight", ""
			}},
		} {
			t.Run(fmt.Sprintf("%s, %d layers", test.name, layers), func(t *testing.T) {
				weights := modeltest.Read(fsys, base)
				first := full(weights, 10, scale, test.want, test.of)
				want := run(t, replaced(t, fsys, base, weights))
				f := open(t, first)
				f.LayersPerBlock = layers
				sameModel(t, run(t, fsys, f.UNet(scale)), want, plain)

				// A second one, of another spelling, and less of it.
				second := full(weights, 500, -scale, attention, func(m string) (string, string, string) { return peft("", m) })
				want = run(t, replaced(t, fsys, base, weights))
				sameModel(t, run(t, fsys, f.UNet(scale), open(t, second).UNet(-scale)), want, plain)
			})
		}
	}
}

// The LoRA in the file of an image prompt of a face counts layers as the prompt does.
func TestFace(t *testing.T) {
	const base, scale = "diffusion_pytorch_model", 0.05
	e := kerneltest.EngineOf(t, engine.Options{Workers: 2})
	fsys := modeltest.Files(fmt.Sprintf(sdxl, 1), base, 1, func(fsys fs.FS) error { _, err := unet.Load(e, fsys); return err })
	m, err := unet.Load(e, fsys)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := m.Config.AttentionLayers()
	if err != nil {
		t.Fatal(err)
	}
	// As diffusers' UNet2DConditionModel.attn_processors lists them.
	var want []string
	for _, block := range []string{"down_blocks.1.attentions.0.transformer_blocks.0", "down_blocks.2.attentions.0.transformer_blocks.0", "down_blocks.2.attentions.0.transformer_blocks.1",
		"up_blocks.0.attentions.0.transformer_blocks.0", "up_blocks.0.attentions.0.transformer_blocks.1", "up_blocks.0.attentions.1.transformer_blocks.0", "up_blocks.0.attentions.1.transformer_blocks.1",
		"up_blocks.1.attentions.0.transformer_blocks.0", "up_blocks.1.attentions.1.transformer_blocks.0",
		"mid_block.attentions.0.transformer_blocks.0", "mid_block.attentions.0.transformer_blocks.1"} {
		want = append(want, block+".attn1", block+".attn2")
	}
	if !slices.Equal(layers, want) {
		t.Fatalf("attention layers %q, want %q", layers, want)
	}
	weights := modeltest.Read(fsys, base)
	pairs := full(weights, 10, scale, attention, func(module string) (string, string, string) {
		at := strings.LastIndex(module, ".to_")
		label := fmt.Sprintf("ip_adapter.%d%s_lora", slices.Index(want, module[:at]), strings.TrimSuffix(module[at:], ".0"))
		return label + ".down.weight", label + ".up.weight", ""
	})
	pairs["image_proj.norm.weight"] = random(1, 3)
	pairs["ip_adapter.1.to_k_ip.weight"], pairs["ip_adapter.1.to_v_ip.weight"] = random(1, 3, 3), random(2, 3, 3)
	f, err := lora.OpenFace(fstest.MapFS{name: {Data: modeltest.Safetensors(pairs)}}, name, layers)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	merge := f.UNet(scale)
	if unused := merge.Unused(); len(unused) != 4*len(layers) || unused[0] != "ip_adapter.0.to_k ("+name+")" {
		t.Errorf("it has %q", unused)
	}
	l := newLoader(t, e, fsys, base, merge)
	for name, w := range weights {
		got, near := l.Tensor(name, w.Shape...), kerneltest.Float64s(w.Data)
		kerneltest.Near(t, name, got, near, func(i int) float64 { return 1e-6 * (1 + math.Abs(near[i])) })
	}
	if err := l.Err(); err != nil || len(l.Unused()) > 0 {
		t.Errorf("unused %q, error %v", l.Unused(), err)
	}
}

// newLoader opens a checkpoint.
func newLoader(t *testing.T, e *engine.Engine, fsys fs.FS, base string, merges ...blocks.Merge) *blocks.Loader {
	t.Helper()
	c, err := safetensors.OpenSharded(fsys, base)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return blocks.NewLoader(e, c, "test", merges...)
}

// sameModel compares the output of a model with that wanted, and with that of the model without LoRA.
func sameModel(t *testing.T, got, want, plain []float32) {
	t.Helper()
	near, differs := make([]float64, len(want)), 0.0
	for i, v := range want {
		near[i] = float64(v)
		differs = max(differs, math.Abs(float64(v-plain[i])))
	}
	if differs < 0.05 {
		t.Fatalf("the LoRA changes the output by %g: nothing to see", differs)
	}
	kerneltest.Near(t, "output", got, near, func(i int) float64 { return 1e-4 * (1 + math.Abs(near[i])) })
}

func TestText(t *testing.T) {
	const base, scale = "model", 0.1
	const config = `{"architectures": ["CLIPTextModelWithProjection"], "vocab_size": 20, "max_position_embeddings": 8, "hidden_size": 16,
		"intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": 6, "hidden_act": "quick_gelu", "eos_token_id": 19}`
	e := kerneltest.Engine(t, kernels.Available()[0], 2)
	fsys := modeltest.Files(config, base, 1, func(fsys fs.FS) error { _, err := clip.LoadText(e, fsys); return err })
	run := func(fsys fs.FS, merges ...blocks.Merge) []float32 {
		t.Helper()
		m, err := clip.LoadText(e, fsys, merges...)
		if err != nil {
			t.Fatal(err)
		}
		out, err := m.Encode(t.Context(), [][]int{{1, 5, 7, 19}}, clip.TextOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return append(out.States.Data, out.Embedding.Data...)
	}
	plain := run(fsys)
	for _, test := range []struct {
		name string
		spelling
		of func(*lora.File, float64) *lora.Merge
	}{
		{"PEFT", func(m string) (string, string, string) { return peft("text_encoder.", m) }, textOf},
		{"kohya, second", func(m string) (string, string, string) { return kohya("lora_te2_", m) }, text2Of},
		{"kohya, first", func(m string) (string, string, string) { return kohya("lora_te_", m) }, textOf},
	} {
		t.Run(test.name, func(t *testing.T) {
			weights := modeltest.Read(fsys, base)
			pairs := full(weights, 10, scale, textLayers, test.spelling)
			f := open(t, pairs)
			sameModel(t, run(fsys, test.of(f, scale)), run(replaced(t, fsys, base, weights)), plain)
			if _, err := clip.LoadText(e, fsys, f.UNet(1)); err != nil {
				t.Errorf("a LoRA with nothing for this model: %v", err)
			}
		})
	}
}

// spelling returns the names of the pair for a module.
type spelling = func(module string) (down, up, alpha string)

// A LoRA of another model says so.
func TestNothingMatches(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	fsys := modeltest.Files(fmt.Sprintf(sdxl, 1), "diffusion_pytorch_model", 1, func(fsys fs.FS) error { _, err := unet.Load(e, fsys); return err })
	pairs := map[string]modeltest.Tensor{"transformer.blocks.0.q.lora_A.weight": random(1, 2, 8), "transformer.blocks.0.q.lora_B.weight": random(2, 8, 2)}
	_, err := unet.Load(e, fsys, open(t, pairs).UNet(1))
	modeltest.Says(t, err, "unet: ", name, "none of its 1 layers", "transformer.blocks.0.q")

	// Two names that are of one layer once blocks are counted.
	for _, module := range []string{"lora_unet_input_blocks_4_1_proj_in", "lora_unet_down_blocks_1_attentions_0_proj_in"} {
		pairs[module+".lora_down.weight"], pairs[module+".lora_up.weight"] = random(1, 2, 16), random(2, 16, 2)
	}
	_, err = unet.Load(e, fsys, open(t, pairs).UNet(1))
	modeltest.Says(t, err, "lora_unet_input_blocks_4_1_proj_in", "lora_unet_down_blocks_1_attentions_0_proj_in", "are one layer")
}
