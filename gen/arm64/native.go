package arm64

import (
	"fmt"
	"strings"
)

// R is a general register. R18 belongs to the platform, R27 to Go's assembler, R28 to the
// runtime; R29 and R30 hold the frame and the return address.
type R uint8

// String is the register's name; it panics for one that a kernel must leave alone.
func (r R) String() string {
	if r == 18 || r > 26 {
		panic(fmt.Sprintf("R%d is not a kernel's to use", uint8(r)))
	}
	return fmt.Sprintf("R%d", uint8(r))
}

// gnu is the name that other assemblers have for the register.
func (r R) gnu() string { return "x" + r.String()[1:] }

// shifted is a register's value shifted left, as the first operand of an addition.
type shifted struct {
	r R
	n int
}

// Mem is memory at Base plus Disp bytes, or plus the register Index where Indexed is set.
type Mem struct {
	Base    R
	Disp    int
	Index   R
	Indexed bool
}

// at is memory disp bytes after base.
func at(base R, disp int) Mem { return Mem{Base: base, Disp: disp} }

// indexed is memory index bytes after base.
func indexed(base, index R) Mem { return Mem{Base: base, Index: index, Indexed: true} }

// text writes an operand as Go's assembler has it: an int is an immediate value, a V the register
// by its scalar name, a string is copied.
func text(operand any) string {
	switch o := operand.(type) {
	case int:
		return fmt.Sprintf("$%d", o)
	case R:
		return o.String()
	case shifted:
		return fmt.Sprintf("%v<<%d", o.r, o.n)
	case V:
		return fmt.Sprintf("F%d", o)
	case [2]R:
		return fmt.Sprintf("(%v, %v)", o[0], o[1])
	case [2]V:
		return fmt.Sprintf("(F%d, F%d)", o[0], o[1])
	case Mem:
		switch {
		case o.Indexed:
			return fmt.Sprintf("(%v)(%v)", o.Base, o.Index)
		case o.Disp == 0:
			return fmt.Sprintf("(%v)", o.Base)
		}
		return fmt.Sprintf("%d(%v)", o.Disp, o.Base)
	case string:
		return o
	}
	panic(fmt.Sprintf("operand %v", operand))
}

// native writes an instruction that Go's assembler knows.
func (e *emitter) native(op string, operands ...any) {
	words := make([]string, len(operands))
	for i, o := range operands {
		words[i] = text(o)
	}
	e.line(strings.TrimSpace(op + " " + strings.Join(words, ", ")))
}

// Integers and branches.
func (e *emitter) MOVD(src, dst any)            { e.native("MOVD", src, dst) }
func (e *emitter) MOVBU(src Mem, dst R)         { e.native("MOVBU", src, dst) }
func (e *emitter) MOVHU(src Mem, dst R)         { e.native("MOVHU", src, dst) }
func (e *emitter) LDP(src Mem, a, b R)          { e.native("LDP", src, [2]R{a, b}) }
func (e *emitter) ADD(operands ...any)          { e.native("ADD", operands...) }
func (e *emitter) SUB(operands ...any)          { e.native("SUB", operands...) }
func (e *emitter) ADDS(operands ...any)         { e.native("ADDS", operands...) }
func (e *emitter) SUBS(operands ...any)         { e.native("SUBS", operands...) }
func (e *emitter) AND(operands ...any)          { e.native("AND", operands...) }
func (e *emitter) LSL(n int, src, dst R)        { e.native("LSL", n, src, dst) }
func (e *emitter) LSR(n int, src, dst R)        { e.native("LSR", n, src, dst) }
func (e *emitter) MUL(a, b, dst R)              { e.native("MUL", a, b, dst) }
func (e *emitter) UDIV(b, a, dst R)             { e.native("UDIV", b, a, dst) } // a / b
func (e *emitter) CMP(b any, a R)               { e.native("CMP", b, a) }       // a − b
func (e *emitter) CSEL(cond string, a, b, d R)  { e.native("CSEL", cond, a, b, d) }
func (e *emitter) CBZ(r R, label string)        { e.native("CBZ", r, label) }
func (e *emitter) CBNZ(r R, label string)       { e.native("CBNZ", r, label) }
func (e *emitter) TBZ(bit int, r R, to string)  { e.native("TBZ", bit, r, to) }
func (e *emitter) B(label string)               { e.native("B", label) }
func (e *emitter) BEQ(label string)             { e.native("BEQ", label) }
func (e *emitter) BNE(label string)             { e.native("BNE", label) }
func (e *emitter) BLT(label string)             { e.native("BLT", label) }
func (e *emitter) BLO(label string)             { e.native("BLO", label) }
func (e *emitter) BLE(label string)             { e.native("BLE", label) }
func (e *emitter) BGT(label string)             { e.native("BGT", label) }
func (e *emitter) BGE(label string)             { e.native("BGE", label) }
func (e *emitter) RET()                         { e.native("RET") }
func (e *emitter) PRFM(m Mem, operation string) { e.native("PRFM", m, operation) }

