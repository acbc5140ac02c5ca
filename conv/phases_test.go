package conv_test

import (
	"math"
	"testing"

	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// enlarging is a 3 × 3 convolution of an image of h × w pixels that is enlarged to twice its size, by
// phases. The bound of its error is that of 9·in products, which covers the 4·in of a phase and the
// rounding of their weights.
func enlarging(n, h, w, in, out int) layer {
	g := conv.Same(3)
	g.Upsample = true
	return layer{n: n, h: h, w: w, in: in, out: out, g: g, toH: 2 * h, toW: 2 * w, by: conv.Phases}
}

func TestPhases(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		nr, kc := set.GEMM.NR, set.GEMM.KC
		for _, size := range [][2]int{{1, 1}, {1, 5}, {4, 1}, {2, 2}, {3, 7}, {8, 6}, {0, 3}} {
			for _, out := range []int{1, nr, nr + 3} {
				l := enlarging(2, size[0], size[1], 5, out)
				l.bias, l.pad = true, 3
				l.check(t, e)
			}
		}
		for _, in := range []int{1, 2, kc/4 + 1, kc + 3} {
			l := enlarging(1, 3, 4, in, 5)
			l.bias = true
			l.check(t, e)
			l.scaled, l.centred, l.before = true, true, kernels.SiLU
			l.check(t, e)
		}
		enlarging(0, 3, 4, 5, 6).check(t, e)
		enlarging(1, 3, 4, 5, 0).check(t, e)
	})
}

func TestPhasesEpilogue(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		l := enlarging(3, 3, 5, 6, set.GEMM.NR+1)
		l.pad = 1
		for _, act := range kernels.Acts() {
			l.act, l.imageBias, l.bias, l.add = act, false, true, false
			l.check(t, e)
			l.imageBias, l.bias, l.add = true, false, true
			l.check(t, e)
		}
		l.act, l.addDst = kernels.Identity, true
		l.check(t, e)
	})
}

// A gate for each image scales what is activated, and moments are those of what was written.
func TestPhasesGateAndMoments(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		l := enlarging(2, 9, 11, 7, 5)
		plain, gated := l.operands(t), l.operands(t)
		l.run(e, plain)
		gate := kerneltest.Mat(t, 11, l.n, l.out, l.out+1)
		moments := tensor.MakeMoments(l.n, l.toH*l.toW, l.out)
		gated.ep.Gate, gated.ep.Moments = gate, moments
		l.run(e, gated)
		for i, v := range kerneltest.Values(plain.dst.Tokens()) {
			image, c := i/(l.toH*l.toW*l.out), i%l.out
			if got, want := kerneltest.Values(gated.dst.Tokens())[i], v*gate.Row(image)[c]; got != want {
				t.Fatalf("element %d: %v, want %v·%v", i, got, v, gate.Row(image)[c])
			}
		}
		for image := range l.n {
			pixels := gated.dst.Images(image, image+1).Tokens()
			for block := range moments.Blocks() {
				ref, sum, _ := moments.Block(image, block)
				first := block * tensor.MomentPixels
				end := min(first+tensor.MomentPixels, pixels.Rows)
				for c := range l.out {
					want, abs := 0.0, 0.0
					for r := first; r < end; r++ {
						d := float64(pixels.Row(r)[c]) - float64(ref[c])
						want, abs = want+d, abs+math.Abs(d)
					}
					bound := float64(end-first) * kerneltest.Half * abs
					if math.Abs(want-float64(sum[c])) > bound || ref[c] != pixels.Row(first)[c] {
						t.Fatalf("image %d, block %d, channel %d: sum %v, want %v", image, block, c, sum[c], want)
					}
				}
			}
		}
	})
}

// The weights of the phases take 16 taps of float32, and those that Pack laid out serve others as well.
func TestPhasesBytes(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	l := enlarging(1, 3, 3, 6, e.Set().GEMM.NR)
	o := l.operands(t)
	if got, want := l.pack(e, o).Bytes(), 4*16*l.in*l.out; got != want {
		t.Errorf("%d bytes, want %d", got, want)
	}
	defer func() {
		if _, ok := recover().(string); !ok {
			t.Error("no panic with a message where dst is not twice as large")
		}
	}()
	conv.Apply(e, tensor.Make(1, 5, 6, l.out), o.src, l.pack(e, o), o.pro, o.ep)
}
