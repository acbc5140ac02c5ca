package conv_test

import (
	"math"
	"sync"
	"testing"

	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// byWinograd returns l by every Winograd algorithm that fits it, with stored weights and with made ones.
func byWinograd(l layer) (all []layer) {
	for _, l.by = range []conv.Algorithm{conv.Winograd2, conv.Winograd4, conv.Winograd6, conv.PhasesWinograd} {
		g := l.g
		if l.by == conv.PhasesWinograd && !(g.Upsample && g.Top == 1 && g.Left == 1 && l.toH == 2*l.h && l.toW == 2*l.w) {
			continue
		}
		for _, l.stored = range []bool{true, false} {
			all = append(all, l)
		}
	}
	return all
}

// checkWinograd compares every layer by every Winograd algorithm that fits it with its truth, which is computed once
// for all Sets.
func checkWinograd(t *testing.T, layers []layer) {
	t.Helper()
	var all []layer
	var truths [][]kerneltest.Approx
	for _, l := range layers {
		for _, l := range byWinograd(l) {
			all, truths = append(all, l), append(truths, l.truth(l.operands(t)))
		}
	}
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		for i, l := range all {
			l.compare(t, e, truths[i])
		}
	})
}

// Images of all sizes about those of tiles, with all paddings.
func TestWinogradSizes(t *testing.T) {
	var all []layer
	for i := range 81 {
		h, w, zeros := 1+i/9, 1+i%9, i*25%81 // 25 has no divisor in common with 81, so that all come
		l := layer{n: 1 + i%3, h: h, w: w, in: 3, out: 5, bias: i%2 == 0, pad: i % 3}
		l.g = conv.Geometry{KH: 3, KW: 3, Stride: 1, Top: zeros % 3, Left: zeros / 3 % 3, Bottom: zeros / 9 % 3, Right: zeros / 27}
		if oh, ow := l.size(); oh >= 0 && ow >= 0 {
			all = append(all, l)
		}
	}
	for _, size := range [][2]int{{0, 3}, {3, 0}, {0, 0}} {
		l := layer{n: 2, h: size[0], w: size[1], in: 3, out: 5, bias: true}
		l.g = conv.Geometry{KH: 3, KW: 3, Stride: 1, Top: 2, Left: 2, Bottom: 2, Right: 2}
		all = append(all, l)
	}
	all = append(all,
		layer{n: 0, h: 4, w: 4, in: 3, out: 5, g: conv.Same(3)},
		layer{n: 1, h: 4, w: 4, in: 3, out: 0, g: conv.Same(3)},
		layer{n: 1, h: 13, w: 23, in: 7, out: 6, g: conv.Same(3), bias: true})
	checkWinograd(t, all)
}

// Channels about vectors, tiles and pieces, and primes.
func TestWinogradChannels(t *testing.T) {
	var all []layer
	outs := []int{130, 128, 65, 64, 63, 1, 2, 17, 16, 15, 5, 3}
	for i, in := range []int{1, 2, 3, 15, 16, 17, 53, 127, 128, 129, 257, 300} {
		l := layer{n: 1, h: 3, w: 5, in: in, out: outs[i], g: conv.Same(3), bias: true}
		all = append(all, l)
		if in > 127 { // where prologues and enlargements have one piece or several
			l.scaled, l.centred, l.before, l.pad = true, true, kernels.SiLU, 3
			all = append(all, l.enlarged(6, 10))
		}
	}
	checkWinograd(t, all)
}

func TestWinogradUpsample(t *testing.T) {
	var all []layer
	for i, to := range [][2]int{{6, 14}, {5, 13}, {7, 15}, {3, 7}, {2, 5}} {
		for _, top := range []int{0, 1, 2} {
			left := (top + i) % 3
			l := layer{n: 2, h: 3, w: 7, in: 5, out: 6, pad: i, bias: true}
			l.g = conv.Geometry{KH: 3, KW: 3, Stride: 1, Top: top, Left: left, Bottom: 2 - top, Right: 2 - left}
			all = append(all, l.enlarged(to[0], to[1]))
			l.scaled, l.before = true, kernels.SiLU
			all = append(all, l.enlarged(to[0], to[1]))
		}
	}
	for i := range 36 { // the phases' tiles are 5 × 5
		l := layer{n: 1 + i%3, h: 1 + i/6, w: 1 + i%6, in: 3, out: 5, g: conv.Same(3), bias: true, scaled: i%2 == 0, centred: i%4 == 0}
		l.before = []kernels.Act{kernels.Identity, kernels.SiLU}[i%2]
		all = append(all, l.enlarged(2*l.h, 2*l.w))
	}
	all = append(all, layer{n: 1, h: 11, w: 12, in: 3, out: 5, g: conv.Same(3), add: true}.enlarged(22, 24))
	checkWinograd(t, all)
}

