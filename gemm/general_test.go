package gemm_test

import (
	"math"
	"testing"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// general is one call of General: its shape and how its operands lie in memory.
type general struct {
	m, k, n            int
	aAcross, bAcross   bool // transposed
	padA, padB, padC   int  // values between rows
	alpha, beta        float32
	special            float32 // written into a and b, a few times
	specials, readable bool    // whether; operands do not end at an unreadable page
}

func (g general) String() string {
	return kerneltest.Name("m", g.m, "k", g.k, "n", g.n, "a", g.aAcross, "b", g.bAcross,
		"pads", []int{g.padA, g.padB, g.padC}, "alpha", g.alpha, "beta", g.beta)
}

// factor is a matrix of rows × cols, as it lies in memory where it is across. Its values are a function
// of their row and column.
func (g general) factor(t testing.TB, seed uint64, rows, cols, pad int, across bool) gemm.Operand {
	values := kerneltest.Random(seed, rows*cols)
	if g.specials {
		for i := int(seed) % 7; i < len(values); i += 31 {
			values[i] = g.special
		}
	}
	o := gemm.Operand{Mat: g.matrix(t, rows, cols, pad), Transposed: across}
	if across {
		o.Mat = g.matrix(t, cols, rows, pad)
	}
	for i, v := range values {
		r, c := i/cols, i%cols
		if across {
			r, c = c, r
		}
		o.Data[r*o.Stride+c] = v
	}
	return o
}

// matrix is one whose values were not written.
func (g general) matrix(t testing.TB, rows, cols, pad int) tensor.Mat {
	m := tensor.MakeMat(rows, cols+pad)
	if m.Cols = cols; !g.readable {
		m = kerneltest.Mat(t, 0, rows, cols, cols+pad)
	}
	kerneltest.Fill(m.Data)
	return m
}

// run returns c after the call, and compares a and b with what they were.
func (g general) run(t testing.TB, e *engine.Engine) (c tensor.Mat, before []float32) {
	t.Helper()
	a, b := g.factor(t, 1, g.m, g.k, g.padA, g.aAcross), g.factor(t, 2, g.k, g.n, g.padB, g.bAcross)
	c = g.matrix(t, g.m, g.n, g.padC)
	before = kerneltest.Random(3, g.m*g.n)
	for i, v := range before {
		if g.beta != 0 { // otherwise they stay NaN
			c.Row(i / g.n)[i%g.n] = v
		}
	}
	if g.alpha == 0 {
		kerneltest.Fill(a.Data)
		kerneltest.Fill(b.Data)
	}
	aBefore, bBefore := append([]float32(nil), a.Data...), append([]float32(nil), b.Data...)
	gemm.General(e, c, g.alpha, a, b, g.beta)
	kerneltest.Same(t, g.String()+": a", a.Data, aBefore)
	kerneltest.Same(t, g.String()+": b", b.Data, bBefore)
	kerneltest.UntouchedBetween(t, g.String(), c)
	return c, before
}

// check runs the call and compares with the chain that General promises, bit for bit.
func (g general) check(t testing.TB, e *engine.Engine) {
	t.Helper()
	c, before := g.run(t, e)
	fma := fused
	if e.Set().ISA == kernels.Generic {
		fma = fusedTwice
	}
	plain := g
	plain.padA, plain.padB, plain.readable = 0, 0, true
	a, b := plain.factor(t, 1, g.m, g.k, 0, false).Data, plain.factor(t, 2, g.k, g.n, 0, false).Data
	for i := range b {
		b[i] *= g.alpha
	}
	want := make([]float32, g.m*g.n)
	for i := range want {
		if g.beta != 0 {
			want[i] = g.beta * before[i]
		}
		if g.alpha == 0 {
			continue
		}
		for k, x := range a[i/g.n*g.k:][:g.k] {
			want[i] = fma(x, b[k*g.n+i%g.n], want[i])
		}
	}
	kerneltest.Same(t, e.Set().ISA.String()+"/"+g.String(), kerneltest.Values(c), want)
}

// fusedTwice is a·b + c rounded to float64 and then to float32, as the generic kernels have it.
func fusedTwice(a, b, c float32) float32 { return float32(float64(a)*float64(b) + float64(c)) }

// fused is a·b + c rounded once. The sum in float64 is rounded to odd: where it is inexact, the
// neighbour whose last bit is set is taken, which no later rounding mistakes for a tie.
func fused(a, b, c float32) float32 {
	p, q := float64(a)*float64(b), float64(c)
	s := p + q
	v := s - p
	lost := (p - (s - v)) + (q - v)
	bits := math.Float64bits(s)
	switch {
	case bits&1 != 0 || lost == 0 || lost != lost:
	case (lost > 0) == (s > 0):
		bits++
	default:
		bits--
	}
	return float32(math.Float64frombits(bits))
}

// small is set with blocks so small that little operands are cut in every way.
func small(set *kernels.Set) *kernels.Set {
	s := *set
	s.GEMM.KC, s.GEMM.MC = 24, 2*set.GEMM.MR
	return &s
}

var across = []struct{ a, b bool }{{false, false}, {true, false}, {false, true}, {true, true}}

func TestGeneralShapes(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		mr, nr, lanes := set.GEMM.MR, set.GEMM.NR, set.GEMM.Lanes
		for _, e := range []*engine.Engine{kerneltest.Engine(t, set, 1), kerneltest.Engine(t, small(set), 2)} {
			for _, x := range across {
				for _, m := range []int{0, 1, 2, mr - 1, mr, mr + 1, 5*mr + 2} {
					for _, n := range []int{0, 1, lanes - 1, lanes, lanes + 1, nr, 2*nr + lanes + 3} {
						general{m: m, k: 17, n: n, aAcross: x.a, bAcross: x.b, padA: 3, padC: 1, alpha: 1}.check(t, e)
					}
				}
				for _, k := range []int{0, 1, 2, 31, 32, 33, 49} {
					general{m: mr + 2, k: k, n: nr + 3, aAcross: x.a, bAcross: x.b, padB: 2, alpha: 1, beta: 1}.check(t, e)
				}
			}
		}
	})
}

