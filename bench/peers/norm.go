package main

import (
	"fmt"

	"github.com/lanewise/lanewise/bench/internal/measure"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/norm"
	"github.com/lanewise/lanewise/tensor"
)

const (
	normGroups = 32
	normEps    = 1e-5
)

// normData is an image and what a norm is given with it, a value for each channel.
type normData struct {
	h, w, c      int
	image        []float32 // NHWC
	gain, offset []float32 // of the norm
	scale, shift []float32 // of its condition
}

// normLayout compares Lanewise with each library by itself, since they do not all compute the same: README.md says what.
func normLayout(peers []*peer) layout {
	l := layout{ways: []string{""}}
	for _, p := range peers {
		name := p.name
		if p == oneDNN {
			name += ", folded"
		}
		l.columns = append(l.columns, column{name, p.of})
		l.quotients = append(l.quotients, quotient{name: "× " + name, suits: func(_ *ours, e *entry) bool { return p.of(e) }})
	}
	return l
}

// normRows are the norms of one image. Their GB/s count one reading and one writing of it, however
// often it is read.
func normRows(shape []int) []row {
	h, w, c := shape[0], shape[1], shape[2]
	rowOf := func(op string, enter func(r *race, d normData)) row {
		return row{
			kind: "norm", shape: fmt.Sprintf("%s %d×%d×%d", op, h, w, c),
			work: 2 * 4 * float64(h*w*c), unit: "GB/s", tolerance: 1e-4,
			enter: func(r *race) {
				enter(r, normData{h, w, c, measure.Random(1, h*w*c), measure.Random(2, c), measure.Random(3, c), measure.Random(4, c), measure.Random(5, c)})
			},
		}
	}
	return []row{
		rowOf("group", func(r *race, d normData) { d.group(r, false, false) }),
		rowOf("group-silu", func(r *race, d normData) { d.group(r, false, true) }),
		rowOf("adagroup-silu", func(r *race, d normData) { d.group(r, true, true) }),
		rowOf("layer", func(r *race, d normData) { d.layer(r, false) }),
		rowOf("ada", func(r *race, d normData) { d.layer(r, true) }),
	}
}

func (d normData) output() []float32 { return tensor.Aligned(len(d.image)) }

func (d normData) nhwc(data []float32) tensor.NHWC {
	return tensor.NHWC{N: 1, H: d.h, W: d.w, C: d.c, Stride: d.c, Data: data}
}

func (d normData) vector(data []float32) tensor.Mat {
	return tensor.Mat{Rows: 1, Cols: d.c, Stride: d.c, Data: data}
}

// group enters norms over groups of channels, ·(1 + scale) + shift where ada says so, and with
// SiLU.
func (d normData) group(r *race, ada, silu bool) {
	act := kernels.Identity
	if silu {
		act = kernels.SiLU
	}
	affine := norm.Affine{Scale: d.gain, Shift: d.offset, Eps: normEps}
	r.lanewise("", d.output, func(o *ours, dst []float32) func() {
		y, x := d.nhwc(dst), d.nhwc(d.image)
		if ada {
			scale, shift := d.vector(d.scale), d.vector(d.shift)
			return func() { norm.AdaGroup(o.Engine, y, x, normGroups, affine, scale, shift, act) }
		}
		return func() { norm.Group(o.Engine, y, x, normGroups, affine, act) }
	})

	dims, channels := []int{1, d.c, d.h, d.w}, []int{1, d.c, 1, 1}
	src := tensor.Aligned(len(d.image))
	tensor.ToNCHW(src, d.nhwc(d.image))
	// The operator, or groups as channels of an instance norm, as exporters write it.
	operator := model{
		nodes: []node{{op: "GroupNormalization", in: []string{"x", "gain", "offset"}, out: []string{"normed"},
			attributes: []attribute{{"num_groups", normGroups}, {"epsilon", float32(normEps)}}}},
		constants: []constant{{"gain", []int{d.c}, d.gain}, {"offset", []int{d.c}, d.offset}},
	}
	ones := make([]float32, normGroups)
	for i := range ones {
		ones[i] = 1
	}
	instance := model{
		nodes: []node{
			{op: "Reshape", in: []string{"x", "grouped"}, out: []string{"groups"}},
			{op: "InstanceNormalization", in: []string{"groups", "ones", "zeros"}, out: []string{"instances"},
				attributes: []attribute{{"epsilon", float32(normEps)}}},
			{op: "Reshape", in: []string{"instances", "ungrouped"}, out: []string{"images"}},
			{op: "Mul", in: []string{"images", "gain"}, out: []string{"gained"}},
			{op: "Add", in: []string{"gained", "offset"}, out: []string{"normed"}},
		},
		constants: []constant{
			{"grouped", []int{3}, []int64{0, normGroups, -1}}, {"ungrouped", []int{4}, []int64{1, int64(d.c), int64(d.h), int64(d.w)}},
			{"ones", []int{normGroups}, ones}, {"zeros", []int{normGroups}, make([]float32, normGroups)},
			{"gain", []int{d.c, 1, 1}, d.gain}, {"offset", []int{d.c, 1, 1}, d.offset},
		},
	}
	for _, v := range []struct {
		name  string
		model model
	}{{"GroupNormalization", operator}, {"InstanceNormalization", instance}} {
		r.add(onnxRuntime, v.name, func() (contender, error) {
			m, last := v.model, "normed"
			if ada {
				last = m.modulate(last)
			}
			if silu {
				m.nodes = append(m.nodes,
					node{op: "Sigmoid", in: []string{last}, out: []string{"sigmoid"}},
					node{op: "Mul", in: []string{last, "sigmoid"}, out: []string{"y"}})
				last = "y"
			}
			m.inputs, m.outputs = []operand{{"x", dims}}, []operand{{last, dims}}
			inputs := [][]float32{src}
			if ada {
				m.inputs = append(m.inputs, operand{"scale", channels}, operand{"shift", channels})
				inputs = append(inputs, onePlus(d.scale), d.shift)
			}
			s, err := newORT(r.workers, m, inputs...)
			if err != nil {
				return nil, err
			}
			s.restore = d.fromNCHW
			return s, nil
		})
	}

	for _, last := range []bool{false, true} {
		variant := "NCHW"
		if last {
			variant = "channels last"
		}
		c := torchCall{Op: "group", Height: d.h, Width: d.w, Channels: d.c, Groups: normGroups, Eps: normEps, Last: last, SiLU: silu}
		operands := [][]float32{src, d.gain, d.offset}
		if ada {
			operands = append(operands, d.scale, d.shift)
		}
		r.torch(variant, c, len(src), d.fromNCHW, operands...)
	}
}

