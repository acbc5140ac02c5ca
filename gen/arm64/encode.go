package arm64

import "fmt"

// V is a vector register, 0 to 31.
type V uint8

// Lane is one of the four float32 values of a vector.
type Lane uint8

// Shift is a distance in bits, within lanes of 32.
type Shift uint8

// Word is an instruction that Go's assembler does not know: its encoding, and what an assembler that
// does calls it.
type Word struct {
	Code uint32
	GNU  string
}

// code collects instructions as words. Its methods are named as Arm's manual names the instructions
// (ARM DDI 0487, C7.2), take operands in the order of Go's assembler, the destination last, and work
// on four lanes of 32 bits unless they say otherwise. The test assembles what each of them writes by
// another assembler, over all registers, lanes and shifts.
type code struct {
	emit func(Word)
}

func (c code) word(code uint32, format string, operands ...any) {
	c.emit(Word{code, fmt.Sprintf(format, operands...)})
}

// three writes d = n op m.
func (c code) three(code uint32, name string, m, n, d V) {
	c.word(code|uint32(m)<<16|uint32(n)<<5|uint32(d), "%s v%d.4s, v%d.4s, v%d.4s", name, d, n, m)
}

// two writes d = op n.
func (c code) two(code uint32, name string, n, d V) {
	c.word(code|uint32(n)<<5|uint32(d), "%s v%d.4s, v%d.4s", name, d, n)
}

func (c code) FADD(m, n, d V) { c.three(0x4e20d400, "fadd", m, n, d) } // d = n + m
func (c code) FSUB(m, n, d V) { c.three(0x4ea0d400, "fsub", m, n, d) } // d = n − m
func (c code) FMUL(m, n, d V) { c.three(0x6e20dc00, "fmul", m, n, d) } // d = n·m
func (c code) FDIV(m, n, d V) { c.three(0x6e20fc00, "fdiv", m, n, d) } // d = n/m
func (c code) FMLA(m, n, d V) { c.three(0x4e20cc00, "fmla", m, n, d) } // d += n·m, rounded once
func (c code) FMLS(m, n, d V) { c.three(0x4ea0cc00, "fmls", m, n, d) } // d −= n·m, rounded once
func (c code) FMAX(m, n, d V) { c.three(0x4e20f400, "fmax", m, n, d) } // NaN where either is
func (c code) FMIN(m, n, d V) { c.three(0x4ea0f400, "fmin", m, n, d) } // NaN where either is

func (c code) FABS(n, d V)  { c.two(0x4ea0f800, "fabs", n, d) }
func (c code) FNEG(n, d V)  { c.two(0x6ea0f800, "fneg", n, d) }
func (c code) FSQRT(n, d V) { c.two(0x6ea1f800, "fsqrt", n, d) }

// lane writes d = n op m[i].
func (c code) lane(code uint32, name string, m V, i Lane, n, d V) {
	c.word(code|uint32(i&1)<<21|uint32(m)<<16|uint32(i>>1)<<11|uint32(n)<<5|uint32(d),
		"%s v%d.4s, v%d.4s, v%d.s[%d]", name, d, n, m, i)
}

func (c code) FMULLane(m V, i Lane, n, d V) { c.lane(0x4f809000, "fmul", m, i, n, d) } // d = n·m[i]
func (c code) FMLALane(m V, i Lane, n, d V) { c.lane(0x4f801000, "fmla", m, i, n, d) } // d += n·m[i], rounded once
func (c code) FMLSLane(m V, i Lane, n, d V) { c.lane(0x4f805000, "fmls", m, i, n, d) } // d −= n·m[i], rounded once

// FCMLT0 sets all bits of the lanes where n < 0, and clears the others.
func (c code) FCMLT0(n, d V) {
	c.word(0x4ea0e800|uint32(n)<<5|uint32(d), "fcmlt v%d.4s, v%d.4s, #0.0", d, n)
}

// FCMGT sets all bits of the lanes where n > m, and clears the others.
func (c code) FCMGT(m, n, d V) { c.three(0x6ea0e400, "fcmgt", m, n, d) }

// SSHR shifts right arithmetically, by 1 to 32.
func (c code) SSHR(s Shift, n, d V) {
	c.word(0x4f000400|(64-uint32(s))<<16|uint32(n)<<5|uint32(d), "sshr v%d.4s, v%d.4s, #%d", d, n, s)
}

// BIC is d = n &^ m, over all 128 bits.
func (c code) BIC(m, n, d V) {
	c.word(0x4e601c00|uint32(m)<<16|uint32(n)<<5|uint32(d), "bic v%d.16b, v%d.16b, v%d.16b", d, n, m)
}

// FCVTL and FCVTL2 make float32 of the lower or upper four IEEE halves of n.
func (c code) FCVTL(n, d V) { c.word(0x0e217800|uint32(n)<<5|uint32(d), "fcvtl v%d.4s, v%d.4h", d, n) }
func (c code) FCVTL2(n, d V) {
	c.word(0x4e217800|uint32(n)<<5|uint32(d), "fcvtl2 v%d.4s, v%d.8h", d, n)
}

// SHLL and SHLL2 widen the lower or upper four values of 16 bits in n, shifted left by 16.
func (c code) SHLL(n, d V) {
	c.word(0x2e613800|uint32(n)<<5|uint32(d), "shll v%d.4s, v%d.4h, #16", d, n)
}
func (c code) SHLL2(n, d V) {
	c.word(0x6e613800|uint32(n)<<5|uint32(d), "shll2 v%d.4s, v%d.8h, #16", d, n)
}

// LDRQ loads four lanes from index bytes behind base, which Go's assembler can do of two lanes at most.
func (c code) LDRQ(base, index R, d V) {
	c.word(0x3ce06800|uint32(index)<<16|uint32(base)<<5|uint32(d), "ldr q%d, [%s, %s]", d, base.gnu(), index.gnu())
}
