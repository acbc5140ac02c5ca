package golden_test

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/kernels"
)

// timesteps embeds times by sinusoids; the names of the outputs say what each is like.
func timesteps(b *block) func() {
	return func() {
		var times []float64
		for _, t := range b.tensor("in.timesteps").Data {
			times = append(times, float64(t))
		}
		for _, o := range b.Outputs {
			var cosFirst, shift, dim int
			switch n, err := fmt.Sscanf(o.Name, "out.flip%d_shift%d_dim%d", &cosFirst, &shift, &dim); {
			case o.Name == "out.odd_dim":
				cosFirst, shift, dim = 1, 0, 33
			case n != 3:
				b.errs = append(b.errs, fmt.Errorf("output %s: %w", o.Name, err))
				continue
			}
			v := b.graph.Mat(len(times), dim)
			blocks.NewSinusoid(dim, cosFirst == 1, float64(shift)).Build(b.graph, o.Name, v, times)
			b.output(o.Name, v)
		}
	}
}

// timestepEmbedding is a TimestepEmbedding.
func timestepEmbedding(b *block) func() {
	c := b.config
	in, hidden := c.Size("in_channels", 1), c.Size("time_embed_dim", 1)
	o := blocks.TimeEmbeddingOptions{
		Act: blocks.Activation(c, "act_fn", "silu"), Post: blocks.Activation(c, "post_act_fn", ""),
		Hidden: hidden, Cond: c.Size("cond_proj_dim", 0), NoBias: !c.Bool("sample_proj_bias", true),
	}
	out := hidden
	if n := c.Size("out_dim", 0); n > 0 {
		out = n
	}
	t := b.load.TimeEmbedding("", in, out, o)
	return func() {
		sample := b.input("in.sample")
		y := b.graph.Mat(sample.Rows(), out)
		if b.has("in.condition") {
			t.BuildCond(b.graph, y, sample, b.input("in.condition"))
		} else {
			t.Build(b.graph, y, sample)
		}
		b.output("out.y", y)
	}
}

// resampleOptions reads what Downsample2D and Upsample2D have in common.
func resampleOptions(b *block) (channels int, o blocks.ResampleOptions) {
	c := b.config
	channels = c.Size("channels", 1)
	o = blocks.ResampleOptions{
		NoConv: !c.Bool("use_conv", false), Out: c.Size("out_channels", 0), Kernel: c.Size("kernel_size", 0),
		NoBias: !c.Bool("bias", true),
	}
	c.Only("name", "conv", "op", "Conv2d_0")
	if kind := c.String("norm_type", "", "ln_norm", "rms_norm"); kind != "" {
		affine := c.Bool("elementwise_affine", false)
		o.Norm = &blocks.NormOptions{Eps: c.Float("eps", 0), Scale: affine, Shift: affine && kind == "ln_norm", RMS: kind == "rms_norm"}
	}
	c.Ignore("eps", "elementwise_affine") // without a norm
	return channels, o
}

func downsample(b *block) func() {
	channels, o := resampleOptions(b)
	o.Padding = b.config.Int("padding", 1)
	b.idle = "Conv2d_0." // another name of "conv"
	d := b.load.Downsample("", channels, o)
	return func() {
		x := b.input("in.x")
		y := d.Image(b.graph, x)
		d.Build(b.graph, y, x)
		b.output("out.y", y)
	}
}

func upsample(b *block) func() {
	channels, o := resampleOptions(b)
	c := b.config
	c.Only("use_conv_transpose", false)
	c.Only("interpolate", true)
	if o.NoConv {
		o.Out = 0
	}
	padding := 1
	if o.Kernel != 0 {
		padding = o.Kernel / 2 // which leaves the size as it is
	}
	if !c.Has("padding") && padding != 1 {
		c.Fail("kernel_size", "3 with a padding of 1")
	}
	c.Only("padding", padding)
	b.load.Alias = func(name string) string { return strings.Replace(name, "conv.", "Conv2d_0.", 1) }
	u := b.load.Upsample("", channels, o)
	var params struct {
		Size []int `json:"output_size"`
	}
	if len(b.Params) > 0 {
		if err := json.Unmarshal(b.Params, &params); err != nil {
			b.errs = append(b.errs, err)
		}
	}
	return func() {
		x := b.input("in.x")
		y := u.Image(b.graph, x)
		if len(params.Size) == 2 {
			y = b.graph.Image(x.N, params.Size[0], params.Size[1], y.C)
		}
		u.Build(b.graph, y, x)
		b.output("out.y", y)
	}
}

