package gemm_test

import (
	"testing"

	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// layers have several tasks for each of seven workers, ragged edges, and chains of one chunk and
// of several.
func layers(set *kernels.Set) []layer {
	mr, nr, kc := set.GEMM.MR, set.GEMM.NR, set.GEMM.KC
	return []layer{
		{m: 40*mr + 6, k: 33, n: 7*nr + 3, bias: true},
		{m: 6*mr + 2, k: kc + 10, n: 3*nr + 3, pad: 2, images: 2, act: kernels.SiLU, add: true},
		{m: 50, k: 70, n: 9*nr + 1, glu: true, bias: true, act: kernels.GELU, scaled: 2, before: kernels.SiLU},
		{m: 20 * mr, k: kc + 10, n: nr + 3, bias: true, scaled: 2, centred: true, before: kernels.SiLU},
		{m: 2, k: 2*kc + 1, n: 40*nr + 1, bias: true, add: true},
		{m: 600, k: 20, n: 2*nr + 1, images: 2, gates: 2, act: kernels.SiLU, add: true, moments: 2},
	}
}

func TestMulWorkers(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, l := range layers(set) {
			var first []float32
			for _, workers := range []int{1, 2, 7} {
				o := l.operands(t)
				l.run(kerneltest.Engine(t, set, workers), o)
				if first == nil {
					first = o.dst.Data
				}
				kerneltest.Same(t, l.String(), o.dst.Data, first)
				if l.moments > 0 {
					l.checkMoments(t, set, o)
				}
			}
		}
	})
}

// The rows of two images give what each gives alone.
func TestMulBatch(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		for _, l := range layers(set) {
			o := l.operands(t)
			l.run(e, o)
			for image := range 2 {
				one := l.operands(t)
				r0, r1 := image*l.m/2, (image+1)*l.m/2
				one.a, one.dst = one.a.Slice(r0, r1), one.dst.Slice(r0, r1)
				if l.add {
					one.ep.Add = one.ep.Add.Slice(r0, r1)
				}
				if l.images > 0 {
					one.ep.ImageBias = one.ep.ImageBias.Slice(image, image+1)
				}
				if l.gates > 0 {
					one.ep.Gate = one.ep.Gate.Slice(image, image+1)
				}
				if l.moments > 0 {
					one.ep.Moments = tensor.MakeMoments(1, l.m/2, l.n)
				}
				if l.scaled > 0 {
					one.pro.Scale, one.pro.Shift = one.pro.Scale.Slice(image, image+1), one.pro.Shift.Slice(image, image+1)
				}
				if l.centred {
					one.pro.Mean = one.pro.Mean.Slice(image, image+1)
				}
				l.run(e, one)
				kerneltest.Same(t, l.String(), one.dst.Data, o.dst.Slice(r0, r1).Data)
			}
		}
	})
}

// Every Set of assembly gives the same bits.
func TestMulSets(t *testing.T) {
	for _, l := range layers(kernels.Available()[0]) {
		var first []float32
		for _, set := range kernels.Available() {
			if set.ISA == kernels.Generic {
				continue
			}
			o := l.operands(t)
			l.run(kerneltest.Engine(t, set, 2), o)
			if first == nil {
				first = o.dst.Data
			}
			kerneltest.Same(t, set.ISA.String()+"/"+l.String(), o.dst.Data, first)
		}
	}
}

func TestMulDoesNotAllocate(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, workers := range []int{1, 2} {
			e := kerneltest.Engine(t, set, workers)
			for _, l := range layers(set) {
				o := l.operands(t)
				w := gemm.Pack(e, o.w)
				if l.glu {
					w = gemm.PackGLU(e, o.w)
				}
				kerneltest.NoAllocations(t, l.String(), func() { gemm.Mul(e, o.dst, o.a, w, o.pro, o.ep) })
			}
		}
	})
}

// A taps-fold weight is the plain weight of a chain with the taps outermost.
func TestPackTaps(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		const in, taps = 21, 6
		out := set.GEMM.NR + 3
		w := tensor.Mat{Rows: out, Cols: in * taps, Stride: in * taps, Data: kerneltest.Random(1, out*in*taps)}
		ordered := tensor.MakeMat(out, in*taps)
		for o := range out {
			for c := range in {
				for tap := range taps {
					ordered.Row(o)[tap*in+c] = w.Row(o)[c*taps+tap]
				}
			}
		}
		got, want := gemm.PackTaps(e, w, taps), gemm.Pack(e, ordered)
		kerneltest.Same(t, "panels", gemm.Panels(got), gemm.Panels(want))
	})
}
