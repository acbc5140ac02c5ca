package unet_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/internal/ref"
	"github.com/lanewise/lanewise/kernels"
)

// reference is UNet2DConditionModel for one image in float64, written down in the order and the
// words of diffusers' code, so that it shares no idea of the layout with what it judges.
type reference struct {
	diffusers
	weights map[string]modeltest.Tensor
	used    map[string]bool

	context []float64 // tokens × ContextDim
	mask    []float64 // encoder_attention_mask, what is added to scores; nil for none
	emb     []float64 // the time embedding

	// What else an image is conditioned on.
	vector, pooled, guidance, sizes []float64
}

// state is an image: pixels × c.
type state struct {
	h, w, c int
	v       []float64
}

func float64s(s []float32) []float64 {
	d := make([]float64, len(s))
	for i, v := range s {
		d[i] = float64(v)
	}
	return d
}

func (r *reference) tensor(name string) ([]float64, []int) {
	w, ok := r.weights[name]
	if !ok {
		panic("the model did not ask for " + name)
	}
	r.used[name] = true
	return float64s(w.Data), w.Shape
}

func (r *reference) act(name any, x []float64) []float64 {
	if name == nil {
		return x
	}
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = ref.Acts[name.(string)](v)
	}
	return y
}

func add(x, y []float64) []float64 {
	sum := make([]float64, len(x))
	for i := range x {
		sum[i] = x[i] + y[i]
	}
	return sum
}

// linear is nn.Linear, or a 1 × 1 convolution, with a bias if the checkpoint has one.
func (r *reference) linear(name string, x []float64) []float64 {
	w, shape := r.tensor(name + ".weight")
	out, in := shape[0], shape[1]
	y, _ := ref.Linear(len(x)/in, out, in, x, w)
	if _, ok := r.weights[name+".bias"]; ok {
		bias, _ := r.tensor(name + ".bias")
		for i := range y {
			y[i] += bias[i%out]
		}
	}
	return y
}

// conv2d is nn.Conv2d with zeros on all sides, or below and to the right alone.
func (r *reference) conv2d(name string, x state, stride, padding int, belowOnly bool) state {
	w, shape := r.tensor(name + ".weight")
	c := ref.Conv{N: 1, H: x.h, W: x.w, In: x.c, Out: shape[0], KH: shape[2], KW: shape[3], Stride: stride,
		Top: padding, Left: padding, Bottom: padding, Right: padding}
	if belowOnly {
		c.Bottom, c.Right = 1, 1
	}
	y, _ := c.Apply(x.v, w)
	bias, _ := r.tensor(name + ".bias")
	for i := range y {
		y[i] += bias[i%c.Out]
	}
	h, width := c.Size()
	return state{h, width, c.Out, y}
}

func (r *reference) groupNorm(name string, x state, eps float64) state {
	gamma, _ := r.tensor(name + ".weight")
	beta, _ := r.tensor(name + ".bias")
	x.v = ref.GroupNorm(x.v, x.c, r.Groups, gamma, beta, eps)
	return x
}

func (r *reference) layerNorm(name string, x []float64, channels int) []float64 {
	gamma, _ := r.tensor(name + ".weight")
	beta, _ := r.tensor(name + ".bias")
	var y []float64
	for row := range slices.Chunk(x, channels) {
		y = append(y, ref.LayerNorm(row, gamma, beta, 1e-5)...)
	}
	return y
}

func (r *reference) resnet(name string, x state) state {
	h := r.groupNorm(name+".norm1", x, r.Eps)
	h.v = r.act(r.Act, h.v)
	h = r.conv2d(name+".conv1", h, 1, 1, false)
	temb := r.linear(name+".time_emb_proj", r.act(r.Act, r.emb))
	if r.TimeScaleShift == "default" {
		for i := range h.v {
			h.v[i] += temb[i%h.c]
		}
	}
	h = r.groupNorm(name+".norm2", h, r.Eps)
	if r.TimeScaleShift == "scale_shift" {
		for i := range h.v {
			h.v[i] = h.v[i]*(1+temb[i%h.c]) + temb[h.c+i%h.c]
		}
	}
	h.v = r.act(r.Act, h.v)
	h = r.conv2d(name+".conv2", h, 1, 1, false)
	if _, ok := r.weights[name+".conv_shortcut.weight"]; ok {
		x.v = r.linear(name+".conv_shortcut", x.v)
	}
	h.v = add(h.v, x.v)
	return h
}

func (r *reference) attention(name string, x, context, mask []float64, heads int) []float64 {
	q, k, v := r.linear(name+".to_q", x), r.linear(name+".to_k", context), r.linear(name+".to_v", context)
	_, shape := r.tensor(name + ".to_q.weight")
	return r.linear(name+".to_out.0", attend(q, k, v, mask, shape[0], heads))
}

