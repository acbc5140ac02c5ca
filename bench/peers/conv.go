package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/lanewise/lanewise/bench/internal/measure"
	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/tensor"
)

// convLayout has Lanewise's own choice and its direct sum beside oneDNN's direct algorithm, in whichever
// layout is fastest, and its Winograd.
func convLayout(loaded []*peer) layout {
	l := layout{ways: []string{"auto", "direct"}}
	l.quotients = append(l.quotients, quotient{"auto × direct", "auto", func(o *ours, e *entry) bool { return e.lanewise == o && e.variant == "direct" }})
	for _, p := range loaded {
		if p != oneDNN {
			l.columns = append(l.columns, column{p.name, p.of})
			continue
		}
		// It is oneDNN's name of what it runs that counts: what it takes by itself may be either.
		winograd := func(e *entry) bool { return p.of(e) && strings.Contains(e.kernel, "wino") }
		direct := func(e *entry) bool { return p.of(e) && !winograd(e) }
		l.columns = append(l.columns, column{"oneDNN direct", direct}, column{"oneDNN Winograd", winograd})
		l.quotients = append(l.quotients,
			quotient{"direct × oneDNN direct", "direct", func(_ *ours, e *entry) bool { return direct(e) }},
			quotient{"auto × oneDNN Winograd", "auto", func(_ *ours, e *entry) bool { return winograd(e) }})
	}
	return layout{l.ways, l.columns, append(l.quotients, quotient{"auto × best", "auto", func(_ *ours, e *entry) bool { return e.peer != nil }})}
}

// convRow is a convolution with a bias that keeps the image's size, or halves it. Lanewise computes it by the
// algorithm that it chooses, and by the direct sum. Images are NHWC for Lanewise and where a variant says
// so, NCHW for ONNX Runtime, and otherwise as oneDNN likes them.
func convRow(shape []int) row {
	n, h, w, in, out, k, stride := shape[0], shape[1], shape[2], shape[3], shape[4], shape[5], shape[6]
	g := conv.Same(k)
	g.Stride = stride
	oh, ow := (h-1)/stride+1, (w-1)/stride+1
	work := 2 * float64(n*oh*ow) * float64(in*out*k*k)
	return row{
		kind: "conv", shape: fmt.Sprintf("%d×%d×%d %d→%d k%d s%d", n, h, w, in, out, k, stride),
		// F(6×6, 3×3) of 1280 channels errs by 5·10⁻⁵, all others by a quarter of it: go run . errors.
		work: work, unit: "GFLOP/s", tolerance: 1e-4,
		enter: func(r *race) {
			x := measure.Random(1, n*h*w*in)
			weights, bias := measure.Random(2, out*in*k*k), measure.Random(3, out)
			gain := float32(math.Sqrt(3 / float64(in*k*k))) // a chain neither grows nor fades
			for i := range weights {
				weights[i] *= gain
			}
			create := func() []float32 { return tensor.Aligned(n * oh * ow * out) }
			image := func(h, w, c int, data []float32) tensor.NHWC {
				return tensor.NHWC{N: n, H: h, W: w, C: c, Stride: c, Data: data}
			}
			src, packed := image(h, w, in, x), map[*ours]*conv.Packed{}
			for _, o := range r.ours {
				packed[o] = conv.Pack(o.Engine, weights, out, in, g)
			}
			for _, a := range []conv.Algorithm{conv.Auto, conv.Direct} {
				r.lanewise(a.String(), create, func(o *ours, dst []float32) func() {
					p := packed[o]
					p = p.With(o.Engine, p.Choose(h, w, oh, ow, conv.Options{Algorithm: a}))
					y := image(oh, ow, out, dst)
					return func() { conv.Apply(o.Engine, y, src, p, gemm.Prologue{}, gemm.Epilogue{Bias: bias}) }
				})
			}

			for _, v := range []struct {
				name      string
				algorithm dnnAlgorithm
				nhwc      bool
			}{{"direct", dnnDirect, false}, {"auto", dnnAuto, false}, {"winograd", dnnWinograd, false}, {"direct-nhwc", dnnDirect, true}} {
				if v.algorithm == dnnWinograd && (k != 3 || stride != 1) {
					continue // what it is made for
				}
				r.add(oneDNN, v.name, func() (contender, error) {
					p := newDNN(r.workers)
					pixels := func(h, w, c int) dnnTensor {
						return p.tensor([]int{n, c, h, w}, []int{h * w * c, 1, w * c, c}, !v.nhwc)
					}
					src, f, b, y := pixels(h, w, in), p.free(out, in, k, k), p.plain(out), pixels(oh, ow, out)
					p.convolution(y, src, f, b, v.algorithm, stride, k/2)
					p.fill(src, x)
					p.fill(f, weights)
					p.fill(b, bias)
					return p.finish(y)
				})
			}

			session := func(times int) (contender, error) {
				m := model{
					constants: []constant{{"w", []int{out, in, k, k}, weights}, {"b", []int{out}, bias}},
					inputs:    []operand{{"x0", []int{n, in, h, w}}},
					outputs:   []operand{{fmt.Sprint("x", times), []int{n, out, oh, ow}}},
				}
				for i := range times {
					m.nodes = append(m.nodes, node{
						op: "Conv", in: []string{fmt.Sprint("x", i), "w", "b"}, out: []string{fmt.Sprint("x", i+1)},
						attributes: []attribute{{"kernel_shape", []int{k, k}}, {"strides", []int{stride, stride}}, {"pads", []int{k / 2, k / 2, k / 2, k / 2}}},
					})
				}
				nchw := tensor.Aligned(len(x))
				tensor.ToNCHW(nchw, src)
				s, err := newORT(r.workers, m, nchw)
				if err != nil {
					return nil, err
				}
				s.restore = func(values []float32) []float32 {
					y := image(oh, ow, out, tensor.Aligned(len(values)))
					tensor.FromNCHW(y, values)
					return y.Data
				}
				return s, nil
			}
			r.add(onnxRuntime, "", func() (contender, error) { return session(1) })
			const chain = 4
			if in == out && stride == 1 && r.loaded(onnxRuntime) {
				e := r.add(onnxRuntime, fmt.Sprintf("chain of %d", chain), func() (contender, error) { return session(chain) })
				e.work *= chain
				o, y := r.ours[0], src
				for range chain {
					next := image(h, w, out, create())
					conv.Apply(o.Engine, next, y, packed[o], gemm.Prologue{}, gemm.Epilogue{Bias: bias})
					y = next
				}
				e.want = y.Data
			}
		},
	}
}
