package x86

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/lanewise/lanewise/gen/layout"
)

// The two products of attention, Score and Weigh, share a plan: a group of rows of the result in
// registers, and for each group a pass over the values that are summed over, one broadcast for each
// row and step. What is broadcast is read where the projections left it.
//
// Register plan: a vector row of the panel, two for broadcasts, all others accumulate.
//
//	AVX-512: 14×32: 28 + 2 + 2 registers; 28 FMA for 16 loads
//	AVX2:     6×16: 12 + 2 + 2 registers; 12 FMA for 8 loads
type products struct {
	*emitter
	b, spare, acc []reg.VecPhysical
}

func newProducts(e *emitter) products {
	v := e.vectors()
	return products{e, e.Regs[:v], e.Regs[v : v+2], e.Regs[v+2:]}
}

// accumulator is vector j of row r of the group.
func (e products) accumulator(r, j int) reg.VecPhysical { return e.acc[r*e.vectors()+j] }

// each calls f for every accumulator of a group.
func (e products) each(rows int, f func(r, j int)) {
	for r := range rows {
		for j := range e.vectors() {
			f(r, j)
		}
	}
}

// step adds one step to the accumulators: row u of the panel, times a broadcast for each row.
func (e products) step(rows int, panel reg.GPPhysical, u int, value func(r int) Mem) {
	for j := range e.vectors() {
		e.VMOVUPS(e.vector(panel, u*e.vectors()+j), e.b[j])
	}
	for r := range rows {
		a := e.spare[r%len(e.spare)]
		e.VBROADCASTSS(value(r), a)
		for j := range e.vectors() {
			e.VFMADD231PS(e.b[j], a, e.accumulator(r, j))
		}
	}
}

// groups emits the loop over groups of rows, and body for each size that one can have. A group is as
// large as fits while more than twice as many rows are left, then the rest goes in two halves, so
// that none is too small to keep the multipliers busy. n is clobbered; body ends where its code
// does.
func (e products) groups(rows, n reg.GPPhysical, body func(rows int)) {
	most := len(e.acc) / e.vectors()
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
		body(r)
		e.TESTQ(rows, rows)
		e.JNZ(LabelRef("group"))
		e.ret()
	}
}

// score emits Score: rows are keys, the panel is Q.
func score(e *emitter) {
	e.function("Score", layout.Score, "Score is kernels.Set.Score; args points to a kernels.ScoreArgs.")
	p := newProducts(e)
	var (
		rows, n                = reg.RCX, reg.RDX
		keys, low, high        = reg.RSI, reg.RAX, reg.R13 // of the group; its rows 0 and 7 at the current column
		stride, three, five    = reg.R8, reg.R9, reg.R10
		q, s, mask, cols, left = reg.RBX, reg.RDI, reg.R11, reg.R12, reg.R15
		panel                  = reg.R14
	)
	e.get("Keys", rows)
	e.get("K", keys)
	e.stride("KStride", stride)
	e.get("Q", q)
	e.get("S", s)
	e.get("Mask", mask)
	e.get("Cols", cols)
	e.LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, three)
	e.LEAQ(Mem{Base: stride, Index: stride, Scale: 4}, five)

	// value is K at row r of the group and column u from the current one.
	value := func(u int) func(r int) Mem {
		return func(r int) Mem {
			base := low
			if r >= 7 {
				base, r = high, r-7
			}
			m := Mem{Base: base, Disp: 4 * u}
			switch r {
			case 0:
			case 3:
				m.Index, m.Scale = three, 1
			case 5:
				m.Index, m.Scale = five, 1
			case 6:
				m.Index, m.Scale = three, 2
			default: // 1, 2, 4
				m.Index, m.Scale = stride, uint8(r)
			}
			return m
		}
	}
	p.groups(rows, n, func(rows int) {
		label := func(name string) string { return fmt.Sprintf("%s%d", name, rows) }
		advance := func(n int) {
			e.ADDQ(I8(4*n), low)
			if rows > 7 {
				e.ADDQ(I8(4*n), high)
			}
			e.ADDQ(I32(n*e.Queries*4), panel)
		}
		e.MOVQ(keys, low)
		if rows > 7 {
			e.LEAQ(Mem{Base: keys, Index: three, Scale: 2}, high)
			e.ADDQ(stride, high)
		}
		e.MOVQ(q, panel)
		p.each(rows, func(r, j int) { e.zero(p.accumulator(r, j)) })

		// s += K[c]·Q[c]
		e.MOVQ(cols, left)
		e.SUBQ(U8(unroll), left)
		e.JL(LabelRef(label("rest")))
		e.align(32)
		e.Label(label("cols"))
		for u := range unroll {
			p.step(rows, panel, u, value(u))
		}
		advance(unroll)
		e.SUBQ(U8(unroll), left)
		e.JGE(LabelRef(label("cols")))
		e.Label(label("rest"))
		e.ADDQ(U8(unroll), left)
		e.JZ(LabelRef(label("summed")))
		e.Label(label("one"))
		p.step(rows, panel, 0, value(0))
		advance(1)
		e.DECQ(left)
		e.JNZ(LabelRef(label("one")))
		e.Label(label("summed"))

		// S = s + Mask
		e.TESTQ(mask, mask)
		e.JZ(LabelRef(label("store")))
		p.each(rows, func(r, j int) {
			a := p.accumulator(r, j)
			e.VADDPS(e.vector(mask, r*e.vectors()+j), a, a)
		})
		e.ADDQ(I32(rows*e.Queries*4), mask)
		e.Label(label("store"))
		p.each(rows, func(r, j int) { e.VMOVUPS(p.accumulator(r, j), e.vector(s, r*e.vectors()+j)) })
		e.ADDQ(I32(rows*e.Queries*4), s)
		e.IMUL3Q(I8(rows), stride, low)
		e.ADDQ(low, keys)
	})
}