// Loads and stores of vectors: of one value, two or four (a load clears the rest of the register),
// and of two registers of four. A name that ends in P moves the base on by so many bytes.
func (e *emitter) FMOVS(src, dst any)           { e.native("FMOVS", src, dst) }
func (e *emitter) FMOVD(src, dst any)           { e.native("FMOVD", src, dst) }
func (e *emitter) FMOVQ(src, dst any)           { e.native("FMOVQ", src, dst) }
func (e *emitter) FMOVQP(src, dst any)          { e.native("FMOVQ.P", src, dst) }
func (e *emitter) FLDPQ(src Mem, a, b V)        { e.native("FLDPQ", src, [2]V{a, b}) }
func (e *emitter) FSTPQ(a, b V, dst Mem)        { e.native("FSTPQ", [2]V{a, b}, dst) }
func (e *emitter) loadLane(src R, v V, i Lane)  { e.native("VLD1", at(src, 0), element(v, i)) }
func (e *emitter) storeLane(v V, i Lane, dst R) { e.native("VST1", element(v, i), at(dst, 0)) }
func (e *emitter) loadLaneP(src R, v V, i Lane) { e.native("VLD1.P", at(src, 4), element(v, i)) }
func (e *emitter) storeLaneP(v V, i Lane, dst R) {
	e.native("VST1.P", element(v, i), at(dst, 4))
}
func (e *emitter) SCVTFS(src R, dst V)       { e.native("SCVTFS", src, dst) }
func (e *emitter) VDUP(src V, i Lane, dst V) { e.native("VDUP", element(src, i), lanes(dst)) }
func (e *emitter) VMOV(src, dst V)           { e.native("VMOV", bits(src), bits(dst)) }
func (e *emitter) VEOR(m, n, d V)            { e.native("VEOR", bits(m), bits(n), bits(d)) }
func (e *emitter) VAND(m, n, d V)            { e.native("VAND", bits(m), bits(n), bits(d)) }
func (e *emitter) VADD(m, n, d V)            { e.native("VADD", lanes(m), lanes(n), lanes(d)) }
func (e *emitter) VSUB(m, n, d V)            { e.native("VSUB", lanes(m), lanes(n), lanes(d)) }
func (e *emitter) VSHL(s int, n, d V)        { e.native("VSHL", s, lanes(n), lanes(d)) }
func (e *emitter) VEXT(bytes int, m, n, d V) { e.native("VEXT", bytes, bits(m), bits(n), bits(d)) }
func (e *emitter) VTRN1(m, n, d V)           { e.native("VTRN1", lanes(m), lanes(n), lanes(d)) }
func (e *emitter) VTRN2(m, n, d V)           { e.native("VTRN2", lanes(m), lanes(n), lanes(d)) }
func (e *emitter) VZIP1Pairs(m, n, d V)      { e.native("VZIP1", pairs(m), pairs(n), pairs(d)) }
func (e *emitter) VZIP2Pairs(m, n, d V)      { e.native("VZIP2", pairs(m), pairs(n), pairs(d)) }

// VBIT sets the bits of d to those of n where m's are set.
func (e *emitter) VBIT(m, n, d V) { e.native("VBIT", bits(m), bits(n), bits(d)) }

func bits(v V) string            { return fmt.Sprintf("V%d.B16", v) }
func lanes(v V) string           { return fmt.Sprintf("V%d.S4", v) }
func pairs(v V) string           { return fmt.Sprintf("V%d.D2", v) }
func element(v V, i Lane) string { return fmt.Sprintf("V%d.S[%d]", v, i) }
