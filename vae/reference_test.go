package vae_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/internal/ref"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
	"github.com/lanewise/lanewise/vae"
)

// keys are a config.json.
type keys map[string]any

// with returns the keys with others in place of some.
func (k keys) with(others keys) keys {
	all := keys{}
	for _, from := range []keys{k, others} {
		for key, v := range from {
			all[key] = v
		}
	}
	return all
}

// json is the text of the file.
func (k keys) json(t testing.TB) []byte {
	t.Helper()
	text, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// kl is a small AutoencoderKL of two levels, tiny an AutoencoderTiny of two stages.
var (
	kl = keys{
		"_class_name": "AutoencoderKL", "block_out_channels": []int{8, 12}, "norm_num_groups": 4,
		"down_block_types": []string{"DownEncoderBlock2D", "DownEncoderBlock2D"}, "up_block_types": []string{"UpDecoderBlock2D", "UpDecoderBlock2D"},
	}
	tiny = keys{
		"_class_name": "AutoencoderTiny", "encoder_block_out_channels": []int{8, 8}, "decoder_block_out_channels": []int{12, 12},
		"num_encoder_blocks": []int{1, 2}, "num_decoder_blocks": []int{2, 1},
	}
)

// checkpoint is what diffusers calls the weights.
const checkpoint = "diffusion_pytorch_model"

// files writes a model of random weights.
func files(t testing.TB, k keys) fstest.MapFS {
	t.Helper()
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	return modeltest.Files(string(k.json(t)), checkpoint, 1, func(fsys fs.FS) error {
		_, err := vae.Open(e, fsys)
		return err
	})
}

// storages returns an engine for every way of keeping weights, the compact one first.
func storages(t testing.TB) (all []*engine.Engine) {
	for _, s := range []engine.Storage{engine.Compact, engine.Float32} {
		all = append(all, kerneltest.EngineOf(t, engine.Options{Storage: s}))
	}
	return all
}

// open loads a model.
func open(t testing.TB, e *engine.Engine, fsys fs.FS) vae.Autoencoder {
	t.Helper()
	m, err := vae.Open(e, fsys)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// random returns images of random values.
func random(seed uint64, n, h, w, c int) tensor.NHWC {
	return tensor.NHWC{N: n, H: h, W: w, C: c, Stride: c, Data: kerneltest.Random(seed, n*h*w*c)}
}

// reference computes a model in float64, one image at a time.
type reference struct {
	weights map[string]modeltest.Tensor
	act     string // in ref's words
	groups  int
}

// picture is one image.
type picture struct {
	h, w, c int
	v       []float64
}

// pictureOf copies image n.
func pictureOf(x tensor.NHWC, n int) picture {
	one := x.Images(n, n+1)
	return picture{x.H, x.W, x.C, kerneltest.Float64s(kerneltest.Values(one.Tokens()))}
}

// mapped applies f to every value.
func (x picture) mapped(f func(float64) float64) picture {
	y := picture{x.h, x.w, x.c, make([]float64, len(x.v))}
	for i, v := range x.v {
		y.v[i] = f(v)
	}
	return y
}

// plus adds y.
func (x picture) plus(y picture) picture {
	i := -1
	return x.mapped(func(v float64) float64 { i++; return v + y.v[i] })
}

// enlarged repeats every pixel k times in each direction.
func (x picture) enlarged(k int) picture {
	return picture{k * x.h, k * x.w, x.c, ref.Nearest(1, x.h, x.w, x.c, k*x.h, k*x.w, x.v)}
}

func (r *reference) values(name string) []float64 { return kerneltest.Float64s(r.weights[name].Data) }

// conv is a convolution of any size; before and after are rows and columns of zeros.
func (r *reference) conv(name string, x picture, stride, before, after int) picture {
	w, ok := r.weights[name+".weight"]
	if !ok {
		panic("no " + name)
	}
	k := 1
	if len(w.Shape) == 4 {
		k = w.Shape[2]
	}
	c := ref.Conv{N: 1, H: x.h, W: x.w, In: x.c, Out: w.Shape[0], KH: k, KW: k, Stride: stride, Top: before, Left: before, Bottom: after, Right: after}
	y := picture{c: c.Out}
	y.h, y.w = c.Size()
	y.v, _ = c.Apply(x.v, r.values(name+".weight"))
	for i, b := range r.values(name + ".bias") {
		for p := i; p < len(y.v); p += y.c {
			y.v[p] += b
		}
	}
	return y
}

// same is a convolution that keeps the size.
func (r *reference) same(name string, x picture) picture {
	k := 1
	if w := r.weights[name+".weight"]; len(w.Shape) == 4 {
		k = w.Shape[2]
	}
	return r.conv(name, x, 1, k/2, k/2)
}

// norm is a group norm with an activation.
func (r *reference) norm(name string, x picture, act string) picture {
	x.v = ref.GroupNorm(x.v, x.c, r.groups, r.values(name+".weight"), r.values(name+".bias"), 1e-6)
	return x.mapped(ref.Acts[act])
}

func (r *reference) resnet(name string, x picture) picture {
	h := r.same(name+".conv1", r.norm(name+".norm1", x, r.act))
	h = r.same(name+".conv2", r.norm(name+".norm2", h, r.act))
	if _, ok := r.weights[name+".conv_shortcut.weight"]; ok {
		x = r.same(name+".conv_shortcut", x)
	}
	return x.plus(h)
}

// attention is attention over pixels with one head, if the model has it.
func (r *reference) attention(name string, x picture) picture {
	if _, ok := r.weights[name+".group_norm.weight"]; !ok {
		return x
	}
	y := r.norm(name+".group_norm", x, "identity")
	q, k, v := r.same(name+".to_q", y), r.same(name+".to_k", y), r.same(name+".to_v", y)
	out := picture{x.h, x.w, x.c, ref.Attend(q.v, k.v, v.v, nil, x.c, 1, 1/math.Sqrt(float64(x.c)))}
	return x.plus(r.same(name+".to_out.0", out))
}

// layers are a level's residual blocks and attentions: as many as there are.
func (r *reference) layers(name string, x picture) picture {
	for i := 0; ; i++ {
		resnet := fmt.Sprintf("%s.resnets.%d", name, i)
		if _, ok := r.weights[resnet+".conv1.weight"]; !ok {
			return x
		}
		x = r.attention(fmt.Sprintf("%s.attentions.%d", name, i), r.resnet(resnet, x))
	}
}

// ends is the last norm and convolution of a way.
func (r *reference) ends(way string, x picture) picture {
	return r.same(way+".conv_out", r.norm(way+".conv_norm_out", x, "silu"))
}

// quant is a convolution that may not be there.
func (r *reference) quant(name string, x picture) picture {
	if _, ok := r.weights[name+".weight"]; !ok {
		return x
	}
	return r.same(name, x)
}

// encode and decode are those of an AutoencoderKL.
func (r *reference) encode(x picture) picture {
	h := r.same("encoder.conv_in", x)
	for i := 0; ; i++ {
		name := fmt.Sprintf("encoder.down_blocks.%d", i)
		h = r.layers(name, h)
		if _, ok := r.weights[name+".downsamplers.0.conv.weight"]; !ok {
			break
		}
		h = r.conv(name+".downsamplers.0.conv", h, 2, 0, 1)
	}
	return r.quant("quant_conv", r.ends("encoder", r.layers("encoder.mid_block", h)))
}

func (r *reference) decode(z picture) picture {
	h := r.layers("decoder.mid_block", r.same("decoder.conv_in", r.quant("post_quant_conv", z)))
	for i := 0; ; i++ {
		name := fmt.Sprintf("decoder.up_blocks.%d", i)
		h = r.layers(name, h)
		if _, ok := r.weights[name+".upsamplers.0.conv.weight"]; !ok {
			break
		}
		h = r.same(name+".upsamplers.0.conv", h.enlarged(2))
	}
	return r.ends("decoder", h)
}

// encodeTiny and decodeTiny are those of an AutoencoderTiny with the given blocks in each stage.
func (r *reference) encodeTiny(x picture, blocks []int) picture {
	h := r.same("encoder.layers.0", x.mapped(func(v float64) float64 { return (v + 1) / 2 }))
	at := 1
	for i, n := range blocks {
		if i > 0 {
			h = r.conv(fmt.Sprintf("encoder.layers.%d", at), h, 2, 1, 1)
			at++
		}
		h, at = r.tinyBlocks("encoder", h, at, n)
	}
	return r.same(fmt.Sprintf("encoder.layers.%d", at), h)
}

func (r *reference) decodeTiny(z picture, blocks []int, enlarged func(picture) picture) picture {
	h := r.same("decoder.layers.0", z.mapped(func(v float64) float64 { return 3 * math.Tanh(v/3) })).mapped(ref.Acts[r.act])
	at := 2
	for i, n := range blocks {
		if i > 0 {
			h = r.same(fmt.Sprintf("decoder.layers.%d", at+1), enlarged(h))
			at += 2
		}
		h, at = r.tinyBlocks("decoder", h, at, n)
	}
	return r.same(fmt.Sprintf("decoder.layers.%d", at), h).mapped(func(v float64) float64 { return 2*v - 1 })
}

func (r *reference) tinyBlocks(way string, x picture, at, n int) (picture, int) {
	for range n {
		name := fmt.Sprintf("%s.layers.%d.conv.", way, at)
		h := r.same(name+"0", x).mapped(ref.Acts[r.act])
		h = r.same(name+"4", r.same(name+"2", h).mapped(ref.Acts[r.act]))
		x = x.plus(h).mapped(ref.Acts["relu"])
		at++
	}
	return x, at
}
