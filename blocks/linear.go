package blocks

import (
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// Linear is y = x·wᵀ + b over the rows of a matrix or the pixels of an image, or a gated linear
// unit of the same.
type Linear struct {
	Name    string
	In, Out int

	w    *gemm.Packed
	bias []float32 // nil is none
}

// Linear loads "weight", out × in, and where there is one "bias".
func (l *Loader) Linear(name string, in, out int, bias bool) *Linear {
	return l.stack(name, in, bias, gemm.Pack, nil, Part{name, out})
}

// Pointwise loads a 1 × 1 convolution with its bias: what Linear does, stored as out × in × 1 × 1.
func (l *Loader) Pointwise(name string, in, out int) *Linear { return l.pointwise(name, in, out, true) }

func (l *Loader) pointwise(name string, in, out int, bias bool) *Linear {
	return l.stack(name, in, bias, gemm.Pack, []int{1, 1}, Part{name, out})
}

// GLU loads a gated linear unit, the rows of its out values and then of their gates:
// y = (x·valueᵀ + b) · act(x·gateᵀ + b'), where Fuse.Act says act.
func (l *Loader) GLU(name string, in, out int, bias bool) *Linear {
	glu := l.stack(name, in, bias, gemm.PackGLU, nil, Part{name, 2 * out})
	glu.Out = out
	return glu
}

// Part is a module with out rows of weights, one of several that share an input.
type Part struct {
	Name string
	Out  int
}

// Stack loads several linear layers that share their input as one, whose output has their columns
// side by side. name is what the op is called.
func (l *Loader) Stack(name string, in int, bias bool, parts ...Part) *Linear {
	return l.stack(name, in, bias, gemm.Pack, nil, parts...)
}

// stack loads layers whose weights are out × in × tail.
func (l *Loader) stack(name string, in int, bias bool, pack func(*engine.Engine, tensor.Mat) *gemm.Packed, tail []int, parts ...Part) *Linear {
	linear := &Linear{Name: name, In: in}
	for _, p := range parts {
		linear.Out += p.Out
	}
	shape := func(p Part) []int { return append([]int{p.Out, in}, tail...) }
	found := true
	for _, p := range parts {
		if _, ok := l.find(p.Name+".weight", shape(p)...); !ok {
			found = false
		}
		if !bias {
			continue
		}
		if _, ok := l.find(p.Name+".bias", p.Out); !ok {
			found = false
		}
	}
	if !found {
		return linear
	}
	w := tensor.Mat{Rows: linear.Out, Cols: in, Stride: in, Data: l.reserve(linear.Out * in)}
	if bias {
		linear.bias = make([]float32, linear.Out)
	}
	ok, row := true, 0
	for _, p := range parts {
		end := row + p.Out
		ok = l.read(w.Data[row*in:end*in], p.Name+".weight", shape(p)...) && ok
		if bias {
			l.read(linear.bias[row:end], p.Name+".bias", p.Out)
		}
		row = end
	}
	if ok {
		linear.w = pack(l.Engine, w)
		l.bytes += linear.w.Bytes()
	}
	return linear
}

// Build appends dst = the layer of src, with f. Rows of dst are those of src.
func (l *Linear) Build(g *Graph, dst, src program.Value, f Fuse) {
	g.Add(program.Op{
		Name: l.Name, Kind: "gemm", Dst: dst, Src: f.values(src),
		Cost: func() program.Cost {
			weights := l.In * l.Out
			if l.w.GLU {
				weights *= 2
			}
			return program.Cost{FLOP: flops(src.Rows(), weights, 1), Bytes: float64(l.w.Bytes())}
		},
		Bind: func(m program.Memory) func() {
			d, s, ep := m.Mat(dst), m.Mat(src), f.bind(m, l.bias, l.Out)
			return func() { gemm.Mul(g.Engine, d, s, l.w, gemm.Prologue{}, ep) }
		},
	})
}
