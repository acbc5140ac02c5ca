package x86

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

var (
	softmaxArgs = mirror("SoftmaxArgs", `
		Keys int
		S Max Sum Alpha slice`)
	weighArgs = mirror("WeighArgs", `
		Rows Keys int
		V slice
		VStride int
		P O Alpha slice`)
)

// attention emits the two kernels that a block of keys passes through.
func attention(e *emitter) {
	softmax(e)
	weigh(e)
}

// vectors is how many vectors hold NR lanes.
func (e *emitter) vectors() int { return e.NR / e.Lanes }

// softmax emits Softmax: a pass for the maximum, one for exponentials and their sum.
//
// Register plan: the maxima and the sums of NR queries, then exp2's arguments, exponents and results
// for two keys; AVX-512 has room for its constants.
func softmax(e *emitter) {
	e.function("Softmax", softmaxArgs, "Softmax is kernels.Set.Softmax; args points to a kernels.SoftmaxArgs.")
	vectors := e.vectors()
	top, sum := e.Regs[:vectors], e.Regs[vectors:2*vectors]
	work := e.Regs[2*vectors : 8*vectors]
	exp2 := e.exp2(e.Regs[8*vectors:]...)
	const together = 2 // keys
	keys, s, k, p := reg.RCX, reg.RSI, reg.RDX, reg.RDI
	max, total, alpha := reg.R8, reg.R9, reg.R10
	row := e.NR * 4
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

// weigh emits Weigh: groups of rows of O in registers, and for each group a pass over the keys, V's
// value broadcast.
//
// Register plan: a vector of P, two for broadcasts, all others accumulate.
//
//	AVX-512: 14×32: 28 + 2 + 2 registers; 28 FMA for 16 loads
//	AVX2:     6×16: 12 + 2 + 2 registers; 12 FMA for 8 loads
func weigh(e *emitter) {
	e.function("Weigh", weighArgs, "Weigh is kernels.Set.Weigh; args points to a kernels.WeighArgs.")
	w := weigher{emitter: e}
	vectors := e.vectors()
	w.b, w.spare, w.acc = e.Regs[:vectors], e.Regs[vectors:vectors+2], e.Regs[vectors+2:]
	most := len(w.acc) / vectors
	rows, n := reg.RCX, reg.RDX
	e.get("Rows", rows)
	e.get("O", weighO)
	e.get("V", weighV)
	e.stride("VStride", weighStride)
	e.get("Alpha", weighAlpha)
	e.get("Keys", weighKeys)
	e.get("P", weighP)

	// The group's rows: as many as fit while more than twice as many are left, then the rest in two
	// halves, so that no group is too small to keep the multipliers busy.
	e.Label("group")
	e.MOVQ(rows, n)
	e.CMPQ(rows, U8(most))
	e.JLE(LabelRef("choose"))
	e.MOVQ(U32(most), n)
	e.CMPQ(rows, U8(2*most))
	e.JG(LabelRef("choose"))
	e.LEAQ(Mem{Base: rows, Disp: 1}, n)
	e.SHRQ(U8(1), n)
	e.Label("choose")
	e.SUBQ(n, rows)
	for r := most; r > 1; r-- {
		e.CMPQ(n, U8(r))
		e.JEQ(LabelRef(fmt.Sprintf("rows%d", r)))
	}
	for r := 1; r <= most; r++ {
		e.Label(fmt.Sprintf("rows%d", r))
		w.group(r)
		e.TESTQ(rows, rows)
		e.JNZ(LabelRef("group"))
		e.ret()
	}
}

// What every group of rows uses: O and V at the group's first row, and what stays as it is.
var weighO, weighV, weighStride, weighAlpha, weighKeys, weighP = reg.RDI, reg.RSI, reg.R8, reg.R9, reg.R10, reg.R11

// weigher is Weigh's vector registers.
type weigher struct {
	*emitter
	b, spare, acc []reg.VecPhysical
}

// group emits the body for a group of rows, and moves on to the next.
func (e weigher) group(rows int) {
	vectors := e.vectors()
	acc := func(r, j int) reg.VecPhysical { return e.acc[r*vectors+j] }
	b := e.b
	v, p, k := reg.RAX, reg.RBX, reg.R12
	label := func(name string) string { return fmt.Sprintf("%s%d", name, rows) }

	// o = Alpha·O
	for j := range vectors {
		e.VMOVUPS(e.vector(weighAlpha, j), b[j])
	}
	for r := range rows {
		for j := range vectors {
			e.VMULPS(e.vector(weighO, r*vectors+j), b[j], acc(r, j))
		}
	}
	// o += V[k]·P[k]
	step := func(v Mem, u int) {
		for j := range vectors {
			e.VMOVUPS(e.vector(p, u*vectors+j), b[j])
		}
		for r := range rows {
			a := e.spare[r%len(e.spare)]
			e.VBROADCASTSS(v.Offset(4*r), a)
			for j := range vectors {
				e.VFMADD231PS(b[j], a, acc(r, j))
			}
		}
	}
	first, second := Mem{Base: v}, Mem{Base: v, Index: weighStride, Scale: 1}
	e.MOVQ(weighV, v)
	e.MOVQ(weighP, p)
	e.MOVQ(weighKeys, k)
	e.SUBQ(U8(2), k)
	e.JL(LabelRef(label("rest")))
	e.align(32)
	e.Label(label("keys"))
	step(first, 0)
	step(second, 1)
	e.LEAQ(Mem{Base: v, Index: weighStride, Scale: 2}, v)
	e.ADDQ(I32(2*e.NR*4), p)
	e.SUBQ(U8(2), k)
	e.JGE(LabelRef(label("keys")))
	e.Label(label("rest"))
	e.ADDQ(U8(2), k)
	e.JZ(LabelRef(label("store")))
	step(first, 0)
	e.Label(label("store"))
	for r := range rows {
		for j := range vectors {
			e.VMOVUPS(acc(r, j), e.vector(weighO, r*vectors+j))
		}
	}
	e.ADDQ(I32(4*rows), weighV)
	e.ADDQ(I32(rows*e.NR*4), weighO)
}