// fromNCHW returns an image as Lanewise has it.
func (d normData) fromNCHW(values []float32) []float32 {
	y := d.nhwc(d.output())
	tensor.FromNCHW(y, values)
	return y.Data
}

// layer enters norms of each pixel, with a gain and an offset, or ·(1 + scale) + shift where ada
// says so.
func (d normData) layer(r *race, ada bool) {
	r.lanewise("", d.output, func(o *ours, dst []float32) func() {
		y, x := d.nhwc(dst).Tokens(), d.nhwc(d.image).Tokens()
		if ada {
			scale, shift := d.vector(d.scale), d.vector(d.shift)
			return func() { norm.Ada(o.Engine, y, x, 1, norm.Affine{Eps: normEps}, scale, shift) }
		}
		affine := norm.Affine{Scale: d.gain, Shift: d.offset, Eps: normEps}
		return func() { norm.Layer(o.Engine, y, x, affine) }
	})

	gain, offset := d.gain, d.offset
	if ada { // oneDNN takes the modulation for the norm's own gain; ONNX Runtime and PyTorch do it afterwards
		gain, offset = onePlus(d.scale), d.shift
	}
	r.add(oneDNN, "", func() (contender, error) {
		p := newDNN(r.workers)
		x, both, y := p.plain(d.h*d.w, d.c), p.plain(2, d.c), p.plain(d.h*d.w, d.c)
		p.layerNorm(y, x, both, normEps)
		p.fill(x, d.image)
		p.fill(both, append(append([]float32(nil), gain...), offset...))
		return p.finish(y)
	})
	r.add(onnxRuntime, "", func() (contender, error) {
		dims, last := []int{1, d.h * d.w, d.c}, "normed"
		m := model{
			nodes: []node{{op: "LayerNormalization", in: []string{"x", "gain", "offset"}, out: []string{last},
				attributes: []attribute{{"axis", -1}, {"epsilon", float32(normEps)}}}},
			inputs: []operand{{"x", dims}},
		}
		inputs := [][]float32{d.image}
		if ada {
			last = m.modulate(last)
			ones := make([]float32, d.c)
			for i := range ones {
				ones[i] = 1
			}
			m.constants = []constant{{"gain", []int{d.c}, ones}, {"offset", []int{d.c}, make([]float32, d.c)}}
			m.inputs = append(m.inputs, operand{"scale", []int{1, 1, d.c}}, operand{"shift", []int{1, 1, d.c}})
			inputs = append(inputs, gain, offset)
		} else {
			m.constants = []constant{{"gain", []int{d.c}, gain}, {"offset", []int{d.c}, offset}}
		}
		m.outputs = []operand{{last, dims}}
		return sessionOf(newORT(r.workers, m, inputs...))
	})
	by, then := d.gain, d.offset
	if ada {
		by, then = d.scale, d.shift
	}
	r.torch("", torchCall{Op: "layer", Channels: d.c, Eps: normEps, Ada: ada}, len(d.image), nil, d.image, by, then)
}

// modulate appends ·scale + shift to a model and returns the name of the result.
func (m *model) modulate(last string) string {
	m.nodes = append(m.nodes[:len(m.nodes):len(m.nodes)],
		node{op: "Mul", in: []string{last, "scale"}, out: []string{"scaled"}},
		node{op: "Add", in: []string{"scaled", "shift"}, out: []string{"shifted"}})
	return "shifted"
}

// onePlus returns 1 + s.
func onePlus(s []float32) []float32 {
	t := tensor.Aligned(len(s))
	for i, v := range s {
		t[i] = 1 + v
	}
	return t
}