// attend is softmax(q·kᵀ/√d + mask)·v for heads that lie side by side in rows of inner values.
func attend(q, k, v, mask []float64, inner, heads int) []float64 {
	return ref.Attend(q, k, v, mask, inner, heads, 1/math.Sqrt(float64(inner/heads)))
}

func (r *reference) transformer2d(name string, x state, layers, heads int, onlyCross bool) state {
	n := r.groupNorm(name+".norm", x, 1e-6)
	h := r.linear(name+".proj_in", n.v)
	inner := len(h) / (x.h * x.w)
	for i := range layers {
		block := fmt.Sprintf("%s.transformer_blocks.%d", name, i)
		y := r.layerNorm(block+".norm1", h, inner)
		context := y
		if onlyCross {
			context = r.context
		}
		h = add(h, r.attention(block+".attn1", y, context, nil, heads))
		h = add(h, r.attention(block+".attn2", r.layerNorm(block+".norm2", h, inner), r.context, r.mask, heads))
		g := r.linear(block+".ff.net.0.proj", r.layerNorm(block+".norm3", h, inner))
		var gated []float64
		for row := range slices.Chunk(g, 8*inner) {
			for c := range 4 * inner {
				gated = append(gated, row[c]*ref.Acts["gelu"](row[4*inner+c]))
			}
		}
		h = add(h, r.linear(block+".ff.net.2", gated))
	}
	x.v = add(x.v, r.linear(name+".proj_out", h))
	return x
}

// layerNormOf is nn.LayerNorm on vectors of the norm's own width.
func (r *reference) layerNormOf(name string, x []float64) []float64 {
	_, shape := r.tensor(name + ".weight")
	return r.layerNorm(name, x, shape[0])
}

// mlp is TimestepEmbedding.
func (r *reference) mlp(name string, act any, x []float64) []float64 {
	return r.linear(name+".linear_2", r.act(act, r.linear(name+".linear_1", x)))
}

// classEmbedding is get_class_embed.
func (r *reference) classEmbedding(class int) []float64 {
	switch r.ClassType {
	case "timestep":
		return r.mlp("class_embedding", r.Act, r.timesteps(float64(class), r.Channels[0]))
	case "identity":
		return r.vector
	case "projection":
		return r.mlp("class_embedding", "silu", r.vector)
	case "simple_projection":
		return r.linear("class_embedding", r.vector)
	}
	table, shape := r.tensor("class_embedding.weight")
	return table[class*shape[1] : (class+1)*shape[1]]
}

// augmentation is get_aug_embed. Of what is pooled, an image's embedding is the last.
func (r *reference) augmentation() []float64 {
	switch r.Addition {
	case "text":
		return r.textTimeEmbedding()
	case "text_time":
		all := slices.Clone(r.pooled)
		for _, size := range r.sizes {
			all = append(all, r.timesteps(size, r.SizeDim)...)
		}
		return r.mlp("add_embedding", "silu", all)
	case "image":
		return r.layerNormOf("add_embedding.image_norm", r.linear("add_embedding.image_proj", r.pooled))
	case "text_image":
		text, image := r.pooled[:r.ContextDim], r.pooled[r.ContextDim:]
		return add(r.layerNormOf("add_embedding.text_norm", r.linear("add_embedding.text_proj", text)), r.linear("add_embedding.image_proj", image))
	}
	return make([]float64, len(r.emb))
}

// textTimeEmbedding is TextTimeEmbedding with its AttentionPooling.
func (r *reference) textTimeEmbedding() []float64 {
	x := r.layerNormOf("add_embedding.norm1", r.context)
	position, shape := r.tensor("add_embedding.pool.positional_embedding")
	dim := shape[1]
	class := slices.Clone(position)
	for i, v := range x {
		class[i%dim] += v / float64(len(x)/dim)
	}
	x = append(slices.Clone(class), x...)
	q := r.linear("add_embedding.pool.q_proj", class)
	k, v := r.linear("add_embedding.pool.k_proj", x), r.linear("add_embedding.pool.v_proj", x)
	pooled := attend(q, k, v, nil, dim, r.AdditionHeads)
	return r.layerNormOf("add_embedding.norm2", r.linear("add_embedding.proj", pooled))
}

// encoderHiddenStates is process_encoder_hidden_states.
func (r *reference) encoderHiddenStates() []float64 {
	switch r.EncoderType {
	case "text_proj":
		return r.linear("encoder_hid_proj", r.context)
	case "image_proj":
		return r.layerNormOf("encoder_hid_proj.norm", r.linear("encoder_hid_proj.image_embeds", r.pooled))
	case "text_image_proj":
		image := r.pooled[len(r.pooled)-r.ContextDim:]
		return append(r.linear("encoder_hid_proj.image_embeds", image), r.linear("encoder_hid_proj.text_proj", r.context)...)
	}
	return r.context
}