// resnet is a ResnetBlock2D or a ResnetBlockCondNorm2D.
func resnet(b *block) func() {
	c := b.config
	in := c.Size("in_channels", 1)
	hidden := c.Size("out_channels", 0)
	if hidden == 0 {
		hidden = in
	}
	out := c.Size("conv_2d_out_channels", 0)
	if out == 0 {
		out = hidden
	}
	ada := b.Class == "ResnetBlockCondNorm2D"
	o := blocks.ResNetOptions{
		Groups: c.Size("groups", 32), GroupsOut: c.Size("groups_out", 0), Eps: c.Float("eps", 1e-6),
		Act:      blocks.Activation(c, "non_linearity", "swish"),
		AdaGroup: ada, Up: c.Bool("up", false), Down: c.Bool("down", false),
		OutScale: c.Float("output_scale_factor", 1), Hidden: hidden,
		Shortcut: in != out, NoShortcutBias: !c.Bool("conv_shortcut_bias", true),
	}
	if c.Has("use_in_shortcut") {
		if o.Shortcut = c.Bool("use_in_shortcut", false); !o.Shortcut && in != out {
			c.Fail("use_in_shortcut", "true where channels differ")
		}
	}
	skipAct := ada
	if ada {
		c.Only("time_embedding_norm", "ada_group")
	} else {
		o.ScaleShift = c.String("time_embedding_norm", "default", "scale_shift") == "scale_shift"
		skipAct = c.Bool("skip_time_act", false)
		c.Only("kernel", nil, "sde_vp") // which resizes as none does
	}
	c.Ignore("conv_shortcut", "dropout", "pre_norm") // not read on inference
	if !c.Null("temb_channels") {
		o.Time = blocks.NewTimeProjections(c.Size("temb_channels", 512))
	}
	r := b.load.ResNet("", in, out, o)
	if o.Time != nil {
		o.Time.Load(b.load)
	}
	return func() {
		if o.Time != nil {
			time := b.input("in.temb")
			if !skipAct {
				b.graph.Activate("nonlinearity", time, time, o.Act)
			}
			o.Time.Build(b.graph, time)
		}
		x := b.input("in.x")
		y := r.Image(b.graph, x)
		r.Build(b.graph, y, x)
		b.output("out.y", y)
	}
}

// adaGroupNorm is an AdaGroupNorm.
func adaGroupNorm(b *block) func() {
	c := b.config
	time := blocks.NewTimeProjections(c.Size("embedding_dim", 1))
	act := blocks.Activation(c, "act_fn", "")
	n := b.load.AdaGroupNorm("", c.Size("out_dim", 1), c.Size("num_groups", 1), c.Float("eps", 1e-5), kernels.Identity, time)
	time.Load(b.load)
	return func() {
		embedding := b.input("in.emb")
		if act != kernels.Identity {
			b.graph.Activate("act", embedding, embedding, act)
		}
		time.Build(b.graph, embedding)
		x := b.input("in.x")
		n.Build(b.graph, x, x)
		b.output("out.y", x)
	}
}

// attentionLayer is an Attention with its usual processor: to itself, or to in.ctx.
func attentionLayer(b *block) func() {
	c := b.config
	channels := c.Size("query_dim", 1)
	o := blocks.SpatialOptions{
		AttentionOptions: blocks.AttentionOptions{
			Heads: c.Size("heads", 8), HeadDim: c.Size("dim_head", 64), Out: c.Size("out_dim", 0),
			Bias: c.Bool("bias", false), NoOutBias: !c.Bool("out_bias", true),
			CrossGroups: c.Size("cross_attention_norm_num_groups", 32),
		},
		Groups: c.Size("norm_num_groups", 0), Eps: c.Float("eps", 1e-5),
		Residual: c.Bool("residual_connection", false), Rescale: c.Float("rescale_output_factor", 1),
	}
	if o.Out != 0 {
		o.Heads = o.Out / o.HeadDim
	}
	if !c.Bool("scale_qk", true) {
		o.Scale = 1
	}
	switch c.String("cross_attention_norm", "", "layer_norm", "group_norm") {
	case "layer_norm":
		o.CrossNorm = blocks.CrossLayerNorm
	case "group_norm":
		o.CrossNorm = blocks.CrossGroupNorm
	}
	context := channels
	if n := c.Size("cross_attention_dim", 0); n > 0 {
		context = n
	}
	for _, key := range []string{"kv_heads", "qk_norm", "added_kv_proj_dim", "spatial_norm_dim", "context_pre_only"} {
		c.Only(key, nil)
	}
	c.Only("only_cross_attention", false)
	c.Only("pre_only", false)
	c.Ignore("dropout", "upcast_attention", "upcast_softmax", "added_proj_bias", "elementwise_affine")
	if c.Bool("_from_deprecated_attn_block", false) {
		b.load.Alias = blocks.LegacyAttention
	}
	out := channels
	if o.Out != 0 {
		out = o.Out
	}
	if b.has("in.ctx") || b.has("in.mask") {
		return crossAttention(b, channels, context, out, o)
	}
	a := b.load.SpatialAttention("", channels, o)
	return func() {
		x := b.input("in.x")
		y := b.graph.Image(x.N, x.H, x.W, out)
		a.Build(b.graph, y, x)
		b.output("out.y", y)
	}
}

// crossAttention is an Attention to in.ctx, or to in.x where that is masked.
func crossAttention(b *block, channels, context, out int, o blocks.SpatialOptions) func() {
	var norm *blocks.GroupNorm
	if o.Groups > 0 {
		norm = b.load.GroupNorm("group_norm", channels, o.Groups, o.Eps, kernels.Identity)
	}
	if !b.has("in.ctx") {
		o.CrossNorm = blocks.NoCrossNorm
		if norm != nil {
			b.errs = append(b.errs, unsupported("no attention to what is normed and masked yet"))
		}
	}
	a := b.load.CrossAttention("", channels, context, o.AttentionOptions)
	return func() {
		x := b.input("in.x")
		y := b.graph.Image(x.N, x.H, x.W, out)
		f := blocks.Fuse{Scale: 1 / o.Rescale}
		if o.Residual {
			f.Add = b.graph.Image(x.N, x.H, x.W, x.C)
			b.graph.Scale("rescale_output_factor", f.Add, x, f.Scale)
		}
		if norm != nil {
			norm.Build(b.graph, x, x)
		}
		a.Build(b.graph, y, x, f)
		b.output("out.y", y)
	}
}
