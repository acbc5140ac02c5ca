package golden_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/lanewise/lanewise/activation"
	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/internal/golden"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/norm"
	"github.com/lanewise/lanewise/resample"
	"github.com/lanewise/lanewise/tensor"
)

// call is one application of an operator: tensors in.<name>.* to out.<name>.*.
type call struct {
	name string
	in   map[string]golden.Tensor // "x", "w", "b", …
	out  map[string][]int         // shapes of "y", "y_silu", …
	// From the index's parameters.
	Op        string
	Groups    int
	Eps       float32
	Kernel    int
	Stride    int
	Padding   int
	PadBefore []int   `json:"pad_before"` // left, right, top, bottom
	Scale     float32 // of attention's scores; 0 is the usual
}

// operator is a way to run a call: of all its outputs, got has those that the operator makes.
type operator struct {
	is  func(c *call) bool
	run func(e *engine.Engine, c *call) (got map[string]golden.Tensor)
}

// operators says which operator a call is for, by its own words or its inputs, and how to run it.
var operators = []operator{
	{func(c *call) bool { return c.in["q"].Data != nil }, runAttention},
	{func(c *call) bool { return strings.HasPrefix(c.Op, "softmax over last dim") }, runSoftmax},
	{func(c *call) bool { return strings.HasPrefix(c.Op, "conv2d") }, runConv},
	{func(c *call) bool { return strings.Contains(c.Op, "group_norm") }, runGroupNorm},
	{func(c *call) bool { return strings.Contains(c.Op, "layer_norm") }, runLayerNorm},
	{func(c *call) bool { return strings.HasPrefix(c.Op, "nearest") }, runNearest},
	{func(c *call) bool { return strings.HasPrefix(c.Op, "avg_pool2d") }, runAveragePool},
	{func(c *call) bool { return strings.HasPrefix(c.Op, "pixel_unshuffle") }, runPixelUnshuffle},
	{func(c *call) bool { return len(c.in["w"].Shape) == 2 }, runLinear},
	{func(c *call) bool { return c.activation() == "geglu" }, runGEGLU},
	{func(c *call) bool { _, ok := c.function(); return ok }, runActivation},
}

// runOperators runs a case that holds calls of operators.
func runOperators(e *engine.Engine, c *golden.Case) error {
	calls, err := readCalls(c)
	if err != nil {
		return err
	}
	var errs []error
	for _, call := range calls {
		i := slices.IndexFunc(operators, func(o operator) bool { return o.is(call) })
		if i < 0 {
			errs = append(errs, fmt.Errorf("%s: which operator is %q?", call.name, call.Op))
			continue
		}
		got := operators[i].run(e, call)
		for output := range call.out {
			name := "out." + call.name + "." + output
			if strings.HasSuffix(call.name, "_ext") {
				errs = append(errs, c.CompareWithin(name, got[output], func(want float64) float64 { return 1e-6 + 1e-5*math.Abs(want) }))
			} else {
				errs = append(errs, c.Compare(name, got[output]))
			}
		}
	}
	return errors.Join(errs...)
}

// readCalls groups a case's tensors by the call that they belong to.
func readCalls(c *golden.Case) ([]*call, error) {
	params := make(map[string]json.RawMessage)
	if len(c.Params) > 0 {
		if err := json.Unmarshal(c.Params, &params); err != nil {
			return nil, err
		}
	}
	calls := make(map[string]*call)
	of := func(tensor string) (k *call, last string, err error) {
		_, rest, _ := strings.Cut(tensor, ".")
		dot := strings.LastIndexByte(rest, '.')
		if dot < 0 {
			return nil, "", fmt.Errorf("tensor %q belongs to no call", tensor)
		}
		name := rest[:dot]
		if calls[name] == nil {
			calls[name] = &call{name: name, in: make(map[string]golden.Tensor), out: make(map[string][]int)}
			if p := params[name]; len(p) > 0 && p[0] == '{' {
				err = json.Unmarshal(p, calls[name])
			}
		}
		return calls[name], rest[dot+1:], err
	}
	for _, name := range c.Tensors("in.") {
		k, last, err := of(name)
		if err != nil {
			return nil, err
		}
		if k.in[last], err = c.Float32(name); err != nil {
			return nil, err
		}
	}
	for _, name := range c.Tensors("out.") {
		k, last, err := of(name)
		if err != nil {
			return nil, err
		}
		want, err := c.Float32(name)
		if err != nil {
			return nil, err
		}
		k.out[last] = want.Shape
	}
	return slices.SortedFunc(maps.Values(calls), func(a, b *call) int { return strings.Compare(a.name, b.name) }), nil
}

// y is the result of an operator with one output.
func y(shape []int, data []float32) map[string]golden.Tensor {
	return map[string]golden.Tensor{"y": {Shape: shape, Data: data}}
}

// rows is a tensor as a matrix of its last dimension.
func rows(t golden.Tensor) tensor.Mat {
	cols := t.Shape[len(t.Shape)-1]
	return tensor.Mat{Rows: len(t.Data) / cols, Cols: cols, Stride: cols, Data: t.Data}
}

