package gemm_test

import (
	"math"
	"slices"
	"testing"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

var halfTypes = []kernels.HalfType{kernels.BFloat16, kernels.Float16}

// pack lays out the layer's weights.
func (l layer) pack(e *engine.Engine, w tensor.Mat) *gemm.Packed {
	if l.glu {
		return gemm.PackGLU(e, w)
	}
	return gemm.Pack(e, w)
}

// Weights of a half-width format take half the memory, and no product tells.
func TestMulHalf(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		mr, nr, kc := set.GEMM.MR, set.GEMM.NR, set.GEMM.KC
		all := append(layers(set),
			layer{m: 1, k: kc + 7, n: 2*nr + 1, bias: true, act: kernels.SiLU},
			layer{m: 2*mr + 1, k: 300, n: nr - 1, glu: true, bias: true, add: true},
			layer{m: 80, k: 129, n: nr + 1, pad: 3, images: 2, before: kernels.SiLU},
			layer{m: 81, k: 129, n: nr + 1, scaled: 3, addDst: true, add: true},
			layer{m: 2, k: 0, n: 3, bias: true},
		)
		wide := kerneltest.EngineOf(t, engine.Options{Set: set, Workers: 1, Storage: engine.Float32})
		for _, l := range all {
			for _, ty := range halfTypes {
				l.half = 1 + int(ty)
				want := l.operands(t)
				w := l.pack(wide, want.w)
				gemm.Mul(wide, want.dst, want.a, w, want.pro, want.ep)
				for _, workers := range []int{1, 7} {
					o, e := l.operands(t), kerneltest.Engine(t, set, workers)
					half := l.pack(e, o.w)
					if 2*half.Bytes() != w.Bytes() {
						t.Fatalf("%v: %d bytes, %d of float32", l, half.Bytes(), w.Bytes())
					}
					gemm.Mul(e, o.dst, o.a, half, o.pro, o.ep)
					kerneltest.Same(t, l.String(), o.dst.Data, want.dst.Data)
				}
			}
		}
	})
}

func TestMulHalfDoesNotAllocate(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, workers := range []int{1, 2} {
			e := kerneltest.Engine(t, set, workers)
			for _, l := range layers(set) {
				l.half = 1 + int(kernels.BFloat16)
				o := l.operands(t)
				w := l.pack(e, o.w)
				kerneltest.NoAllocations(t, l.String(), func() { gemm.Mul(e, o.dst, o.a, w, o.pro, o.ep) })
			}
		}
	})
}

// A matrix is kept half as wide only where that loses nothing of any value.
func TestPackIsLossless(t *testing.T) {
	const brain, half = 0x1p40, 1 + 0x1p-10 // each in one of the formats alone
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		const n, k = 9, 40
		for _, c := range []struct {
			name   string
			values []float32
			bytes  int // for each value
		}{
			{"zeros", []float32{0, float32(math.Copysign(0, -1))}, 2},
			{"bfloat16", []float32{brain, -3, nan, -inf, 0x1p-133}, 2},
			{"float16", []float32{half, -3, inf, 65504, 0x1p-24, -1023 * 0x1p-24}, 2},
			{"of both", []float32{half, brain}, 4},
			{"float16 and NaN", []float32{half, nan}, 4},
			{"too large", []float32{half, 65536}, 4},
			{"too small", []float32{half, 0x1p-25}, 4},
			{"between", []float32{half, 1 + 0x1p-11}, 4},
			{"between subnormals", []float32{half, 3 * 0x1p-25}, 4},
		} {
			w := tensor.MakeMat(n, k)
			for i, v := range c.values { // the last one at the last place
				w.Data[(i+1)*n*k/len(c.values)-1] = v
			}
			width := set.GEMM.Width(n % set.GEMM.NR)
			p := gemm.Pack(e, w)
			if want := c.bytes * k * (n/set.GEMM.NR*set.GEMM.NR + width); p.Bytes() != want {
				t.Errorf("%s: %d bytes, want %d", c.name, p.Bytes(), want)
			}
			// Row i of the identity picks column i of the weights.
			identity, got := tensor.MakeMat(k, k), tensor.MakeMat(k, n)
			for i := range k {
				identity.Row(i)[i] = 1
			}
			if slices.ContainsFunc(c.values, func(v float32) bool { return v-v != 0 }) {
				continue // 0·∞ is NaN
			}
			gemm.Mul(e, got, identity, p, gemm.Prologue{}, gemm.Epilogue{})
			for r := range n {
				for i := range k {
					if got.Row(i)[r] != w.Row(r)[i] {
						t.Fatalf("%s: weight %d, %d is %g, want %g", c.name, r, i, got.Row(i)[r], w.Row(r)[i])
					}
				}
			}
		}
	})
}