func (r *reference) timesteps(t float64, dim int) []float64 {
	half := dim / 2
	emb := make([]float64, dim)
	for i := range half {
		exponent := float32(-math.Log(10000)) * float32(i) / float32(float64(half)-r.FreqShift)
		a := float64(float32(t) * float32(math.Exp(float64(exponent))))
		emb[i], emb[half+i] = math.Sin(a), math.Cos(a)
		if r.FlipSinToCos {
			emb[i], emb[half+i] = emb[half+i], emb[i]
		}
	}
	return emb
}

func (r *reference) forward(sample state, t float64, class int) state {
	if r.Center {
		for i := range sample.v {
			sample.v[i] = 2*sample.v[i] - 1
		}
	}
	time := r.timesteps(t, r.Channels[0])
	if r.guidance != nil {
		time = add(time, r.linear("time_embedding.cond_proj", r.guidance))
	}
	r.emb = r.act(r.TimePostAct, r.mlp("time_embedding", r.Act, time))
	switch {
	case r.Classes == nil && r.ClassType == "":
	case r.ClassConcat:
		r.emb = append(r.emb, r.classEmbedding(class)...)
	default:
		r.emb = add(r.emb, r.classEmbedding(class))
	}
	r.emb = add(r.emb, r.augmentation())
	r.emb = r.act(r.TimeAct, r.emb)
	r.context = r.encoderHiddenStates()

	sample = r.conv2d("conv_in", sample, 1, (r.ConvIn-1)/2, false)
	skips := []state{sample}
	for i, kind := range r.Down {
		for j := range r.Layers[i] {
			sample = r.resnet(fmt.Sprintf("down_blocks.%d.resnets.%d", i, j), sample)
			if kind == crossDown {
				sample = r.transformer2d(fmt.Sprintf("down_blocks.%d.attentions.%d", i, j), sample, r.Transformers[i], r.Heads[i], r.OnlyCross[i])
			}
			skips = append(skips, sample)
		}
		if i+1 < len(r.Down) {
			sample = r.conv2d(fmt.Sprintf("down_blocks.%d.downsamplers.0.conv", i), sample, 2, r.DownsamplePadding, r.DownsamplePadding == 0)
			skips = append(skips, sample)
		}
	}

	last := len(r.Channels) - 1
	if r.Mid != nil {
		sample = r.resnet("mid_block.resnets.0", sample)
	}
	if r.Mid == crossMid {
		sample = r.transformer2d("mid_block.attentions.0", sample, r.Transformers[last], r.Heads[last], false)
		sample = r.resnet("mid_block.resnets.1", sample)
	}

	for i, kind := range r.Up {
		for j := range r.Layers[last-i] + 1 {
			skip := skips[len(skips)-1]
			skips = skips[:len(skips)-1]
			var cat []float64
			for p := range sample.h * sample.w {
				cat = append(cat, sample.v[p*sample.c:(p+1)*sample.c]...)
				cat = append(cat, skip.v[p*skip.c:(p+1)*skip.c]...)
			}
			sample = r.resnet(fmt.Sprintf("up_blocks.%d.resnets.%d", i, j), state{skip.h, skip.w, sample.c + skip.c, cat})
			if kind == crossUp {
				sample = r.transformer2d(fmt.Sprintf("up_blocks.%d.attentions.%d", i, j), sample, r.Transformers[last-i], r.Heads[last-i], r.OnlyCross[last-i])
			}
		}
		if i+1 < len(r.Up) {
			to := skips[len(skips)-1]
			sample.v = ref.Nearest(1, sample.h, sample.w, sample.c, to.h, to.w, sample.v)
			sample.h, sample.w = to.h, to.w
			sample = r.conv2d(fmt.Sprintf("up_blocks.%d.upsamplers.0.conv", i), sample, 1, 1, false)
		}
	}

	sample = r.groupNorm("conv_norm_out", sample, r.Eps)
	sample.v = r.act(r.Act, sample.v)
	return r.conv2d("conv_out", sample, 1, (r.ConvOut-1)/2, false)
}

