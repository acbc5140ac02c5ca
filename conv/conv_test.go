package conv_test

import (
	"math"
	"testing"

	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// geometries of kernels that diffusion models have, and some that they have not.
var geometries = []conv.Geometry{
	conv.Same(1),
	conv.Same(3),
	conv.Same(5),
	{KH: 3, KW: 3, Stride: 2, Top: 1, Left: 1, Bottom: 1, Right: 1},
	{KH: 3, KW: 3, Stride: 2, Bottom: 1, Right: 1},
	{KH: 3, KW: 3, Stride: 1},
	{KH: 2, KW: 2, Stride: 2},
	{KH: 1, KW: 1, Stride: 2},
	{KH: 1, KW: 1, Stride: 1, Left: 2, Bottom: 1},
	{KH: 1, KW: 4, Stride: 3, Top: 1, Left: 2, Right: 5},
	{KH: 4, KW: 3, Stride: 1, Top: 6, Left: 1, Bottom: 5, Right: 7}, // pixels made of padding alone
}

func TestApplyGeometry(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		for _, g := range geometries {
			for _, size := range [][2]int{{4, 4}, {7, 5}, {5, 13}} {
				l := layer{n: 2, h: size[0], w: size[1], in: 5, out: set.GEMM.NR + 3, g: g, pad: 3, bias: true}
				l.check(t, e)
				l.scaled, l.before, l.imageBias, l.bias, l.add = true, kernels.SiLU, true, false, true
				l.check(t, e)
				l.centred = true
				l.check(t, e)
			}
		}
	})
}

func TestApplySmallImages(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		for h := range 4 {
			for w := range 4 {
				for _, before := range []kernels.Act{kernels.Identity, kernels.SiLU} {
					layer{n: 3, h: h, w: w, in: 3, out: 4, g: conv.Same(3), bias: true, before: before}.check(t, e)
				}
			}
		}
		layer{n: 0, h: 4, w: 4, in: 3, out: 4, g: conv.Same(3)}.check(t, e)
		layer{n: 1, h: 4, w: 4, in: 0, out: 4, g: conv.Same(3), bias: true}.check(t, e)
		layer{n: 1, h: 4, w: 4, in: 3, out: 0, g: conv.Same(3)}.check(t, e)
	})
}

func TestApplyChannels(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		kc := set.GEMM.KC
		for _, in := range []int{1, 2, 4, 31, 64, kc/9 + 1, kc/4 + 1, kc/2 - 1} {
			layer{n: 1, h: 3, w: 5, in: in, out: 5, g: conv.Same(3), bias: true}.check(t, e)
		}
		for _, in := range []int{kc, kc + 1, 2*kc + 3} {
			g := conv.Geometry{KH: 2, KW: 1, Stride: 1, Top: 1}
			layer{n: 1, h: 2, w: 3, in: in, out: 3, g: g, bias: true, act: kernels.SiLU}.check(t, e)
			layer{n: 1, h: 2, w: 3, in: in, out: 3, g: g, scaled: true, add: true, addDst: true}.check(t, e)
		}
		for _, out := range []int{1, 3, 4, set.GEMM.NR - 1, set.GEMM.NR, 2*set.GEMM.NR + 1} {
			layer{n: 1, h: 4, w: 5, in: 7, out: out, g: conv.Same(3), bias: true}.check(t, e)
		}
	})
}

func TestApplyEpilogue(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		l := layer{n: 3, h: 3, w: 5, in: 6, out: set.GEMM.NR + 1, g: conv.Same(3), pad: 1}
		for _, act := range kernels.Acts() {
			l.act, l.imageBias, l.bias = act, false, true
			l.check(t, e)
			l.imageBias, l.bias = true, false
			l.check(t, e)
		}
		l.act, l.add, l.addDst = kernels.Identity, true, true
		l.check(t, e)
	})
}

func TestApplyUpsample(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		for _, g := range []conv.Geometry{conv.Same(3), conv.Same(1), {KH: 3, KW: 2, Stride: 1, Top: 2, Right: 1}} {
			g.Upsample = true
			for _, to := range [][2]int{{6, 14}, {5, 13}, {7, 15}, {3, 7}, {2, 5}} {
				l := layer{n: 2, h: 3, w: 7, in: 5, out: 6, g: g, toH: to[0], toW: to[1], bias: true}
				l.check(t, e)
				l.scaled, l.centred, l.before = true, true, kernels.SiLU
				l.check(t, e)
			}
		}
	})
}

// A NaN or an infinity in a pixel reaches the outputs that read it, and no other; none comes from
// padding.
func TestApplySpecials(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			l := layer{n: 1, h: 5, w: 6, in: 3, out: 4, g: conv.Same(3)}
			o := l.operands(t)
			o.src.Pixel(0, 1, 4)[2] = float32(v)
			l.run(e, o)
			for y := range 5 {
				for x := range 6 {
					hit := y <= 2 && x >= 3
					for c, got := range o.dst.Pixel(0, y, x) {
						if finite := got-got == 0; finite == hit {
							t.Fatalf("%v: dst(%d,%d)[%d] = %v", v, y, x, c, got)
						}
					}
				}
			}
		}
	})
}

func TestSize(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	for _, g := range geometries {
		p := conv.Pack(e, make([]float32, 2*3*g.KH*g.KW), 2, 3, g)
		for h := range 9 {
			// Count the places where the kernel fits.
			fits := func(size, k, before, after int) (n int) {
				for at := -before; at+k <= size+after; at += g.Stride {
					n++
				}
				return n
			}
			oh, ow := p.Size(h, h+1)
			if h, w := fits(h, g.KH, g.Top, g.Bottom), fits(h+1, g.KW, g.Left, g.Right); oh != h || ow != w {
				t.Errorf("%+v of %d: %d×%d, want %d×%d", g, h, oh, ow, h, w)
			}
		}
	}
}

