package golden_test

import (
	"fmt"
	"maps"
	"slices"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// Blocks of transformers: adaptive norms, their embeddings, feed-forward networks, patches.
func init() {
	maps.Copy(blockClasses, map[string]func(b *block) func(){
		"AdaLayerNorm":                    adaLayerNorm,
		"AdaLayerNormContinuous":          adaLayerNormContinuous,
		"AdaLayerNormSingle":              adaLayerNormSingle,
		"AdaLayerNormZero":                adaLayerNormZero,
		"BasicTransformerBlock":           basicTransformerBlock,
		"CombinedTimestepLabelEmbeddings": timestepLabel,
		"FeedForward":                     feedForward,
		"PatchEmbed":                      patchEmbed,
		"PixArtAlphaTextProjection":       textProjection,
		"Transformer2DModel":              transformer2D,
	})
}

// times returns the input in.timestep for n images.
func (b *block) times(n int) []float64 {
	times := make([]float64, n)
	for i := range times {
		if t := b.tensor("in.timestep").Data; len(t) > 0 {
			times[i] = float64(t[i%len(t)])
		}
	}
	return times
}

// steps returns the input in.timestep as integers.
func (b *block) steps(n int) []int {
	steps := make([]int, n)
	for i, t := range b.times(n) {
		steps[i] = int(t)
	}
	return steps
}

// activated appends the SiLU of a value.
func (b *block) activated(v program.Value) program.Value {
	to := b.graph.Mat(v.Rows(), v.C)
	b.graph.Activate("silu", to, v, kernels.SiLU)
	return to
}

// like makes a value of x's shape.
func (b *block) like(x program.Value) program.Value { return b.graph.Image(x.N, x.H, x.W, x.C) }

func adaLayerNorm(b *block) func() {
	c := b.config
	o := blocks.AdaNormOptions{
		NormOptions: blocks.NormOptions{Eps: c.Float("norm_eps", 1e-5)},
		Width:       c.Size("embedding_dim", 1), Bias: true, ShiftFirst: c.Int("chunk_dim", 0) == 1,
	}
	o.Scale = c.Bool("norm_elementwise_affine", false)
	o.Shift = o.Scale
	channels := c.Size("output_dim", 0) / 2
	if channels == 0 {
		channels = o.Width
	}
	if steps := c.Size("num_embeddings", 0); steps > 0 {
		n := b.load.StepNorm("", channels, steps, o)
		return func() {
			x := b.input("in.x")
			b.graph.Steps = b.steps(x.N)
			y := b.like(x)
			n.Build(b.graph, y, x)
			b.output("out.y", y)
		}
	}
	return b.adaNorm(b.load.AdaNorm(".norm", ".linear", channels, o), "in.temb")
}

func adaLayerNormContinuous(b *block) func() {
	c := b.config
	affine, bias := c.Bool("elementwise_affine", true), c.Bool("bias", true)
	rms := c.String("norm_type", "layer_norm", "layer_norm", "rms_norm") == "rms_norm"
	return b.adaNorm(b.load.AdaNorm(".norm", ".linear", c.Size("embedding_dim", 1), blocks.AdaNormOptions{
		NormOptions: blocks.NormOptions{Eps: c.Float("eps", 1e-5), Scale: affine, Shift: affine && bias && !rms, RMS: rms},
		Width:       c.Size("conditioning_embedding_dim", 1), Bias: bias,
	}), "in.emb")
}

// adaNorm is a norm whose condition is an input.
func (b *block) adaNorm(n *blocks.AdaNorm, condition string) func() {
	return func() {
		x := b.input("in.x")
		y := b.like(x)
		n.Build(b.graph, y, x, b.activated(b.input(condition)))
		b.output("out.y", y)
	}
}

func adaLayerNormSingle(b *block) func() {
	channels := b.config.Size("embedding_dim", 1)
	a := b.load.AdaLayerNormSingle("", channels, b.config.Bool("use_additional_conditions", false))
	return func() {
		times := b.times(len(b.tensor("in.timestep").Data))
		var sizes tensor.Mat
		if a.Sizes != nil {
			sizes = tensor.MakeMat(len(times), channels)
			resolution, ratio := rows(b.tensor("in.resolution")), rows(b.tensor("in.aspect_ratio"))
			for i := range times {
				a.Sizes.Embed(b.load.Engine, sizes.Row(i), float64(resolution.Row(i)[0]), float64(resolution.Row(i)[1]), float64(ratio.Row(i)[0]))
			}
		}
		c := a.Build(b.graph, times, sizes)
		b.output("out.emb", c)
		b.output("out.y", b.graph.Modulation)
	}
}

// timeLabel loads a table of classes, and one row more where any were left out in training, beside the
// time embedding.
func (b *block) timeLabel(name, classes string, width int) *blocks.TimeLabel {
	labels := b.config.Size(classes, 1)
	if b.config.Float("class_dropout_prob", 0.1) > 0 {
		labels++
	}
	return b.load.TimeLabel(name, labels, width)
}

// condition appends what a TimeLabel makes of the case's times and labels.
func (b *block) condition(e *blocks.TimeLabel) program.Value {
	labels := b.tensor("in.class_labels").Data
	v := tensor.MakeMat(len(labels), e.Width)
	for i, label := range labels {
		copy(v.Row(i), e.Labels.Row(int(label)))
	}
	return e.Build(b.graph, b.times(len(labels)), v)
}

func timestepLabel(b *block) func() {
	e := b.timeLabel("", "num_classes", b.config.Size("embedding_dim", 1))
	return func() { b.output("out.y", b.condition(e)) }
}

func adaLayerNormZero(b *block) func() {
	channels, eps := b.config.Size("embedding_dim", 1), 1e-6
	if b.config.String("norm_type", "layer_norm", "layer_norm", "fp32_layer_norm") == "fp32_layer_norm" {
		eps = 1e-5
	}
	var e *blocks.TimeLabel
	if b.config.Has("num_embeddings") {
		e = b.timeLabel(".emb", "num_embeddings", channels)
	}
	conditions := blocks.NewTimeProjections(channels)
	conditions.NoBias = !b.config.Bool("bias", true)
	n := b.load.AdaLayerNormZero("", channels, eps, conditions)
	conditions.Load(b.load)
	return func() {
		x := b.input("in.x")
		var c program.Value
		if e != nil {
			c = b.condition(e)
		} else {
			c = b.input("in.emb")
		}
		conditions.Build(b.graph, b.activated(c))
		attention, feedForward := n.Modulations(b.graph)
		y := b.like(x)
		n.Build(b.graph, y, x)
		b.output("out.y", y)
		b.output("out.gate_msa", attention.Gate)
		b.output("out.shift_mlp", feedForward.Shift)
		b.output("out.scale_mlp", feedForward.Scale)
		b.output("out.gate_mlp", feedForward.Gate)
	}
}

func feedForward(b *block) func() {
	c := b.config
	channels := c.Size("dim", 1)
	o := blocks.FeedForwardOptions{Inner: c.Size("inner_dim", 0), Out: c.Size("dim_out", 0), NoBias: !c.Bool("bias", true), Kind: b.feedForwardKind()}
	if mult := c.Size("mult", 4); o.Inner == 0 {
		o.Inner = mult * channels
	}
	c.Ignore("dropout", "final_dropout")
	f := b.load.FeedForward("", channels, o)
	return func() {
		x := b.input("in.x")
		y := b.graph.Image(x.N, x.H, x.W, f.Out)
		f.Build(b.graph, y, x, blocks.Fuse{})
		b.output("out.y", y)
	}
}

// feedForwardKind reads activation_fn.
func (b *block) feedForwardKind() blocks.FeedForwardKind {
	return blocks.FeedForwardKinds[b.config.String("activation_fn", "geglu", slices.Sorted(maps.Keys(blocks.FeedForwardKinds))...)]
}

// transformerOptions reads what BasicTransformerBlock and Transformer2DModel have in common.
func (b *block) transformerOptions() blocks.TransformerOptions {
	c := b.config
	c.Only("attention_type", "default")
	c.Ignore("dropout", "final_dropout", "upcast_attention")
	return blocks.TransformerOptions{
		Heads: c.Size("num_attention_heads", 16), HeadDim: c.Size("attention_head_dim", 88),
		Context:    c.Size("cross_attention_dim", 0),
		OnlyCross:  c.Bool("only_cross_attention", false),
		DoubleSelf: c.Bool("double_self_attention", false),
		Bias:       c.Bool("attention_bias", false),
		NoOutBias:  !c.Bool("attention_out_bias", true),

		Norm:     blocks.NormKinds[c.String("norm_type", "layer_norm", slices.Sorted(maps.Keys(blocks.NormKinds))...)],
		Eps:      c.Float("norm_eps", 1e-5),
		NoAffine: !c.Bool("norm_elementwise_affine", true),

		FeedForward: blocks.FeedForwardOptions{Kind: b.feedForwardKind(), Inner: c.Size("ff_inner_dim", 0), NoBias: !c.Bool("ff_bias", true)},
	}
}

func basicTransformerBlock(b *block) func() {
	c := b.config
	channels, o := c.Size("dim", 1), b.transformerOptions()
	c.Only("positional_embeddings", nil, "sinusoidal")
	o.Positions = c.Size("num_positional_embeddings", 0)
	b.idle = "pos_embed." // a table of sinusoids
	o.ConditionDim, o.ConditionBias = c.Size("ada_norm_continous_conditioning_embedding_dim", 0), !c.Null("ada_norm_bias") && c.Bool("ada_norm_bias", false)
	var e *blocks.TimeLabel
	switch o.Norm {
	case blocks.StepNorms:
		o.Steps = c.Size("num_embeds_ada_norm", 1)
	case blocks.AdaZero:
		e = b.timeLabel(".norm1.emb", "num_embeds_ada_norm", channels)
		o.Conditions = blocks.NewTimeProjections(channels)
	default:
		c.Ignore("num_embeds_ada_norm")
	}
	t := b.load.TransformerBlock("", channels, o)
	if o.Conditions != nil {
		o.Conditions.Load(b.load)
	}
	return func() {
		x := b.input("in.x")
		switch o.Norm {
		case blocks.StepNorms:
			b.graph.Steps = b.steps(x.N)
		case blocks.AdaZero:
			o.Conditions.Build(b.graph, b.activated(b.condition(e)))
		case blocks.AdaSingle:
			b.graph.Modulation = b.input("in.timestep")
		case blocks.AdaContinuous:
			b.graph.Condition = b.activated(b.input("in.pooled_text_emb"))
		}
		t.Build(b.graph, x)
		b.output("out.y", x)
	}
}

func transformer2D(b *block) func() {
	c, o := b.config, b.transformerOptions()
	channels := c.Size("in_channels", 1)
	c.Only("out_channels", nil, channels)
	o.Layers, o.Groups, o.Linear = c.Size("num_layers", 1), c.Size("norm_num_groups", 32), c.Bool("use_linear_projection", false)
	if o.Steps = c.Size("num_embeds_ada_norm", 0); o.Steps > 0 && o.Norm == blocks.LayerNorms {
		o.Norm = blocks.StepNorms // as files say it that are older than the other key
	}
	for _, key := range []string{"num_vector_embeds", "patch_size"} {
		c.Only(key, nil)
	}
	c.Only("norm_type", "layer_norm", "ada_norm")
	c.Ignore("sample_size", "caption_channels", "interpolation_scale", "use_additional_conditions")
	t := b.load.Transformer2D("", channels, o)
	return func() {
		x := b.input("in.x")
		if o.Norm == blocks.StepNorms {
			b.graph.Steps = b.steps(x.N)
		}
		y := b.like(x)
		t.Build(b.graph, y, x)
		b.output("out.y", y)
	}
}

func patchEmbed(b *block) func() {
	c := b.config
	c.Only("pos_embed_type", nil, "sincos")
	c.Ignore("flatten") // the values are the same
	o := blocks.PatchEmbedOptions{
		Height: c.Size("height", 224), Width: c.Size("width", 224), Size: c.Size("patch_size", 16),
		NoBias: !c.Bool("bias", true), Norm: c.Bool("layer_norm", false), NoPositions: c.Null("pos_embed_type"),
		Interpolation: c.Float("interpolation_scale", 1), MaxSize: c.Size("pos_embed_max_size", 0),
	}
	p := b.load.PatchEmbed("", c.Size("in_channels", 3), c.Size("embed_dim", 768), o)
	return func() {
		x := b.input("in.x")
		if err := p.Check(x.H, x.W); err != nil {
			b.errs = append(b.errs, fmt.Errorf("in.x: %w", err))
			return
		}
		b.output("out.y", p.Build(b.graph, x))
	}
}

func textProjection(b *block) func() {
	c := b.config
	hidden := c.Size("hidden_size", 1)
	out := c.Size("out_features", 0)
	if out == 0 {
		out = hidden
	}
	acts := map[string]kernels.Act{"gelu_tanh": kernels.GELUTanh, "silu": kernels.SiLU, "silu_fp32": kernels.SiLU}
	act := acts[c.String("act_fn", "gelu_tanh", slices.Sorted(maps.Keys(acts))...)]
	p := b.load.TextProjection("", c.Size("in_features", 1), hidden, out, act)
	return func() {
		from := b.tensor("in.x")
		y := p.Project(b.load.Engine, rows(from))
		v := b.graph.Image(from.Shape[0], y.Rows/from.Shape[0], 1, y.Cols)
		b.graph.Add(program.Op{Name: "copy", Kind: "copy", Dst: v, Bind: func(m program.Memory) func() {
			dst := m.Image(v)
			return func() { tensor.Copy(dst, tensor.NHWC{N: v.N, H: v.H, W: 1, C: y.Cols, Stride: y.Stride, Data: y.Data}) }
		}})
		b.output("out.y", v)
	}
}