// Zeros around the image are zeros after the prologue: a shift does not reach them.
func TestWinogradPrologue(t *testing.T) {
	var all []layer
	for i := range 8 {
		l := layer{n: 3, h: 7, w: 9, in: 6 + i, out: 5, pad: i % 3, bias: true}
		l.g = conv.Geometry{KH: 3, KW: 3, Stride: 1, Top: 2, Left: 1, Bottom: 1, Right: 2}
		l.scaled, l.centred = i&1 != 0, i&3 == 3
		if l.before = kernels.SiLU; i&4 != 0 {
			l.before = kernels.Identity
		}
		all = append(all, l)
	}
	checkWinograd(t, all)
}

// Every activation with and without each other part of the epilogue; its images are those of dst, or several of
// these are one.
func TestWinogradEpilogue(t *testing.T) {
	var all []layer
	for i, act := range kernels.Acts() {
		for v := range 3 {
			i := 3*i + v
			l := layer{n: 4, h: 3, w: 4, in: 2, out: 67, g: conv.Same(3), act: act, pad: i % 3}
			l.bias, l.imageBias = v == 0, v == 1
			l.gate, l.add, l.addDst = i%2 == 0, i%4 > 0, i%4 == 3
			l.images = i / 2 % 3 // 0: as dst has
			if i%5 == 1 {
				l.n = 2
				l = l.enlarged(6, 8)
			}
			all = append(all, l)
		}
	}
	checkWinograd(t, all)
}

// Images of an epilogue that are no whole images of dst are computed directly, whatever the plan.
func TestWinogradPartialImages(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		for _, images := range []int{2, 6, 12} {
			l := layer{n: 3, h: 4, w: 6, in: 5, out: 9, g: conv.Same(3), imageBias: true, gate: true, images: images}
			if images == 6 {
				l = l.enlarged(8, 12)
			}
			l.check(t, e)
			want := l.operands(t)
			l.run(e, want)
			for _, l := range byWinograd(l) {
				o := l.operands(t)
				l.run(e, o)
				kerneltest.Same(t, l.String(), o.dst.Data, want.dst.Data)
			}
		}
	})
}

// Moments are those that a pass over dst finds, to the bit.
func TestWinogradMoments(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		l := layer{n: 2, h: 19, w: 15, in: 5, out: 21, pad: 3, g: conv.Same(3), imageBias: true, add: true} // 285 pixels: two blocks
		for _, l := range append(byWinograd(l), byWinograd(l.enlarged(38, 30))...) {
			for _, l.act = range []kernels.Act{kernels.Identity, kernels.SiLU} {
				plain, o := l.operands(t), l.operands(t)
				pixels := o.dst.H * o.dst.W
				o.ep.Moments = tensor.MakeMoments(l.n, pixels, l.out)
				kerneltest.Fill(o.ep.Moments.Data)
				l.run(e, o)
				l.run(e, plain)
				kerneltest.Same(t, l.String(), kerneltest.Values(o.dst.Tokens()), kerneltest.Values(plain.dst.Tokens()))
				want := tensor.MakeMoments(l.n, pixels, l.out)
				for n := range l.n {
					image := o.dst.Images(n, n+1).Tokens()
					for block := range want.Blocks() {
						rows := image.Slice(block*tensor.MomentPixels, min((block+1)*tensor.MomentPixels, pixels))
						ref, sum, square := want.Block(n, block)
						copy(ref, rows.Row(0))
						set.Moments(&kernels.MomentsArgs{
							Rows: rows.Rows, Cols: rows.Cols, Src: rows.Data, Stride: rows.Stride, Ref: ref, Sum: sum, Square: square,
						})
					}
				}
				kerneltest.Same(t, "moments/"+l.String(), o.ep.Moments.Data, want.Data)
			}
		}
	})
}