// image lays out [N, C, H, W], or [N, C, L] as one row of pixels.
func image(t golden.Tensor) tensor.NHWC {
	h, w := 1, t.Shape[2]
	if len(t.Shape) == 4 {
		h, w = t.Shape[2], t.Shape[3]
	}
	x := tensor.Make(t.Shape[0], h, w, t.Shape[1])
	tensor.FromNCHW(x, t.Data)
	return x
}

// planes lays an image out as PyTorch does, in the shape wanted.
func planes(x tensor.NHWC, shape []int) golden.Tensor {
	t := golden.Tensor{Shape: shape, Data: make([]float32, x.N*x.C*x.H*x.W)}
	tensor.ToNCHW(t.Data, x)
	return t
}

// imageOf makes room for an output of PyTorch's shape.
func imageOf(shape []int) tensor.NHWC { return tensor.Make(shape[0], shape[2], shape[3], shape[1]) }

func runLinear(e *engine.Engine, c *call) map[string]golden.Tensor {
	x, w := rows(c.in["x"]), rows(c.in["w"])
	dst := tensor.MakeMat(x.Rows, w.Rows)
	gemm.Mul(e, dst, x, gemm.Pack(e, w), gemm.Prologue{}, gemm.Epilogue{Bias: c.in["b"].Data})
	shape := slices.Clone(c.in["x"].Shape)
	shape[len(shape)-1] = w.Rows
	return y(shape, dst.Data)
}

func runConv(e *engine.Engine, c *call) map[string]golden.Tensor {
	x, w := image(c.in["x"]), c.in["w"]
	pad := []int{c.Padding, c.Padding, c.Padding, c.Padding}
	for i, p := range c.PadBefore {
		pad[i] += p
	}
	packed := conv.Pack(e, w.Data, w.Shape[0], w.Shape[1], conv.Geometry{
		KH: w.Shape[2], KW: w.Shape[3], Stride: c.Stride, Left: pad[0], Right: pad[1], Top: pad[2], Bottom: pad[3],
	})
	h, wide := packed.Size(x.H, x.W)
	dst := tensor.Make(x.N, h, wide, w.Shape[0])
	conv.Apply(e, dst, x, packed, gemm.Prologue{}, gemm.Epilogue{Bias: c.in["b"].Data})
	return map[string]golden.Tensor{"y": planes(dst, []int{dst.N, dst.C, dst.H, dst.W})}
}

func runGroupNorm(e *engine.Engine, c *call) map[string]golden.Tensor {
	x := image(c.in["x"])
	affine := norm.Affine{Scale: c.in["w"].Data, Shift: c.in["b"].Data, Eps: c.Eps}
	got := make(map[string]golden.Tensor)
	for output, act := range map[string]kernels.Act{"y": kernels.Identity, "y_silu": kernels.SiLU} {
		dst := tensor.Make(x.N, x.H, x.W, x.C)
		norm.Group(e, dst, x, c.Groups, affine, act)
		got[output] = planes(dst, c.in["x"].Shape)
	}
	return got
}

func runLayerNorm(e *engine.Engine, c *call) map[string]golden.Tensor {
	x := rows(c.in["x"])
	dst := tensor.MakeMat(x.Rows, x.Cols)
	norm.Layer(e, dst, x, norm.Affine{Scale: c.in["w"].Data, Shift: c.in["b"].Data, Eps: c.Eps})
	return y(c.in["x"].Shape, dst.Data)
}

// tokens lays out [B, H, L, D] as projections leave it: a row for each token, heads side by side.
func tokens(t golden.Tensor) tensor.Mat {
	heads, length, size := t.Shape[1], t.Shape[2], t.Shape[3]
	m := tensor.MakeMat(t.Shape[0]*length, heads*size)
	for i := range len(t.Data) / size {
		b, h, l := i/length/heads, i/length%heads, i%length
		copy(m.Row(b*length + l)[h*size:], t.Data[i*size:][:size])
	}
	return m
}

// heads is the inverse of tokens.
func heads(m tensor.Mat, shape []int) golden.Tensor {
	t := golden.Tensor{Shape: shape, Data: make([]float32, m.Rows*m.Cols)}
	heads, length, size := shape[1], shape[2], shape[3]
	for i := range len(t.Data) / size {
		b, h, l := i/length/heads, i/length%heads, i%length
		copy(t.Data[i*size:][:size], m.Row(b*length + l)[h*size:])
	}
	return t
}

func runAttention(e *engine.Engine, c *call) map[string]golden.Tensor {
	q, k, v := c.in["q"], c.in["k"], c.in["v"]
	shape := attention.Shape{Batch: q.Shape[0], Heads: q.Shape[1], Causal: strings.HasPrefix(c.Op, "causal"), Scale: c.Scale}
	kv := attention.KV{K: tokens(k), V: tokens(v)}
	if mask, ok := c.in["mask"]; ok {
		kv.Mask = broadcast(mask, shape.Batch, shape.Heads, q.Shape[2])
	}
	x := tokens(q)
	dst := tensor.MakeMat(x.Rows, x.Cols)
	attention.Attend(e, dst, x, []attention.KV{kv}, shape)
	return map[string]golden.Tensor{"y": heads(dst, q.Shape)}
}

