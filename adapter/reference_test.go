package adapter_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/adapter"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/internal/ref"
	"github.com/lanewise/lanewise/tensor"
)

// weights is a file under construction.
type weights map[string]modeltest.Tensor

func (w weights) add(name string, shape ...int) { w[name] = modeltest.Random(name, 1, shape...) }

func (w weights) linear(name string, in, out int) {
	w.add(name+".weight", out, in)
	w.add(name+".bias", out)
}

func (w weights) norm(name string, width int) {
	w.add(name+".weight", width)
	w.add(name+".bias", width)
}

const file = "ip-adapter.safetensors"

// files writes the file.
func (w weights) files() fstest.MapFS {
	return fstest.MapFS{file: {Data: modeltest.Safetensors(w)}}
}

// The sizes of the image prompts of tests.
const (
	width    = 12 // of tokens
	embed    = 20 // of an embedding, and of states
	identity = 10
	hidden   = 16 // of a resampler
	tokens   = 3
)

// layers adds the keys and values of layers.
func (w weights) layers(numbers ...int) {
	for i, n := range numbers {
		w.add(fmt.Sprintf("ip_adapter.%d.to_k_ip.weight", n), 8+i, width)
		w.add(fmt.Sprintf("ip_adapter.%d.to_v_ip.weight", n), 8+i, width)
	}
}

// resampler adds a resampler with names of the authors or of diffusers.
func (w weights) resampler(module string, diffusers bool) {
	w.linear(module+"proj_in", embed, hidden)
	w.linear(module+"proj_out", hidden, width)
	w.norm(module+"norm_out", width)
	for i := range 2 {
		layer := fmt.Sprintf("%slayers.%d.", module, i)
		n := resamplerNames(diffusers)
		w.norm(layer+n.norm1, hidden)
		w.norm(layer+n.norm2, hidden)
		w.norm(layer+n.norm3, hidden)
		w.add(layer+n.attn+".to_q.weight", 128, hidden)
		if diffusers {
			w.add(layer+n.attn+".to_k.weight", 128, hidden)
			w.add(layer+n.attn+".to_v.weight", 128, hidden)
			w.add(layer+n.attn+".to_out.0.weight", hidden, 128)
		} else {
			w.add(layer+n.attn+".to_kv.weight", 256, hidden)
			w.add(layer+n.attn+".to_out.weight", hidden, 128)
		}
		w.add(layer+n.fc1+".weight", 40, hidden)
		w.add(layer+n.fc2+".weight", hidden, 40)
	}
}

type layerNames struct{ norm1, norm2, norm3, attn, fc1, fc2 string }

func resamplerNames(diffusers bool) layerNames {
	if diffusers {
		return layerNames{"ln0", "ln1", "ff.0", "attn", "ff.1.net.0.proj", "ff.1.net.2"}
	}
	return layerNames{"0.norm1", "0.norm2", "1.0", "0", "1.1", "1.3"}
}

// prompts are files of every kind.
var prompts = map[string]func() weights{
	"Plain": func() weights {
		w := weights{}
		w.linear("image_proj.proj", embed, tokens*width)
		w.norm("image_proj.norm", width)
		w.layers(1, 3, 5, 11)
		return w
	},
	"Full": func() weights {
		w := weights{}
		w.linear("image_proj.proj.0", embed, embed)
		w.linear("image_proj.proj.2", embed, width)
		w.norm("image_proj.proj.3", width)
		w.layers(1)
		return w
	},
	"Face": func() weights {
		w := weights{}
		w.linear("image_proj.proj.0", embed, 2*embed)
		w.linear("image_proj.proj.2", 2*embed, tokens*width)
		w.norm("image_proj.norm", width)
		w.layers(1)
		return w
	},
	"Plus": func() weights {
		w := weights{}
		w.add("image_proj.latents", 1, tokens, hidden)
		w.resampler("image_proj.", false)
		w.layers(1)
		return w
	},
	"Plus with diffusers' names": func() weights {
		w := weights{}
		w.add("image_proj.latents", 1, tokens, hidden)
		w.resampler("image_proj.", true)
		w.layers(1)
		return w
	},
	"FacePlus": func() weights {
		w := weights{}
		w.linear("image_proj.proj.0", identity, 2*identity)
		w.linear("image_proj.proj.2", 2*identity, tokens*hidden)
		w.norm("image_proj.norm", hidden)
		w.resampler("image_proj.perceiver_resampler.", false)
		w.layers(1)
		return w
	},
}

// matrix is a matrix in float64.
type matrix struct {
	cols int
	data []float64
}

func (m matrix) rows() int { return len(m.data) / m.cols }

func matrixOf(m tensor.Mat) matrix { return matrix{m.Cols, kerneltest.Float64s(kerneltest.Values(m))} }

