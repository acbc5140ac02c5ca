package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lanewise/lanewise/adapter"
	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/safetensors"
	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
	"github.com/lanewise/lanewise/unet"
)

// config is Stable Diffusion 1.5's, with more keys.
func config(class, more string) string {
	return fmt.Sprintf(`{"_class_name": %q, "cross_attention_dim": 768, "attention_head_dim": 8,
		"down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
		"block_out_channels": [320, 640, 1280, 1280]%s}`, class, more)
}

// Tokens of a prompt.
const (
	words = 77
	width = 768
)

// text is the condition of a prompt.
func text() cond.Cond { return cond.Text(tokens(words)) }

// tokens are n random ones.
func tokens(n int) tensor.Mat {
	m := tensor.MakeMat(n, width)
	fill(m.Data)
	return m
}

// fill writes values between -1 and 1.
func fill(s []float32) {
	x := uint32(2463534242)
	for i := range s {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		s[i] = float32(int32(x)) / (1 << 31)
	}
}

// image is one of random values.
func (b *bench) image(size, channels int) tensor.NHWC {
	t := tensor.Make(1, size, size, channels)
	fill(t.Data)
	return t
}

// folder makes a new one.
func (b *bench) folder(name string) (string, error) {
	dir := filepath.Join(b.dir, name)
	return dir, os.Mkdir(dir, 0o777)
}

// unet loads the model with more keys in its config.
func (b *bench) unet(name, more string) (*unet.Model, error) {
	dir, err := b.folder(name)
	if err != nil {
		return nil, err
	}
	var m *unet.Model
	_, err = modeltest.Sparse(dir, config("UNet2DConditionModel", more), "diffusion_pytorch_model", func(fsys fs.FS) (err error) {
		m, err = unet.Load(b.engine, fsys)
		return err
	})
	return m, err
}

// step is a forward pass of a session under conditions.
func (b *bench) step(name string, s *unet.Session, conds ...cond.Cond) (mechanism, error) {
	start := time.Now()
	bound, err := s.Bind(conds...)
	if err != nil {
		return mechanism{}, fmt.Errorf("%s: %w", name, err)
	}
	once := time.Since(start)
	x, out := b.image(b.size, 4), tensor.Make(max(1, len(conds)), b.size, b.size, 4)
	run := func(ctx context.Context) error { return bound.Forward(ctx, out, x, 500) }
	flop, err := flopOf(s.Program(), run)
	return mechanism{name: name, run: run, flop: flop, once: once}, err
}

// flopOf counts the operations of a run of p.
func flopOf(p *program.Program, r run) (float64, error) {
	p.Measure(true)
	defer p.Measure(false)
	err := r(context.Background())
	return p.Profile().Total().Cost.FLOP, err
}

// variants times a model that differs from the plain one in its config.
func (b *bench) variants(name, more string, c cond.Cond) error {
	var steps []mechanism
	for _, v := range []struct {
		name, more string
		cond       cond.Cond
	}{{"plain", "", text()}, {name, more, c}} {
		m, err := b.unet(strings.ReplaceAll(name+v.name, " ", ""), v.more)
		if err != nil {
			return err
		}
		s, err := m.Session(1, b.size, b.size)
		if err != nil {
			return err
		}
		step, err := b.step(v.name, s, v.cond)
		if err != nil {
			return err
		}
		step.once = 0
		steps = append(steps, step)
	}
	return b.table(steps[0], steps[1:]...)
}

// contexts measures what enters by cross-attention.
func (b *bench) contexts() error {
	m, err := b.unet("contexts", "")
	if err != nil {
		return err
	}
	for _, n := range []int{4, 16} {
		ip, err := b.imagePrompt(fmt.Sprintf("ip%d", n), n)
		if err != nil {
			return err
		}
		if m, err = m.Adapt(ip); err != nil {
			return err
		}
	}
	s, err := m.Session(1, b.size, b.size)
	if err != nil {
		return err
	}
	masked := text()
	masked.Context[0].Mask = make([]float32, words)
	for i := words / 4; i < words; i++ {
		masked.Context[0].Mask[i] = -10000
	}
	one := cond.Text(tokens(1))
	var steps []mechanism
	for _, c := range []struct {
		name  string
		parts []cond.Cond
	}{
		{"", []cond.Cond{one}},
		{"cross-attention, 77 tokens instead of 1", []cond.Cond{text()}},
		{"77 tokens with a mask instead of 1", []cond.Cond{masked}},
		{"77 tokens and an image prompt of 4 (IP-Adapter) instead of 1", []cond.Cond{text(), cond.Image(1, tokens(4), 0.6)}},
		{"77 tokens and an image prompt of 16 (IP-Adapter plus) instead of 1", []cond.Cond{text(), cond.Image(2, tokens(16), 0.6)}},
		{"154 tokens (two prompts joined) instead of 1", []cond.Cond{text(), text()}},
	} {
		whole, err := cond.Join(c.parts...)
		if err != nil {
			return err
		}
		step, err := b.step(c.name, s, whole)
		if err != nil {
			return err
		}
		steps = append(steps, step)
	}
	return b.table(steps[0], steps[1:]...)
}

