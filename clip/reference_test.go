package clip_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/internal/ref"
)

// weights are tensors by name.
type weights map[string]modeltest.Tensor

// files returns a model's directory.
func (ws weights) files(config map[string]any) fstest.MapFS {
	text, err := json.Marshal(config)
	if err != nil {
		panic(err)
	}
	return fstest.MapFS{"config.json": {Data: text}, "model.safetensors": {Data: modeltest.Safetensors(ws)}}
}

// add adds a tensor of random values about a center.
func (ws weights) add(name string, center, spread float32, shape ...int) {
	n := 1
	for _, d := range shape {
		n *= d
	}
	data := kerneltest.Random(uint64(len(ws)), n)
	for i := range data {
		data[i] = center + spread*data[i]
	}
	ws[name] = modeltest.Tensor{Shape: shape, Data: data}
}

// without returns the tensors with a prefix left out of their names.
func (ws weights) without(prefix string) weights {
	bare := weights{}
	for name, w := range ws {
		bare[strings.TrimPrefix(name, prefix)] = w
	}
	return bare
}

// linear adds a layer, norm a norm.
func (ws weights) linear(name string, in, out int) {
	ws.add(name+".weight", 0, float32(1/math.Sqrt(float64(in))), out, in)
	ws.add(name+".bias", 0, 0.3, out)
}

func (ws weights) norm(name string, width int) {
	ws.add(name+".weight", 1, 0.2, width)
	ws.add(name+".bias", 0, 0.2, width)
}

// tensor returns a tensor in float64.
func (ws weights) tensor(name string) []float64 {
	w, ok := ws[name]
	if !ok {
		panic("no tensor " + name)
	}
	return kerneltest.Float64s(w.Data)
}

// stack is the layers of an encoder in float64.
type stack struct {
	prefix                      string
	width, inner, layers, heads int
	eps                         float32
	act                         string // in kernels' words
	weights                     weights
}

// name returns the name of a layer.
func (s stack) name(layer int) string { return fmt.Sprintf("%s.encoder.layers.%d.", s.prefix, layer) }

// add adds random weights.
func (s stack) add() {
	for i := range s.layers {
		name := s.name(i)
		for _, p := range []string{"q_proj", "k_proj", "v_proj", "out_proj"} {
			s.weights.linear(name+"self_attn."+p, s.width, s.width)
		}
		s.weights.norm(name+"layer_norm1", s.width)
		s.weights.norm(name+"layer_norm2", s.width)
		s.weights.linear(name+"mlp.fc1", s.width, s.inner)
		s.weights.linear(name+"mlp.fc2", s.inner, s.width)
	}
}

// run returns x and what each layer makes of it. bias is added to the score of a query and a key.
func (s stack) run(x []float64, bias func(q, k int) float32) [][]float64 {
	plus := func(y []float64) []float64 {
		sum := slices.Clone(x)
		for i, v := range y {
			sum[i] += v
		}
		return sum
	}
	hidden := [][]float64{x}
	for i := range s.layers {
		name := s.name(i)
		x = plus(s.attention(name+"self_attn", s.norm(name+"layer_norm1", x), bias))
		inner := s.linear(name+"mlp.fc1", s.norm(name+"layer_norm2", x), s.width, s.inner)
		for i, v := range inner {
			inner[i] = ref.Acts[s.act](v)
		}
		x = plus(s.linear(name+"mlp.fc2", inner, s.inner, s.width))
		hidden = append(hidden, x)
	}
	return hidden
}

func (s stack) linear(name string, x []float64, in, out int) []float64 {
	y, _ := ref.Linear(len(x)/in, out, in, x, s.weights.tensor(name+".weight"))
	for i, b := range s.weights.tensor(name + ".bias") {
		for r := 0; r < len(y); r += out {
			y[r+i] += b
		}
	}
	return y
}

func (s stack) norm(name string, x []float64) []float64 {
	var y []float64
	for r := 0; r < len(x); r += s.width {
		y = append(y, ref.LayerNorm(x[r:r+s.width], s.weights.tensor(name+".weight"), s.weights.tensor(name+".bias"), float64(s.eps))...)
	}
	return y
}

// attention is attention of all tokens to each other, head by head.
func (s stack) attention(name string, x []float64, bias func(q, k int) float32) []float64 {
	tokens, size := len(x)/s.width, s.width/s.heads
	biases := make([]float32, tokens*tokens)
	for q := range tokens {
		for k := range tokens {
			biases[q*tokens+k] = bias(q, k)
		}
	}
	head := func(name string, h int) []float32 { // as ref wants them: an error of 2⁻²⁴
		var part []float32
		all := s.linear(name, x, s.width, s.width)
		for t := range tokens {
			for _, v := range all[t*s.width+h*size:][:size] {
				part = append(part, float32(v))
			}
		}
		return part
	}
	mixed := make([]float64, len(x))
	for h := range s.heads {
		out, _ := ref.Attention(head(name+".q_proj", h), head(name+".k_proj", h), head(name+".v_proj", h), biases, tokens, tokens, size, 1/math.Sqrt(float64(size)))
		for t := range tokens {
			copy(mixed[t*s.width+h*size:], out[t*size:][:size])
		}
	}
	return s.linear(name+".out_proj", mixed, s.width, s.width)
}

// near fails the test where a float32 encoder with sums of up to 40 terms, two layers deep, may
// not be: golden cases deviate by 2e-6.
func near(t *testing.T, what string, got []float32, want []float64) {
	t.Helper()
	kerneltest.Near(t, what, got, want, func(int) float64 { return 2e-5 })
}