// weigh emits Weigh: rows are those of O, the panel is P.
func weigh(e *emitter) {
	e.function("Weigh", layout.Weigh, "Weigh is kernels.Set.Weigh; args points to a kernels.WeighArgs.")
	p := newProducts(e)
	var (
		rows, n         = reg.RCX, reg.RDX
		o, v            = reg.RDI, reg.RSI // at the group's first row
		stride, alpha   = reg.R8, reg.R9
		keys, probs     = reg.R10, reg.R11
		value, panel, k = reg.RAX, reg.RBX, reg.R12 // while the keys pass
		together        = 2                         // keys
	)
	e.get("Rows", rows)
	e.get("O", o)
	e.get("V", v)
	e.stride("VStride", stride)
	e.get("Alpha", alpha)
	e.get("Keys", keys)
	e.get("P", probs)

	first := func(r int) Mem { return Mem{Base: value, Disp: 4 * r} }
	second := func(r int) Mem { return Mem{Base: value, Index: stride, Scale: 1, Disp: 4 * r} }
	p.groups(rows, n, func(rows int) {
		label := func(name string) string { return fmt.Sprintf("%s%d", name, rows) }
		// o = Alpha·O
		for j := range e.vectors() {
			e.VMOVUPS(e.vector(alpha, j), p.b[j])
		}
		p.each(rows, func(r, j int) { e.VMULPS(e.vector(o, r*e.vectors()+j), p.b[j], p.accumulator(r, j)) })
		// o += V[k]·P[k]
		e.MOVQ(v, value)
		e.MOVQ(probs, panel)
		e.MOVQ(keys, k)
		e.SUBQ(U8(together), k)
		e.JL(LabelRef(label("rest")))
		e.align(32)
		e.Label(label("keys"))
		p.step(rows, panel, 0, first)
		p.step(rows, panel, 1, second)
		e.LEAQ(Mem{Base: value, Index: stride, Scale: 2}, value)
		e.ADDQ(I32(together*e.Queries*4), panel)
		e.SUBQ(U8(together), k)
		e.JGE(LabelRef(label("keys")))
		e.Label(label("rest"))
		e.ADDQ(U8(together), k)
		e.JZ(LabelRef(label("store")))
		p.step(rows, panel, 0, first)
		e.Label(label("store"))
		p.each(rows, func(r, j int) { e.VMOVUPS(p.accumulator(r, j), e.vector(o, r*e.vectors()+j)) })
		e.ADDQ(I32(4*rows), v)
		e.ADDQ(I32(rows*e.Queries*4), o)
	})
}
