package x86

import (
	"math"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/lanewise/lanewise/gen/approx"
	"github.com/lanewise/lanewise/gen/layout"
)

// score emits Score: rows are keys, the panel is Q.
func score(e *emitter) {
	e.function("Score", layout.Score, "Score is kernels.Set.Score; args points to a kernels.ScoreArgs.")
	var (
		rows, n             = reg.RCX, reg.RDX
		keys, low, high     = reg.RSI, reg.RAX, reg.R13 // of the group; its rows 0 and 7 at the current column
		stride, three, five = reg.R8, reg.R9, reg.R10
		q, s, cols, left    = reg.RBX, reg.RDI, reg.R12, reg.R15
		mask, panel         = reg.R11, reg.R14
		bias                = e.AllocLocal(8) // at the group
	)
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
	e.products("Keys", func(p products) {
		e.get("Bias", rows)
		e.MOVQ(rows, bias)
		e.get("Keys", rows)
		e.get("K", keys)
		e.stride("KStride", stride)
		e.get("Q", q)
		e.get("S", s)
		e.get("Mask", mask)
		e.get("Cols", cols)
		e.LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, three)
		e.LEAQ(Mem{Base: stride, Index: stride, Scale: 4}, five)
		p.groups(rows, n, [4]reg.GPPhysical{low, high, left, panel}, func(rows int, label func(string) string) {
			advance := func(n int) {
				e.ADDQ(I8(4*n), low)
				if rows > 7 {
					e.ADDQ(I8(4*n), high)
				}
				e.ADDQ(I32(n*p.row()), panel)
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

			// s += Bias
			e.MOVQ(bias, low)
			e.TESTQ(low, low)
			e.JZ(LabelRef(label("unbiased")))
			for r := range rows {
				e.VBROADCASTSS(Mem{Base: low, Disp: 4 * r}, p.spare[0])
				for j := range p.vectors {
					e.VADDPS(p.spare[0], p.accumulator(r, j), p.accumulator(r, j))
				}
			}
			e.ADDQ(U8(4*rows), bias)
			e.Label(label("unbiased"))

			// s += base2(Mask)
			e.TESTQ(mask, mask)
			e.JZ(LabelRef(label("store")))
			p.each(rows, func(r, j int) {
				a := p.accumulator(r, j)
				p.base2(e.vector(mask, r*p.vectors+j), e.Regs[0], e.Regs[1], e.Regs[2])
				e.VADDPS(e.Regs[0], a, a)
			})
			e.ADDQ(I32(rows*p.row()), mask)
			e.Label(label("store"))
			p.each(rows, func(r, j int) { e.VMOVUPS(p.accumulator(r, j), e.vector(s, r*p.vectors+j)) })
			e.ADDQ(I32(rows*p.row()), s)
			e.IMUL3Q(I8(rows), stride, low)
			e.ADDQ(low, keys)
		})
	})
}

// base2 sets v to what a mask m adds to scores: m·log2 e, which where it overflows becomes the largest
// finite value unless m is infinite.
func (p products) base2(m Mem, v, tmp, tmp2 reg.VecPhysical) {
	if p.wide() {
		const (
			special = 0x99 // VFPCLASSPS: NaN or ±Inf
			smaller = 0b10 // VRANGEPS: of the values without their signs, with the first's sign
		)
		p.VMOVUPS(m, tmp)
		p.VMULPS(p.constant(approx.Log2E), tmp, v)
		p.VFPCLASSPSZ(U8(special), tmp, reg.K1)
		p.KNOTW(reg.K1, reg.K1)
		p.VMOVUPS(p.constant(math.MaxFloat32), tmp2)
		p.VRANGEPS(U8(smaller), tmp2, v, reg.K1, v)
		return
	}
	p.VMOVUPS(m, tmp)
	p.VMULPS(p.constant(approx.Log2E), tmp, v)
	// The first source of a minimum or maximum, Go's second, gives way to a NaN in the other.
	p.VMOVUPS(p.constant(math.MaxFloat32), tmp2)
	p.VMINPS(v, tmp2, v)
	p.VMOVUPS(p.constant(-math.MaxFloat32), tmp2)
	p.VMAXPS(v, tmp2, v)
	// infinite: |m| > the largest
	p.VANDPS(p.constantBits(math.MaxInt32), tmp, tmp2)
	p.VCMPPS(U8(0x1e), p.constant(math.MaxFloat32), tmp2, tmp2) // greater, ordered
	p.VBLENDVPS(tmp2, tmp, v, v)
}
