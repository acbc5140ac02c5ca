package x86

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/lanewise/lanewise/gen/layout"
)

// attention emits the kernels that a block of keys passes through.
func attention(e *emitter) {
	score(e)
	softmax(e)
	weigh(e)
}

// softmax emits Softmax: for two vectors of queries at a time, and one that is left, a pass over
// the keys for the maximum, and one for exponentials and their sum.
//
// Register plan: the maxima and the sums of the queries, then exp2's arguments, exponents and results
// for two keys; AVX-512 has room for its constants.
func softmax(e *emitter) {
	e.function("Softmax", layout.Softmax, "Softmax is kernels.Set.Softmax; args points to a kernels.SoftmaxArgs.")
	const most = 2 // vectors
	r := softmaxRegs
	e.get("Keys", r.keys)
	e.get("S", r.s)
	e.get("Max", r.max)
	e.get("Sum", r.total)
	e.get("Alpha", r.alpha)
	e.get("Lanes", r.lanes)
	e.stride("Lanes", r.stride)
	e.LEAQ(Mem{Base: r.stride, Index: r.stride, Scale: 2}, r.three)
	exp2 := e.exp2(e.Regs[8*most:]...)
	e.SUBQ(U8(most*e.Lanes), r.lanes)
	e.JL(LabelRef("rest"))
	e.Label("vectors")
	e.softmaxVectors(most, exp2)
	for _, p := range []reg.Register{r.s, r.max, r.total, r.alpha} {
		e.ADDQ(I32(most*e.Bytes()), p)
	}
	e.SUBQ(U8(most*e.Lanes), r.lanes)
	e.JGE(LabelRef("vectors"))
	e.Label("rest")
	e.ADDQ(U8(most*e.Lanes), r.lanes)
	e.JZ(LabelRef("done"))
	e.softmaxVectors(1, exp2)
	e.Label("done")
	e.ret()
}

// softmaxRegs are the general registers of Softmax.
var softmaxRegs = struct{ keys, s, k, p, max, total, alpha, lanes, stride, three reg.GPPhysical }{
	reg.RCX, reg.RSI, reg.RDX, reg.RDI, reg.R8, reg.R9, reg.R10, reg.R11, reg.R12, reg.R13,
}

// softmaxVectors takes some vectors of queries through the keys.
func (e *emitter) softmaxVectors(vectors int, exp2 exponential) {
	const together = 2 // keys
	top, sum := e.Regs[:vectors], e.Regs[vectors:2*vectors]
	work := e.Regs[2*vectors : 8*vectors]
	g := softmaxRegs
	name := func(s string) string { return fmt.Sprintf("%s%d", s, vectors) }

	// score is vector j of the i-th key from p.
	score := func(i, j int) Mem {
		m := e.vector(g.p, j)
		switch i {
		case 0:
		case 3:
			m.Index, m.Scale = g.three, 1
		default:
			m.Index, m.Scale = g.stride, uint8(i)
		}
		return m
	}
	// each runs body over the keys, n of them (2 or 4) at a time and then one at a time, p at the
	// first's scores.
	each := func(label string, n int, body func(n int)) {
		e.MOVQ(g.s, g.p)
		e.MOVQ(g.keys, g.k)
		e.SUBQ(U8(n), g.k)
		e.JL(LabelRef(name(label + "Rest")))
		e.align(32)
		e.Label(name(label))
		body(n)
		e.LEAQ(Mem{Base: g.p, Index: g.stride, Scale: uint8(n)}, g.p)
		e.SUBQ(U8(n), g.k)
		e.JGE(LabelRef(name(label)))
		e.Label(name(label + "Rest"))
		e.ADDQ(U8(n), g.k)
		e.JZ(LabelRef(name(label + "Done")))
		e.Label(name(label + "One"))
		body(1)
		e.ADDQ(g.stride, g.p)
		e.DECQ(g.k)
		e.JNZ(LabelRef(name(label + "One")))
		e.Label(name(label + "Done"))
	}
	exponentials := func(n int) (v, m, p []reg.VecPhysical) {
		size := n * vectors
		return work[:size], work[size : 2*size], work[2*size : 3*size]
	}

	// top = max(top, s) in four chains, the keys dealt out to them in turn. The second source, Go's
	// first, comes out where s is NaN.
	const chains = 4
	chain := func(c, j int) reg.VecPhysical {
		if c == 0 {
			return top[j]
		}
		return work[(c-1)*vectors+j]
	}
	for c := range chains {
		for j := range vectors {
			e.VMOVUPS(e.vector(g.max, j), chain(c, j))
		}
	}
	loaded := work[(chains-1)*vectors:][:vectors]
	each("max", chains, func(n int) {
		for c := range n {
			for j := range vectors {
				e.VMOVUPS(score(c, j), loaded[j])
				e.VMAXPS(chain(c, j), loaded[j], chain(c, j))
			}
		}
	})
	for c := 1; c < chains; c++ {
		for j := range vectors {
			e.VMAXPS(chain(c, j), top[j], top[j])
		}
	}

	// Alpha = exp2(Max − top), Sum *= Alpha, Max = top
	v, n, r := exponentials(1)
	for j := range vectors {
		e.VMOVUPS(e.vector(g.max, j), v[j])
		e.VSUBPS(top[j], v[j], v[j])
		e.VMOVUPS(top[j], e.vector(g.max, j))
	}
	exp2.emit(v, n, r)
	for j := range vectors {
		e.VMOVUPS(r[j], e.vector(g.alpha, j))
		e.VMULPS(e.vector(g.total, j), r[j], r[j])
		e.VMOVUPS(r[j], e.vector(g.total, j))
		e.zero(sum[j])
	}

	// s = exp2(s − top), sum += s
	each("exp", together, func(keys int) {
		v, n, r := exponentials(keys)
		for i := range v {
			e.VMOVUPS(score(i/vectors, i%vectors), v[i])
			e.VSUBPS(top[i%vectors], v[i], v[i])
		}
		exp2.emit(v, n, r)
		for i := range r {
			e.VADDPS(r[i], sum[i%vectors], sum[i%vectors])
			e.VMOVUPS(r[i], score(i/vectors, i%vectors))
		}
	})
	for j := range vectors {
		e.VADDPS(e.vector(g.total, j), sum[j], sum[j])
		e.VMOVUPS(sum[j], e.vector(g.total, j))
	}
}
