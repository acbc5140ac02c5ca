package conv_test

import (
	"math"
	"testing"

	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/ref"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// layer is one convolution to test: its shape and what is fused into it.
type layer struct {
	n, h, w, in, out int
	g                conv.Geometry
	toH, toW         int // the output's size where g.Upsample
	pad              int // values between pixels of src, dst and add
	bias             bool
	imageBias        bool
	scaled           bool // a prologue's scale and shift for each image
	centred          bool // with a mean beside them
	before, act      kernels.Act
	gate             bool           // for each image
	add, addDst      bool           // a residual; in dst itself
	images           int            // that the epilogue speaks of; n where 0
	by               conv.Algorithm // but Direct, Auto
	stored           bool           // transformed weights
	half             int            // the weights' kernels.HalfType and 1; 0: they have all digits of a float32
}

func (l layer) String() string {
	oh, ow := l.size()
	zeros := []int{l.g.Top, l.g.Left, l.g.Bottom, l.g.Right}
	return kerneltest.Name("n", l.n, "h", l.h, "w", l.w, "in", l.in, "out", l.out, "k", l.g.KH, "kw", l.g.KW, "s", l.g.Stride, "zeros", zeros,
		"up", l.g.Upsample, "oh", oh, "ow", ow, "pad", l.pad, "scaled", l.scaled, "centred", l.centred, "before", l.before, "act", l.act,
		"bias", l.bias, "imageBias", l.imageBias, "gate", l.gate, "add", l.add, "addDst", l.addDst, "images", l.images, "by", l.plan(), "half", l.half)
}

// plan is how the layer is computed.
func (l layer) plan() conv.Plan {
	if l.by == conv.Auto {
		return conv.Plan{Algorithm: conv.Direct}
	}
	return conv.Plan{Algorithm: l.by, Stored: l.stored}
}

// epilogueImages is how many images the epilogue speaks of, where it speaks of any.
func (l layer) epilogueImages() int {
	if l.images > 0 {
		return l.images
	}
	return l.n
}

// tiled says whether a Winograd algorithm computes the layer: not where the epilogue's images are parts of
// those that tiles are cut from.
func (l layer) tiled() bool {
	images := l.epilogueImages()
	return l.by.Tiled() && (!l.imageBias && !l.gate || images > 0 && l.n%images == 0)
}

// size returns the output's size by the definition of a convolution.
func (l layer) size() (oh, ow int) {
	if l.g.Upsample {
		return l.toH, l.toW
	}
	return l.truthShape(l.h, l.w).Size()
}

func (l layer) truthShape(h, w int) ref.Conv {
	return ref.Conv{N: l.n, H: h, W: w, In: l.in, Out: l.out, KH: l.g.KH, KW: l.g.KW, Stride: l.g.Stride,
		Top: l.g.Top, Left: l.g.Left, Bottom: l.g.Bottom, Right: l.g.Right}
}

// enlarged returns l reading an image that is enlarged to h × w.
func (l layer) enlarged(h, w int) layer {
	l.g.Upsample, l.toH, l.toW = true, h, w
	return l
}

// operands are a layer's inputs, each at the end of readable memory.
type operands struct {
	src, dst tensor.NHWC
	w        []float32
	pro      gemm.Prologue
	ep       gemm.Epilogue
}

// image returns random pixels at the end of readable memory. What lies between two of them is NaN, as
// kerneltest.Fill has it.
func image(t testing.TB, seed uint64, n, h, w, c, stride int) tensor.NHWC {
	m := kerneltest.Mat(t, seed, n*h*w, c, stride)
	if c > 0 {
		for r := range m.Rows - 1 {
			kerneltest.Fill(m.Data[r*stride+c : (r+1)*stride])
		}
	}
	return tensor.NHWC{N: n, H: h, W: w, C: c, Stride: stride, Data: m.Data}
}

func (l layer) operands(t testing.TB) operands {
	oh, ow := l.size()
	o := operands{
		src: image(t, 1, l.n, l.h, l.w, l.in, l.in+l.pad),
		dst: image(t, 2, l.n, oh, ow, l.out, l.out+l.pad),
		w:   kerneltest.Mat(t, 3, 1, l.out*l.in*l.g.KH*l.g.KW, l.out*l.in*l.g.KH*l.g.KW).Data,
		pro: gemm.Prologue{Act: l.before},
		ep:  gemm.Epilogue{Act: l.act},
	}
	if l.half > 0 {
		kerneltest.Truncate(o.w, kernels.HalfType(l.half-1))
	}
	if l.bias {
		o.ep.Bias = kerneltest.Mat(t, 4, 1, l.out, l.out).Data
	}
	if l.imageBias {
		o.ep.ImageBias = kerneltest.Mat(t, 5, l.epilogueImages(), l.out, l.out+1)
	}
	if l.gate {
		o.ep.Gate = kerneltest.Mat(t, 10, l.epilogueImages(), l.out, l.out+2)
	}
	if l.scaled {
		o.pro.Scale = kerneltest.Mat(t, 6, l.n, l.in, l.in)
		o.pro.Shift = kerneltest.Mat(t, 7, l.n, l.in, l.in+2)
		if l.centred {
			o.pro.Mean = kerneltest.Mat(t, 9, l.n, l.in, l.in+1)
		}
	}
	if !l.addDst {
		kerneltest.Fill(o.dst.Data)
	}
	if l.add {
		o.ep.Add = o.dst.Tokens()
		if !l.addDst {
			o.ep.Add = kerneltest.Mat(t, 8, l.n*oh*ow, l.out, l.out+l.pad)
		}
	}
	return o
}

// prologue returns src after the prologue, without rounding, and how far each value of it may be off.
func (l layer) prologue(o operands) (src, spread []float64) {
	src = kerneltest.Float64s(kerneltest.Values(o.src.Tokens()))
	spread = make([]float64, len(src))
	for i, v := range src {
		x := kerneltest.Approx{V: v}
		if l.scaled {
			n, c := i/(l.h*l.w*l.in), i%l.in
			scale := float64(o.pro.Scale.Row(n)[c])
			if l.centred {
				x.V -= float64(o.pro.Mean.Row(n)[c])
				x.E = kerneltest.Half * math.Abs(x.V*scale) // of the difference, scaled
			}
			x.V = x.V*scale + float64(o.pro.Shift.Row(n)[c])
			x.E += 2 * kerneltest.Half * math.Abs(x.V)
		}
		x = x.Act(l.before)
		src[i], spread[i] = x.V, x.E
	}
	return src, spread
}

// truth returns the layer's exact result and the bound of its error.
func (l layer) truth(o operands) []kerneltest.Approx {
	small, smallSpread := l.prologue(o)
	src, spread, shape := small, smallSpread, l.truthShape(l.h, l.w)
	if l.g.Upsample {
		src = ref.Nearest(l.n, l.h, l.w, l.in, l.toH, l.toW, small)
		spread = ref.Nearest(l.n, l.h, l.w, l.in, l.toH, l.toW, smallSpread)
		shape = l.truthShape(l.toH, l.toW)
	}
	w := kerneltest.Float64s(o.w)
	sum, abs := shape.Apply(src, w)
	var errors []float64
	switch {
	case !l.tiled():
		_, spread = shape.Apply(spread, w)
	case l.by == conv.PhasesWinograd:
		errors = l.phaseErrors(small, smallSpread, w)
	default:
		errors = l.tileErrors(shape, src, spread, w)
	}
	want := make([]kerneltest.Approx, len(sum))
	for i := range want {
		image, c := i*l.epilogueImages()/len(want), i%l.out
		bias := 0.0
		if l.bias {
			bias = float64(o.ep.Bias[c])
		}
		if l.imageBias {
			bias = float64(o.ep.ImageBias.Row(image)[c])
		}
		var x kerneltest.Approx
		if l.tiled() {
			x = kerneltest.Approx{V: sum[i], E: errors[i]}.Plus(bias)
		} else {
			x = kerneltest.Sum(l.in*l.g.KH*l.g.KW, sum[i]+bias, abs[i]+math.Abs(bias))
			x.E += spread[i]
		}
		x = x.Act(l.act)
		if l.gate {
			x = x.Times(kerneltest.Approx{V: float64(o.ep.Gate.Row(image)[c])})
		}
		if l.add {
			x = x.Plus(float64(o.ep.Add.Row(i / l.out)[c]))
		}
		want[i] = x
	}
	return want
}

// pack lays out the layer's weights for its algorithm.
func (l layer) pack(e *engine.Engine, o operands) *conv.Packed {
	return conv.Pack(e, o.w, l.out, l.in, l.g).With(e, l.plan())
}

func (l layer) run(e *engine.Engine, o operands) {
	conv.Apply(e, o.dst, o.src, l.pack(e, o), o.pro, o.ep)
}

// check runs the layer and compares with the truth.
func (l layer) check(t testing.TB, e *engine.Engine) {
	t.Helper()
	l.compare(t, e, l.truth(l.operands(t)))
}

// compare runs the layer and compares with what is known of its truth.
func (l layer) compare(t testing.TB, e *engine.Engine, want []kerneltest.Approx) {
	t.Helper()
	o := l.operands(t)
	l.run(e, o)
	kerneltest.UntouchedBetween(t, l.String(), o.dst.Tokens())
	kerneltest.NearAll(t, l.String(), kerneltest.Values(o.dst.Tokens()), want)
}