// linear is x·wᵀ + b.
func (w weights) linearOf(name string, x matrix) matrix {
	t := w[name+".weight"]
	y, _ := ref.Linear(x.rows(), t.Shape[0], t.Shape[1], x.data, kerneltest.Float64s(t.Data))
	if b, ok := w[name+".bias"]; ok {
		for i := range y {
			y[i] += float64(b.Data[i%t.Shape[0]])
		}
	}
	return matrix{t.Shape[0], y}
}

// normOf is the layer norm of every row.
func (w weights) normOf(name string, x matrix) matrix {
	gamma, beta := kerneltest.Float64s(w[name+".weight"].Data), kerneltest.Float64s(w[name+".bias"].Data)
	y := matrix{cols: len(gamma)}
	for r := range len(x.data) / len(gamma) {
		y.data = append(y.data, ref.LayerNorm(x.data[r*len(gamma):(r+1)*len(gamma)], gamma, beta, 1e-5)...)
	}
	return y
}

func gelu(x matrix) matrix {
	y := matrix{cols: x.cols}
	for _, v := range x.data {
		y.data = append(y.data, ref.Acts["gelu"](v))
	}
	return y
}

func (x matrix) plus(y matrix) matrix {
	sum := matrix{x.cols, slices.Clone(x.data)}
	for i, v := range y.data {
		sum.data[i] += v
	}
	return sum
}

// attend is attention of two heads.
func attend(q, k, v matrix) matrix {
	return matrix{q.cols, ref.Attend(q.data, k.data, v.data, nil, q.cols, 2, 1.0/8)}
}

// resample is the resampler from h.
func (w weights) resample(module string, diffusers bool, states, h matrix) matrix {
	x := w.linearOf(module+"proj_in", states)
	for i := range 2 {
		layer := fmt.Sprintf("%slayers.%d.", module, i)
		n := resamplerNames(diffusers)
		own := w.normOf(layer+n.norm2, h)
		all := matrix{x.cols, slices.Concat(w.normOf(layer+n.norm1, x).data, own.data)}
		q := w.linearOf(layer+n.attn+".to_q", own)
		var k, v matrix
		out := ".to_out"
		if diffusers {
			k, v = w.linearOf(layer+n.attn+".to_k", all), w.linearOf(layer+n.attn+".to_v", all)
			out = ".to_out.0"
		} else {
			kv := w.linearOf(layer+n.attn+".to_kv", all)
			k.cols, v.cols = 128, 128
			for r := range kv.rows() {
				k.data = append(k.data, kv.data[r*256:r*256+128]...)
				v.data = append(v.data, kv.data[r*256+128:(r+1)*256]...)
			}
		}
		h = h.plus(w.linearOf(layer+n.attn+out, attend(q, k, v)))
		h = h.plus(w.linearOf(layer+n.fc2, gelu(w.linearOf(layer+n.fc1, w.normOf(layer+n.norm3, h)))))
	}
	return w.normOf(module+"norm_out", w.linearOf(module+"proj_out", h))
}

// want computes the tokens of a picture.
func (w weights) want(kind string, picture, id matrix, shortcut float64) matrix {
	switch kind {
	case "Plain":
		return w.normOf("image_proj.norm", w.linearOf("image_proj.proj", picture))
	case "Full":
		return w.normOf("image_proj.proj.3", w.linearOf("image_proj.proj.2", gelu(w.linearOf("image_proj.proj.0", picture))))
	case "Face":
		return w.normOf("image_proj.norm", w.linearOf("image_proj.proj.2", gelu(w.linearOf("image_proj.proj.0", picture))))
	case "FacePlus":
		face := w.normOf("image_proj.norm", w.linearOf("image_proj.proj.2", gelu(w.linearOf("image_proj.proj.0", id))))
		out := w.resample("image_proj.perceiver_resampler.", false, picture, face)
		if shortcut != 0 {
			for i, v := range out.data {
				out.data[i] = face.data[i] + shortcut*v
			}
		}
		return out
	}
	h := matrix{hidden, kerneltest.Float64s(w["image_proj.latents"].Data)}
	return w.resample("image_proj.", strings.Contains(kind, "diffusers"), picture, h)
}

// random returns a matrix of random values whose rows have room beside them.
func random(seed uint64, rows, cols int) tensor.Mat {
	return tensor.Mat{Rows: rows, Cols: cols, Stride: cols + 3, Data: kerneltest.Random(seed, rows*(cols+3))}
}

// load reads an image prompt.
func load(t testing.TB, e *engine.Engine, w weights) *adapter.ImagePrompt {
	t.Helper()
	p, err := adapter.LoadImagePrompt(e, w.files(), file)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
