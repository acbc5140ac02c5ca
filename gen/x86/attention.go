package x86

import (
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

// vectors is how many vectors hold NR lanes.
func (e *emitter) vectors() int { return e.Queries / e.Lanes }

// softmax emits Softmax: a pass for the maximum, one for exponentials and their sum.
//
// Register plan: the maxima and the sums of NR queries, then exp2's arguments, exponents and results
// for two keys; AVX-512 has room for its constants.
func softmax(e *emitter) {
	e.function("Softmax", layout.Softmax, "Softmax is kernels.Set.Softmax; args points to a kernels.SoftmaxArgs.")
	vectors := e.vectors()
	top, sum := e.Regs[:vectors], e.Regs[vectors:2*vectors]
	work := e.Regs[2*vectors : 8*vectors]
	exp2 := e.exp2(e.Regs[8*vectors:]...)
	const together = 2 // keys
	keys, s, k, p := reg.RCX, reg.RSI, reg.RDX, reg.RDI
	max, total, alpha := reg.R8, reg.R9, reg.R10
	row := e.Queries * 4
	e.get("Keys", keys)
	e.get("S", s)
	e.get("Max", max)
	e.get("Sum", total)
	e.get("Alpha", alpha)

	// each runs body over the keys, n of them at a time and then one at a time, p at the first's scores.
	each := func(name string, n int, body func(n int)) {
		e.MOVQ(s, p)
		e.MOVQ(keys, k)
		e.SUBQ(U8(n), k)
		e.JL(LabelRef(name + "Rest"))
		e.align(32)
		e.Label(name)
		body(n)
		e.ADDQ(I32(n*row), p)
		e.SUBQ(U8(n), k)
		e.JGE(LabelRef(name))
		e.Label(name + "Rest")
		e.ADDQ(U8(n), k)
		e.JZ(LabelRef(name + "Done"))
		e.Label(name + "One")
		body(1)
		e.ADDQ(I32(row), p)
		e.DECQ(k)
		e.JNZ(LabelRef(name + "One"))
		e.Label(name + "Done")
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
			e.VMOVUPS(e.vector(max, j), chain(c, j))
		}
	}
	loaded := e.Regs[2*vectors+(chains-1)*vectors:][:vectors]
	each("max", chains, func(n int) {
		for c := range n {
			for j := range vectors {
				e.VMOVUPS(e.vector(p, c*vectors+j), loaded[j])
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
		e.VMOVUPS(e.vector(max, j), v[j])
		e.VSUBPS(top[j], v[j], v[j])
		e.VMOVUPS(top[j], e.vector(max, j))
	}
	exp2.emit(v, n, r)
	for j := range vectors {
		e.VMOVUPS(r[j], e.vector(alpha, j))
		e.VMULPS(e.vector(total, j), r[j], r[j])
		e.VMOVUPS(r[j], e.vector(total, j))
		e.zero(sum[j])
	}

	// s = exp2(s − top), sum += s
	each("exp", together, func(keys int) {
		v, n, r := exponentials(keys)
		for i := range v {
			e.VMOVUPS(e.vector(p, i), v[i])
			e.VSUBPS(top[i%vectors], v[i], v[i])
		}
		exp2.emit(v, n, r)
		for i := range r {
			e.VADDPS(r[i], sum[i%vectors], sum[i%vectors])
			e.VMOVUPS(r[i], e.vector(p, i))
		}
	})
	for j := range vectors {
		e.VADDPS(e.vector(total, j), sum[j], sum[j])
		e.VMOVUPS(sum[j], e.vector(total, j))
	}
	e.ret()
}