// broadcast spreads a mask of shape [B or 1, H or 1, queries or 1, keys] as far as attention.KV
// needs it.
func broadcast(mask golden.Tensor, batch, heads, queries int) tensor.Mat {
	if mask.Shape[1] == 1 {
		heads = 1
		if mask.Shape[2] == 1 {
			queries = 1
		}
	}
	from := rows(mask)
	m := tensor.MakeMat(batch*heads*queries, from.Cols)
	for r := range m.Rows {
		b, h, q := r/queries/heads, r/queries%heads, r%queries
		at := (b%mask.Shape[0]*mask.Shape[1]+h%mask.Shape[1])*mask.Shape[2] + q%mask.Shape[2]
		copy(m.Row(r), from.Row(at))
	}
	return m
}

// runSoftmax is attention of queries that are zero, with the scores as a mask and the identity as
// values. Attention's scores are to base 2, rounded at their magnitude; the scores here are exact,
// so each row is given about its largest, which no softmax sees.
func runSoftmax(e *engine.Engine, c *call) map[string]golden.Tensor {
	x := rows(c.in["x"])
	scores, identity := tensor.MakeMat(x.Rows, x.Cols), tensor.MakeMat(x.Cols, x.Cols)
	for r := range x.Rows {
		largest := slices.Max(x.Row(r))
		for i, v := range x.Row(r) {
			scores.Row(r)[i] = v - largest
		}
	}
	for i := range x.Cols {
		identity.Row(i)[i] = 1
	}
	dst, zero := tensor.MakeMat(x.Rows, x.Cols), tensor.MakeMat(x.Rows, x.Cols)
	kv := []attention.KV{{K: identity, V: identity, Mask: scores}}
	attention.Attend(e, dst, zero, kv, attention.Shape{Batch: 1, Heads: 1})
	return y(c.in["x"].Shape, dst.Data)
}

// activation returns the name of the function that is called.
func (c *call) activation() string { return strings.TrimSuffix(c.name, "_ext") }

// function returns the activation that is called.
func (c *call) function() (kernels.Act, bool) {
	switch name := c.activation(); name {
	case "gelu_exact":
		return kernels.GELU, true
	case "exp_neg": // exp(−|x|)
		return kernels.Exp, true
	default:
		i := slices.IndexFunc(kernels.Acts(), func(a kernels.Act) bool { return a.String() == name })
		return kernels.Act(max(i, 0)), i >= 0
	}
}

func runActivation(e *engine.Engine, c *call) map[string]golden.Tensor {
	x := rows(c.in["x"])
	act, _ := c.function()
	if c.activation() == "exp_neg" {
		x.Data = slices.Clone(x.Data)
		for i, v := range x.Data {
			x.Data[i] = -float32(math.Abs(float64(v)))
		}
	}
	dst := tensor.MakeMat(x.Rows, x.Cols)
	activation.Apply(e, dst, x, act)
	return y(c.in["x"].Shape, dst.Data)
}

func runGEGLU(e *engine.Engine, c *call) map[string]golden.Tensor {
	x := rows(c.in["x"])
	half := x.Cols / 2
	dst := tensor.MakeMat(x.Rows, half)
	activation.Gate(e, dst, x.Columns(0, half), x.Columns(half, x.Cols), kernels.GELU)
	shape := slices.Clone(c.in["x"].Shape)
	shape[len(shape)-1] = half
	return y(shape, dst.Data)
}

func runNearest(e *engine.Engine, c *call) map[string]golden.Tensor {
	dst := imageOf(c.out["y"])
	resample.Nearest(e, dst, image(c.in["x"]))
	return map[string]golden.Tensor{"y": planes(dst, c.out["y"])}
}

func runAveragePool(e *engine.Engine, c *call) map[string]golden.Tensor {
	var k, stride int
	dst := imageOf(c.out["y"])
	if _, err := fmt.Sscanf(c.Op, "avg_pool2d kernel %d stride %d", &k, &stride); err != nil || k != stride {
		return nil
	}
	resample.AveragePool(e, dst, image(c.in["x"]), k)
	return map[string]golden.Tensor{"y": planes(dst, c.out["y"])}
}

func runPixelUnshuffle(e *engine.Engine, c *call) map[string]golden.Tensor {
	var k int
	dst := imageOf(c.out["y"])
	if _, err := fmt.Sscanf(c.Op, "pixel_unshuffle factor %d", &k); err != nil {
		return nil
	}
	resample.PixelUnshuffle(e, dst, image(c.in["x"]), k)
	return map[string]golden.Tensor{"y": planes(dst, c.out["y"])}
}