// A NaN or an infinity in a pixel reaches all outputs of the tiles that see it, also those that do not
// read it, but where its coefficient is 0: the first of a tile's pixels along an axis takes part in the first
// output alone, and the last in the last one. No other output has a bit changed.
func TestWinogradSpecials(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		l := layer{n: 2, h: 9, w: 11, in: 3, out: 4, g: conv.Same(3)}
		for _, l := range append(byWinograd(l), byWinograd(l.enlarged(18, 22))...) {
			checkSpecials(t, e, l)
		}
	})
}

// takesPart says whether output i along an axis has a term of the pixel that the taps see at place at.
func (l layer) takesPart(i, at int) bool {
	if l.by == conv.PhasesWinograd { // of which phase, and one later where its tiles start one earlier
		i = i/2 + i%2
	}
	x := kinds[l.by].Transform()
	m := x.Outputs
	switch k := at - i/m*m + 1; {
	case k < 0 || k >= x.Points:
		return false
	case k == 0:
		return i%m == 0
	case k == x.Points-1:
		return i%m == m-1
	}
	return true
}

// checkSpecials spoils one pixel of the second image after the other.
func checkSpecials(t *testing.T, e *engine.Engine, l layer) {
	t.Helper()
	name, whole, o := l.String(), l.operands(t), l.operands(t)
	w := l.pack(e, whole)
	conv.Apply(e, whole.dst, whole.src, w, whole.pro, whole.ep)
	times := 1 // as many pixels along an axis do the taps see of one
	if l.g.Upsample && l.by != conv.PhasesWinograd {
		times = 2
	}
	specials := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}
	for i := range l.h * l.w {
		py, px := i/l.w, i%l.w
		at := &o.src.Pixel(1, py, px)[i%l.in]
		was := *at
		*at = specials[i%len(specials)]
		conv.Apply(e, o.dst, o.src, w, o.pro, o.ep)
		*at = was
		kerneltest.Same(t, name, o.dst.Images(0, 1).Data, whole.dst.Images(0, 1).Data)
		for y := range o.dst.H {
			for x := range o.dst.W {
				reached := false
				for s := range times * times {
					reached = reached || l.takesPart(y, times*py+s/times) && l.takesPart(x, times*px+s%times)
				}
				got := o.dst.Pixel(1, y, x)
				if !reached {
					kerneltest.Same(t, name, got, whole.dst.Pixel(1, y, x))
					continue
				}
				for c, v := range got {
					if v-v == 0 {
						t.Fatalf("%v: src(%d,%d) is special, dst(%d,%d)[%d] = %v", name, py, px, y, x, c, v)
					}
				}
			}
		}
	}
}

// Two callers of the same weights, with images of their own sizes, do not disturb each other.
func TestWinogradConcurrent(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		const in, out, rounds = 17, 33, 6
		up := layer{h: 1, w: 1, g: conv.Same(3)}.enlarged(2, 2)
		weights := conv.Pack(kerneltest.Engine(t, set, 2), kerneltest.Random(1, out*in*9), out, in, up.g)
		sizes := [][2]int{{5, 6}, {9, 4}, {12, 13}}
		run := func(e *engine.Engine, size [2]int, plan conv.Plan) []float32 {
			src, dst := tensor.Make(1, size[0], size[1], in), tensor.Make(1, 2*size[0], 2*size[1], out)
			copy(src.Data, kerneltest.Random(2, len(src.Data)))
			conv.Apply(e, dst, src, weights.With(e, plan), gemm.Prologue{}, gemm.Epilogue{Act: kernels.SiLU})
			return dst.Data
		}
		type call struct {
			size [2]int
			plan conv.Plan
		}
		want, alone := make(map[call][]float32), kerneltest.Engine(t, set, 1)
		for _, size := range sizes {
			for _, l := range byWinograd(up) {
				want[call{size, l.plan()}] = run(alone, size, l.plan())
			}
		}
		var callers sync.WaitGroup
		for caller := range 2 {
			e := kerneltest.Engine(t, set, 1+caller)
			callers.Go(func() {
				for i := range rounds {
					for _, l := range byWinograd(up) {
						c := call{sizes[(i+caller)%len(sizes)], l.plan()}
						got := run(e, c.size, c.plan)
						for k, v := range want[c] {
							if math.Float32bits(got[k]) != math.Float32bits(v) {
								t.Errorf("caller %d, %v: element %d is %v, alone %v", caller, c, k, got[k], v)
								return
							}
						}
					}
				}
			})
		}
		callers.Wait()
	})
}