func TestGeneralFactors(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, small(set), 2)
		for _, x := range across {
			for _, alpha := range []float32{0, 1, -1, 0.7, 1e30} {
				for _, beta := range []float32{0, 1, -1, 1.3} {
					for _, k := range []int{0, 11, 50} {
						for pad := range 2 {
							general{m: 3*set.GEMM.MR + 1, k: k, n: set.GEMM.NR + 2, aAcross: x.a, bAcross: x.b,
								padA: pad, padB: 2 * pad, padC: 3 * pad, alpha: alpha, beta: beta}.check(t, e)
						}
					}
				}
			}
		}
	})
}

// For few rows b is read in place, for many it is laid out.
func TestGeneralInPlace(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 1)
		n := set.GEMM.NR + 5
		for _, m := range []int{4 * set.GEMM.MR, 4*set.GEMM.MR + 1, 128, 140} {
			for _, pad := range []int{0, 512 - n} {
				general{m: m, k: 300, n: n, padB: pad, alpha: 1, beta: 0.5}.check(t, e)
			}
		}
	})
}

// NaN, infinities and zeros of both signs go the way of the chain.
func TestGeneralSpecials(t *testing.T) {
	inf := float32(math.Inf(1))
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, small(set), 2)
		for _, v := range []float32{float32(math.NaN()), inf, -inf, float32(math.Copysign(0, -1)), math.MaxFloat32, 1e-45} {
			for _, x := range across {
				for _, alpha := range []float32{1, -3, 0} {
					for _, beta := range []float32{0, 1} {
						general{m: set.GEMM.MR + 2, k: 30, n: set.GEMM.NR + 2, aAcross: x.a, bAcross: x.b,
							alpha: alpha, beta: beta, special: v, specials: true}.check(t, e)
					}
				}
			}
		}
	})
}

// large are products that every worker has several tasks of.
func large(set *kernels.Set) []general {
	shapes := []general{
		{m: 20*set.GEMM.MR + 1, k: set.GEMM.KC + 9, n: 5*set.GEMM.NR + 3, alpha: 0.3, beta: 2},
		{m: 9, k: 300, n: 21*set.GEMM.NR + 1, alpha: 1},
		{m: 900, k: 200, n: 3, alpha: 1, beta: -1},
	}
	if set.ISA == kernels.Generic {
		shapes[0].k = 90
	}
	return shapes
}

// No number of workers and no way of lying in memory changes a bit.
func TestGeneralWorkers(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, g := range large(set) {
			var first []float32
			for i, workers := range []int{1, 2, 7} {
				e := kerneltest.Engine(t, set, workers)
				for _, x := range across {
					g := g
					g.aAcross, g.bAcross, g.padA, g.padB = x.a, x.b, 3*i, 5*i
					c, _ := g.run(t, e)
					if first == nil {
						first = kerneltest.Values(c)
					}
					kerneltest.Same(t, kerneltest.Name("workers", workers)+"/"+g.String(), kerneltest.Values(c), first)
				}
			}
		}
	})
}

// Every Set of assembly gives the same bits, whatever its blocks.
func TestGeneralSets(t *testing.T) {
	for _, g := range large(kernels.Available()[0]) {
		var first []float32
		for _, set := range kernels.Available() {
			if set.ISA == kernels.Generic {
				continue
			}
			for _, set := range []*kernels.Set{set, small(set)} {
				c, _ := g.run(t, kerneltest.Engine(t, set, 2))
				if first == nil {
					first = kerneltest.Values(c)
				}
				kerneltest.Same(t, set.ISA.String()+"/"+g.String(), kerneltest.Values(c), first)
			}
		}
	}
}

