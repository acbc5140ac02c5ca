package x86

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// ToLanes and FromLanes carry values between rows of memory and lanes of vectors by blocks of a vector's
// worth of rows and four columns: quarters fills four vectors, so that the i-th 128 bits of the j-th hold
// four values of row 4i+j, which costs no shuffle, and transpose works within 128 bits. Vector j then is
// column j, in the order of the rows. For FromLanes the panel's rows are what is read, and its columns,
// each the values of a query, what is written.
//
// A block takes AVX-512 12 insertions, 8 shuffles and 4 multiplications for 64 values.

// lanes emits both kernels.
func lanes(e *emitter) {
	toLanes(e)
	fromLanes(e)
}

// quarters fills four vectors from as many rows as one has lanes: at tells where each has its four
// values, of which m selects some; the others are zero, by way of part.
func (e *emitter) quarters(v []reg.VecPhysical, m mask, part reg.VecPhysical, at func(row int) Mem) {
	lanes := int(v[0].Size()) / 4
	for row := range lanes {
		i, v := row/4, v[row%4]
		from := at(row)
		if i == 0 {
			e.load(from, m, v.AsX())
			continue
		}
		var quarter Op = from
		if m.r != nil {
			e.load(from, m, part.AsX())
			quarter = part.AsX()
		}
		if lanes == 16 {
			e.VINSERTF32X4(U8(i), quarter, v, v)
		} else {
			e.VINSERTF128(U8(i), quarter, v, v)
		}
	}
}

// transpose turns four vectors by rows into four by columns or back: within 128 bits, where row a is
// a0 a1 a2 a3 and so on. s is clobbered.
func (e *emitter) transpose(v, s []reg.VecPhysical) {
	e.VUNPCKLPS(v[1], v[0], s[0]) // a0 b0 a1 b1
	e.VUNPCKHPS(v[1], v[0], s[1]) // a2 b2 a3 b3
	e.VUNPCKLPS(v[3], v[2], s[2]) // c0 d0 c1 d1
	e.VUNPCKHPS(v[3], v[2], s[3]) // c2 d2 c3 d3
	e.VUNPCKLPD(s[2], s[0], v[0]) // a0 b0 c0 d0
	e.VUNPCKHPD(s[2], s[0], v[1]) // a1 b1 c1 d1
	e.VUNPCKLPD(s[3], s[1], v[2]) // a2 b2 c2 d2
	e.VUNPCKHPD(s[3], s[1], v[3]) // a3 b3 c3 d3
}

// stepped is the i-th of rows that are a stride apart, of which four have one base and three is thrice
// the stride.
func stepped(bases []reg.GPPhysical, stride, three reg.GPPhysical, i int) Mem {
	m := Mem{Base: bases[i/4]}
	switch i % 4 {
	case 0:
	case 3:
		m.Index, m.Scale = three, 1
	default:
		m.Index, m.Scale = stride, uint8(i%4)
	}
	return m
}