func TestApplyPanics(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	g := conv.Same(3)
	w := conv.Pack(e, make([]float32, 4*3*9), 4, 3, g)
	src, dst := tensor.Make(2, 5, 6, 3), tensor.Make(2, 5, 6, 4)
	apply := func(dst, src tensor.NHWC, pro gemm.Prologue, ep gemm.Epilogue) func() {
		return func() { conv.Apply(e, dst, src, w, pro, ep) }
	}
	cases := map[string]func(){
		"images":          apply(dst.Images(0, 1), src, gemm.Prologue{}, gemm.Epilogue{}),
		"channels of src": apply(dst, src.Channels(0, 2), gemm.Prologue{}, gemm.Epilogue{}),
		"channels of dst": apply(dst.Channels(0, 3), src, gemm.Prologue{}, gemm.Epilogue{}),
		"size":            apply(tensor.Make(2, 6, 5, 4), src, gemm.Prologue{}, gemm.Epilogue{}),
		"bias":            apply(dst, src, gemm.Prologue{}, gemm.Epilogue{Bias: make([]float32, 3)}),
		"image bias":      apply(dst, src, gemm.Prologue{}, gemm.Epilogue{ImageBias: tensor.MakeMat(7, 4)}),
		"scale":           apply(dst, src, gemm.Prologue{Scale: tensor.MakeMat(2, 4), Shift: tensor.MakeMat(2, 4)}, gemm.Epilogue{}),
		"mean":            apply(dst, src, gemm.Prologue{Mean: tensor.MakeMat(2, 4), Scale: tensor.MakeMat(2, 3), Shift: tensor.MakeMat(2, 3)}, gemm.Epilogue{}),
		"weights":         func() { conv.Pack(e, make([]float32, 5), 4, 3, g) },
		"geometry":        func() { conv.Pack(e, nil, 0, 0, conv.Geometry{}) },
		"upsample":        func() { conv.Pack(e, make([]float32, 4), 1, 1, conv.Geometry{KH: 2, KW: 2, Stride: 1, Upsample: true}) },
	}
	for name, f := range cases {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if _, ok := recover().(string); !ok {
					t.Error("no panic with a message")
				}
			}()
			f()
		})
	}
}

func FuzzApply(f *testing.F) {
	f.Add(uint8(9), uint8(7), uint8(5), uint8(33), uint8(1), uint16(0), uint16(0x0111))
	f.Add(uint8(4), uint8(6), uint8(64), uint8(4), uint8(9), uint16(0x1ff), uint16(0x1010))
	f.Add(uint8(69), uint8(2), uint8(1), uint8(0), uint8(68), uint16(87), uint16(300))
	f.Add(uint8(9), uint8(11), uint8(67), uint8(39), uint8(10), uint16(0x4004), uint16(0x1111))
	f.Add(uint8(11), uint8(11), uint8(40), uint8(20), uint8(10), uint16(0x8104), uint16(0x1111))
	f.Add(uint8(5), uint8(7), uint8(33), uint8(17), uint8(0x40), uint16(0x109c), uint16(0))
	f.Add(uint8(1), uint8(3), uint8(69), uint8(39), uint8(0x40), uint16(0x6131), uint16(0))
	f.Add(uint8(102), uint8(0), uint8(100), uint8(4), uint8(0xb5), uint16(402), uint16(4025)) // no columns, all padding
	f.Fuzz(func(t *testing.T, h, w, in, out, geometry uint8, fused, pads uint16) {
		l := layer{n: 1 + int(fused>>12&1), h: int(h % 12), w: int(w % 12), in: int(in % 70), out: int(out % 40)}
		l.g = conv.Geometry{KH: 1 + int(geometry&3), KW: 1 + int(geometry>>2&3), Stride: 1 + int(geometry>>4&1),
			Top: int(pads & 3), Left: int(pads >> 4 & 3), Bottom: int(pads >> 8 & 3), Right: int(pads >> 12 & 3)}
		if oh, ow := l.truthShape(l.h, l.w).Size(); oh < 0 || ow < 0 || l.h+l.g.Top+l.g.Bottom < l.g.KH || l.w+l.g.Left+l.g.Right < l.g.KW {
			return
		}
		if l.g.Stride == 1 && geometry&0x20 != 0 && l.h*l.w > 0 {
			l.g.Upsample, l.toH, l.toW = true, 1+int(pads>>2&7), 1+int(pads>>6&7)
			l.g.Top, l.g.Left = l.g.Top%l.g.KH, l.g.Left%l.g.KW
			l.g.Bottom, l.g.Right = l.g.KH-1-l.g.Top, l.g.KW-1-l.g.Left
		}
		if geometry&0x40 != 0 && l.in > 0 {
			l.by, l.g, l.toH, l.toW = conv.Phases, conv.Same(3), 2*l.h, 2*l.w
			l.g.Upsample = true
		}
		l.pad = int(fused & 3)
		l.bias, l.scaled, l.add, l.addDst = fused&4 != 0, fused&8 != 0, fused&16 != 0, fused&48 == 48
		l.centred = l.scaled && fused&2 != 0
		l.imageBias = !l.bias && fused&64 != 0
		l.before = []kernels.Act{kernels.Identity, kernels.SiLU}[fused>>7&1]
		l.act = []kernels.Act{kernels.Identity, kernels.SiLU, kernels.GELU, kernels.ReLU}[fused>>8&3]
		l.half = int(fused>>14) % 3
		for _, set := range kernels.Available() {
			l.check(t, kerneltest.Engine(t, set, 1+int(fused>>13&1)))
		}
	})
}