// A product of plain operands is the linear layer of the same weights, whose chain is the same.
func TestGeneralIsMul(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		g := general{m: 33, k: 70, n: set.GEMM.NR + 9, bAcross: true, alpha: 1}
		c, _ := g.run(t, e)
		a, b := g.factor(t, 1, g.m, g.k, 0, false), g.factor(t, 2, g.k, g.n, 0, true)
		want := tensor.MakeMat(g.m, g.n)
		gemm.Mul(e, want, a.Mat, gemm.Pack(e, b.Mat), gemm.Prologue{}, gemm.Epilogue{})
		kerneltest.Same(t, "product", kerneltest.Values(c), want.Data)
	})
}

func TestGeneralDoesNotAllocate(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, workers := range []int{1, 2} {
			e := kerneltest.Engine(t, set, workers)
			for _, g := range large(set) {
				for _, x := range []int{0, 3} {
					x := across[x]
					a, b := g.factor(t, 1, g.m, g.k, 0, x.a), g.factor(t, 2, g.k, g.n, 0, x.b)
					c := tensor.MakeMat(g.m, g.n)
					kerneltest.NoAllocations(t, g.String(), func() { gemm.General(e, c, g.alpha, a, b, g.beta) })
				}
			}
		}
	})
}

func TestGeneralPanics(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	plain := func(rows, cols int) gemm.Operand { return gemm.Operand{Mat: tensor.MakeMat(rows, cols)} }
	transposed := func(rows, cols int) gemm.Operand {
		return gemm.Operand{Mat: tensor.MakeMat(rows, cols), Transposed: true}
	}
	short := func(rows, cols int) tensor.Mat {
		return tensor.Mat{Rows: rows, Cols: cols, Stride: cols, Data: make([]float32, rows*cols-1)}
	}
	for name, f := range map[string]func(){
		"rows of a":           func() { gemm.General(e, tensor.MakeMat(2, 3), 1, plain(3, 4), plain(4, 3), 0) },
		"columns of a":        func() { gemm.General(e, tensor.MakeMat(2, 3), 1, plain(2, 5), plain(4, 3), 0) },
		"columns of b":        func() { gemm.General(e, tensor.MakeMat(2, 3), 1, plain(2, 4), plain(4, 2), 0) },
		"a transposed":        func() { gemm.General(e, tensor.MakeMat(2, 3), 1, transposed(2, 4), plain(4, 3), 0) },
		"b transposed":        func() { gemm.General(e, tensor.MakeMat(2, 3), 1, plain(2, 4), transposed(4, 3), 0) },
		"shapes with alpha 0": func() { gemm.General(e, tensor.MakeMat(2, 3), 0, plain(3, 4), plain(4, 3), 0) },
		"short a":             func() { gemm.General(e, tensor.MakeMat(2, 3), 1, gemm.Operand{Mat: short(2, 4)}, plain(4, 3), 0) },
		"short b":             func() { gemm.General(e, tensor.MakeMat(2, 3), 1, plain(2, 4), gemm.Operand{Mat: short(4, 3)}, 0) },
		"short c":             func() { gemm.General(e, short(2, 3), 1, plain(2, 4), plain(4, 3), 0) },
		"stride under columns": func() {
			gemm.General(e, tensor.Mat{Rows: 2, Cols: 3, Stride: 2, Data: make([]float32, 9)}, 1, plain(2, 4), plain(4, 3), 0)
		},
	} {
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

func FuzzGeneral(f *testing.F) {
	f.Add(uint8(13), uint16(20), uint8(33), uint8(1), uint8(0), uint8(5), uint16(0), float32(1), float32(0), float32(0))
	f.Add(uint8(40), uint16(300), uint8(130), uint8(0), uint8(9), uint8(0), uint16(7), float32(0.5), float32(-1), float32(math.Inf(1)))
	f.Add(uint8(1), uint16(1), uint8(200), uint8(0), uint8(0), uint8(0), uint16(0x12), float32(1), float32(1), float32(1e-45))
	f.Add(uint8(60), uint16(64), uint8(3), uint8(2), uint8(0), uint8(0), uint16(0x19), float32(-2), float32(math.NaN()), float32(math.NaN()))
	f.Fuzz(func(t *testing.T, m uint8, k uint16, n, padA, padB, padC uint8, bits uint16, alpha, beta, special float32) {
		g := general{m: int(m % 100), k: int(k % 400), n: int(n), padA: int(padA % 20), padB: int(padB % 20), padC: int(padC % 20),
			alpha: alpha, beta: beta, special: special}
		g.aAcross, g.bAcross, g.specials = bits&1 != 0, bits&2 != 0, bits&4 != 0
		for _, set := range kernels.Available() {
			if bits&8 != 0 {
				set = small(set)
			}
			g.check(t, kerneltest.Engine(t, set, 1+int(bits>>4&1)))
		}
	})
}