// Every kind of configuration against the reference: the same names, and the same numbers up to
// float32's rounding.
func TestForward(t *testing.T) {
	cases := map[string]struct {
		h, w   int
		change func(c *diffusers)
	}{
		"small": {8, 8, func(c *diffusers) {}},
		"odd size": {7, 5, func(c *diffusers) {
			c.Channels, c.Heads, c.OnlyCross = []int{8, 8, 12}, []int{1, 2, 3}, []bool{false, false, false}
			c.Down, c.Up = []string{crossDown, crossDown, down}, []string{up, crossUp, crossUp}
			c.Layers, c.Transformers = []int{2, 2, 2}, []int{1, 1, 1}
		}},
		"lists by level": {8, 12, func(c *diffusers) {
			*c = varied()
			c.Channels, c.Heads = []int{8, 12, 16}, []int{1, 4, 2}
			c.Layers, c.Transformers, c.OnlyCross = []int{2, 1, 3}, []int{1, 2, 3}, []bool{true, true, false}
			c.Classes = nil
		}},
		"time": {4, 4, func(c *diffusers) {
			c.FlipSinToCos, c.FreqShift, c.Act = false, 1, "gelu"
			c.TimeDim, c.TimeAct, c.TimePostAct, c.Classes = 20, "silu", "mish", 3
		}},
		"asymmetric downsampling of odd sizes": {9, 11, func(c *diffusers) {
			c.DownsamplePadding, c.Eps, c.Center = 0, 1e-3, true
		}},
		"no attention": {6, 6, func(c *diffusers) {
			c.Down, c.Up, c.Mid = []string{down, down}, []string{up, up}, "UNetMidBlock2D"
			c.TimeScaleShift, c.Act = "scale_shift", "relu"
		}},
		"no mid block": {6, 6, func(c *diffusers) { c.Mid, c.ConvIn, c.ConvOut = nil, 5, 1 }},
		"one level": {3, 5, func(c *diffusers) {
			c.Channels, c.Heads, c.OnlyCross, c.Layers, c.Transformers = []int{12}, []int{3}, []bool{false}, []int{2}, []int{1}
			c.Down, c.Up, c.Linear = []string{crossDown}, []string{crossUp}, true
		}},
		"heads that leave channels over": {4, 4, func(c *diffusers) { c.Heads = []int{3, 5} }},
		"one pixel":                      {1, 1, func(c *diffusers) {}},
		// Which is for the second attention of a block alone.
		"a mask": {4, 4, func(c *diffusers) { c.OnlyCross = []bool{true, true} }},
		"a text's pooled embedding and sizes": {4, 4, func(c *diffusers) {
			c.Addition, c.SizeDim, c.ProjectionDim, c.GuidanceDim, c.ClassType = "text_time", 6, 5+2*6, 9, "timestep"
		}},
		"projected tokens, pooled": {4, 4, func(c *diffusers) {
			c.Addition, c.AdditionHeads, c.EncoderDim, c.EncoderType, c.ClassType = "text", 5, 10, "text_proj", "identity"
		}},
		"tokens of an image": {4, 4, func(c *diffusers) {
			c.Addition, c.EncoderDim, c.EncoderType, c.ClassType, c.ClassConcat = "image", 7, "image_proj", "", false
		}},
		"tokens of an image before a text's": {4, 4, func(c *diffusers) {
			c.Addition, c.EncoderDim, c.EncoderType = "text_image", 10, "text_image_proj"
			c.ClassType, c.ProjectionDim = "projection", 3
		}},
		"a projected class beside the time": {4, 4, func(c *diffusers) {
			c.ClassType, c.ProjectionDim, c.ClassConcat, c.TimeAct = "simple_projection", 11, true, "gelu"
		}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			c := small()
			test.change(&c)
			weights := randomWeights(t, c, 1)
			m := loadModel(t, kerneltest.Engine(t, kernels.Available()[0], 2), files(t, c, weights))
			if len(m.Unknown) > 0 || len(m.Unused) > 0 {
				t.Errorf("unknown keys %v, unused tensors %v", m.Unknown, m.Unused)
			}
			x := randomImages(2, 1, test.h, test.w, c.InChannels)
			with := randomCond(3, m, 6)
			if name == "a mask" {
				with.Context[0].Mask = []float32{0, -10000, 0, -0.5, -10000, 1}
			}
			const time = 123.25
			got := forward(t, bind(t, m, 1, test.h, test.w, with), x, c.OutChannels, time)

			r := &reference{diffusers: c, weights: weights, used: map[string]bool{}}
			if len(with.Context) > 0 {
				r.context = float64s(with.Context[0].Tokens.Data)
				if mask := with.Context[0].Mask; mask != nil {
					r.mask = float64s(mask)
				}
			}
			r.vector, r.pooled, r.sizes = float64s(with.Vector), float64s(with.Pooled), with.Sizes
			if with.Guidance != nil {
				r.guidance = float64s(with.Guidance)
			}
			want := r.forward(state{x.H, x.W, x.C, float64s(x.Data)}, time, with.Class)
			for name := range maps.Keys(weights) {
				if !r.used[name] {
					t.Errorf("the reference does not know %s", name)
				}
			}
			most := 0.0
			for _, v := range want.v {
				most = max(most, math.Abs(v))
			}
			kerneltest.Near(t, "out", got.Data, want.v, func(int) float64 { return 1e-5 * most })
		})
	}
}
