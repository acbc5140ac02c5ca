package conv_test

import (
	"testing"

	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

// layers have several tasks for each of seven workers, ragged edges, images that share tiles, and
// chains of one chunk and of several.
func layers(set *kernels.Set) []layer {
	nr, kc := set.GEMM.NR, set.GEMM.KC
	up := conv.Same(3)
	up.Upsample = true
	all := []layer{
		{n: 2, h: 17, w: 19, in: 11, out: 3*nr + 5, g: conv.Same(3), bias: true},
		{n: 2, h: 9, w: 11, in: kc/9 + 3, out: nr + 5, g: geometries[3], imageBias: true, scaled: true, centred: true, before: kernels.SiLU, add: true},
		{n: 2, h: 8, w: 9, in: 14, out: nr + 1, g: conv.Same(3), scaled: true, before: kernels.SiLU},
		{n: 2, h: 5, w: 6, in: 13, out: 2*nr + 1, g: up, toH: 11, toW: 12, act: kernels.SiLU, bias: true},
		{n: 2, h: 3, w: 3, in: kc + 5, out: 5, g: conv.Same(3), add: true},
		{n: 2, h: 17, w: 19, in: 40, out: 4, g: conv.Same(3), bias: true},
		{n: 2, h: 9, w: 23, in: kc + 5, out: 3, g: conv.Same(3), imageBias: true, scaled: true, centred: true, before: kernels.SiLU, act: kernels.SiLU, add: true},
		{n: 2, h: 13, w: 9, in: 17, out: 3*nr + 5, g: up, toH: 26, toW: 18, by: conv.Phases, bias: true, add: true},
		{n: 2, h: 5, w: 7, in: kc/4 + 3, out: nr + 5, g: up, toH: 10, toW: 14, by: conv.Phases, imageBias: true, scaled: true, centred: true, before: kernels.SiLU, act: kernels.SiLU},
	}
	// By Winograd algorithms, with channels in one piece and in several, which are made in parts.
	for _, l := range []layer{
		{n: 3, h: 9, w: 7, in: 17, out: 2*nr + 5, g: conv.Same(3), bias: true, act: kernels.SiLU},
		{n: 3, h: 5, w: 5, in: 131, out: nr + 5, g: conv.Same(3), imageBias: true, gate: true, scaled: true, centred: true, before: kernels.SiLU, add: true},
		{n: 3, h: 3, w: 4, in: 131, out: nr + 5, g: up, toH: 6, toW: 8, scaled: true, before: kernels.SiLU, imageBias: true, gate: true, act: kernels.SiLU},
		{n: 2, h: 1, w: 6, in: 300, out: 5, g: up, toH: 2, toW: 12, add: true},
	} {
		all = append(all, byWinograd(l)...)
	}
	return all
}

func TestApplyWorkers(t *testing.T) {
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
			}
		}
	})
}

// Several images give what each gives alone.
func TestApplyBatch(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		for _, l := range layers(set) {
			o := l.operands(t)
			l.run(e, o)
			for n := range l.n {
				one := l.operands(t)
				one.src, one.dst = one.src.Images(n, n+1), one.dst.Images(n, n+1)
				rows := one.dst.H * one.dst.W
				if l.add {
					one.ep.Add = one.ep.Add.Slice(n*rows, (n+1)*rows)
				}
				if l.gate {
					one.ep.Gate = one.ep.Gate.Slice(n, n+1)
				}
				if l.imageBias {
					one.ep.ImageBias = one.ep.ImageBias.Slice(n, n+1)
				}
				if l.scaled {
					one.pro.Scale, one.pro.Shift = one.pro.Scale.Slice(n, n+1), one.pro.Shift.Slice(n, n+1)
				}
				if l.centred {
					one.pro.Mean = one.pro.Mean.Slice(n, n+1)
				}
				l.run(e, one)
				kerneltest.Same(t, l.String(), one.dst.Data, o.dst.Images(n, n+1).Data)
			}
		}
	})
}

// Every Set of assembly gives the same bits.
func TestApplySets(t *testing.T) {
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

func TestApplyDoesNotAllocate(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		counts := []int{1, 2}
		if set.ISA == kernels.Generic || testing.Short() {
			counts = counts[1:] // it is slow, and what allocates is the same
		}
		for _, workers := range counts {
			e := kerneltest.Engine(t, set, workers)
			for _, l := range layers(set) {
				o := l.operands(t)
				w := l.pack(e, o)
				kerneltest.NoAllocations(t, l.String(), func() { conv.Apply(e, o.dst, o.src, w, o.pro, o.ep) })
			}
		}
	})
}

// Weights of a half-width format take half the memory, and no image tells.
func TestApplyHalf(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		wide := kerneltest.EngineOf(t, engine.Options{Set: set, Workers: 1, Storage: engine.Float32})
		counts := []int{1, 7}
		if testing.Short() {
			counts = counts[1:]
		}
		for i, l := range append(layers(set), layer{n: 1, h: 12, w: 13, in: 70, out: 9, g: conv.Same(1), bias: true}) {
			for _, ty := range []kernels.HalfType{kernels.BFloat16, kernels.Float16} {
				if testing.Short() && i%2 != int(ty) {
					continue // the other format has the next layer
				}
				l.half = 1 + int(ty)
				want := l.operands(t)
				w := l.pack(wide, want)
				conv.Apply(wide, want.dst, want.src, w, want.pro, want.ep)
				for _, workers := range counts {
					o, e := l.operands(t), kerneltest.Engine(t, set, workers)
					half := l.pack(e, o)
					if l.by == conv.Auto && 2*half.Bytes() != w.Bytes() {
						t.Fatalf("%v: %d bytes, %d of float32", l, half.Bytes(), w.Bytes())
					}
					conv.Apply(e, o.dst, o.src, half, o.pro, o.ep)
					kerneltest.Same(t, l.String(), o.dst.Data, want.dst.Data)
				}
			}
		}
	})
}