// imagePrompt makes an IP-Adapter of n tokens.
func (b *bench) imagePrompt(name string, n int) (*adapter.ImagePrompt, error) {
	dir, err := b.folder(name)
	if err != nil {
		return nil, err
	}
	const embedding = 1024
	shapes := map[string][]int{
		"image_proj.proj.weight": {n * width, embedding}, "image_proj.proj.bias": {n * width},
		"image_proj.norm.weight": {width}, "image_proj.norm.bias": {width},
	}
	inner := []int{320, 320, 640, 640, 1280, 1280, 1280, 1280, 1280, 640, 640, 640, 320, 320, 320, 1280}
	for i, n := range inner { // the way down, the way up, the middle
		for _, kv := range []string{"k", "v"} {
			shapes[fmt.Sprintf("ip_adapter.%d.to_%s_ip.weight", 2*i+1, kv)] = []int{n, width}
		}
	}
	if err := modeltest.WriteSparse(filepath.Join(dir, "ip.safetensors"), shapes); err != nil {
		return nil, err
	}
	return adapter.LoadImagePrompt(b.engine, os.DirFS(dir), "ip.safetensors")
}

// embeddings measures what joins the time embedding: a class, SDXL's pooled text and sizes, and the
// guidance scale of a distilled model, all in one model.
func (b *bench) embeddings() error {
	c := text()
	c.Class, c.Pooled, c.Sizes, c.Guidance = 3, make([]float32, 1280), make([]float64, 6), make([]float32, 256)
	return b.variants("class label, pooled text with six sizes, guidance embedding: all three", `, "num_class_embeds": 1000, "time_cond_proj_dim": 256,
		"addition_embed_type": "text_time", "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816`, c)
}

// scaleShift measures adaptive group norms.
func (b *bench) scaleShift() error {
	return b.variants("AdaGN: time and class scale and shift the norms", `, "resnet_time_scale_shift": "scale_shift"`, text())
}

// concat measures further channels of the input: those of inpainting.
func (b *bench) concat() error {
	c := text()
	c.Concat = b.image(b.size, 5)
	return b.variants("five more channels (inpainting)", `, "in_channels": 9`, c)
}

// norms measures adaptive layer norms: a transformer block of DiT beside one with plain norms, on the
// tokens of the U-Net's first level.
func (b *bench) norms() error {
	const channels, heads = 320, 8
	block := func(name string, norm blocks.NormKind) (mechanism, error) {
		dir, err := b.folder(strings.Fields(name)[0])
		if err != nil {
			return mechanism{}, err
		}
		conditions := blocks.NewTimeProjections(channels)
		var block *blocks.TransformerBlock
		_, err = modeltest.Sparse(dir, "{}", "model", func(fsys fs.FS) error {
			weights, err := safetensors.OpenSharded(fsys, "model")
			if err != nil {
				return err
			}
			defer weights.Close()
			l := blocks.NewLoader(b.engine, weights, "block")
			conditions = blocks.NewTimeProjections(channels)
			block = l.TransformerBlock("", channels, blocks.TransformerOptions{
				Heads: heads, HeadDim: channels / heads, Bias: true, Norm: norm, Conditions: conditions, NoAffine: true,
			})
			conditions.Load(l)
			return l.Err()
		})
		if err != nil {
			return mechanism{}, err
		}
		g := &blocks.Graph{Engine: b.engine}
		zeros := func(v program.Value) program.Value {
			g.Add(program.Op{Name: "input", Dst: v, Bind: func(m program.Memory) func() {
				d := m.Mat(v)
				return func() { clear(d.Data) }
			}})
			return v
		}
		conditions.Build(g, zeros(g.Mat(1, channels)))
		block.Build(g, zeros(g.Image(1, b.size, b.size, channels)))
		p := g.Build()
		flop, err := flopOf(p, p.Run)
		return mechanism{name: name, run: p.Run, flop: flop}, err
	}
	plain, err := block("layer norms", blocks.LayerNorms)
	if err != nil {
		return err
	}
	zero, err := block("AdaLN-Zero in a transformer block of 320 channels (without: that block alone)", blocks.AdaZero)
	if err != nil {
		return err
	}
	return b.table(plain, zero)
}

// guidance measures several conditions in one batch, and the arithmetic between them.
func (b *bench) guidance() error {
	m, err := b.unet("guidance", "")
	if err != nil {
		return err
	}
	var steps []mechanism
	for i, name := range []string{"", "classifier-free guidance: 2 conditions", "composed guidance: 3 conditions"} {
		s, err := m.Session(1+i, b.size, b.size)
		if err != nil {
			return err
		}
		conds := make([]cond.Cond, 1+i)
		scales := make([]float64, i)
		for k := range conds {
			conds[k] = text()
		}
		for k := range scales {
			scales[k] = 7.5
		}
		bound, err := s.Bind(conds...)
		if err != nil {
			return err
		}
		predict := sampler.Predictor(func(ctx context.Context, out, x tensor.NHWC, p sampler.Point) error {
			return bound.Forward(ctx, out, x, p.T)
		})
		if i > 0 {
			predict = sampler.Guidance{Scales: scales, Rescale: 0.7}.Predictor(predict)
		}
		x, out := b.image(b.size, 4), tensor.Make(1, b.size, b.size, 4)
		step := mechanism{name: name, run: func(ctx context.Context) error {
			return predict(ctx, out, x, sampler.Point{T: 500, Alpha: 0.5, Sigma: 0.8})
		}}
		if step.flop, err = flopOf(s.Program(), step.run); err != nil {
			return err
		}
		steps = append(steps, step)
	}
	return b.table(steps[0], steps[1:]...)
}
