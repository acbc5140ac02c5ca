package x86

import (
	"slices"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/lanewise/lanewise/gen/layout"
)

// Sizes of LayerNorm: the lanes of a row's sums, and how many rows go through a pass side by side. Four
// rows of 1280 values with what they become are more than a first-level cache holds.
const (
	rowLanes     = 16
	rowsTogether = 2
)

// rowNorm emits LayerNorm. Two rows at a time go through passes for their mean, for their variance with what
// the mean lacks, and for the result, each hiding what the other waits for; the last of these is also the
// first of the next two rows, so that memory is read and written all the time.
//
// Each row is reached by pointers of its own. Where only one is left it stands for two, which is then
// written twice: a pass reads sixteen columns of both before it writes any, so that Dst may be Src.
type rowNorm struct {
	*emitter
	rows, at, left, tmp reg.GPPhysical
	scale, shift        reg.GPPhysical
	src, ahead, dst     []reg.GPPhysical // of each row: to normalise, to sum, to write
	cols, inverse       Mem              // Cols and 1/Cols as float32

	sum, rest  [][]reg.VecPhysical // sixteen lanes of each row; rest in the registers of rstd and offset
	mean, rstd []reg.VecPhysical   // of each row
	offset     []reg.VecPhysical   // of each row, to take off: δ·rstd
	value      []reg.VecPhysical   // of each row
	gain, plus reg.VecPhysical
	tails      []mask // of sixteen columns
}

// layerNorm emits LayerNorm.
func layerNorm(e *emitter) {
	e.function("LayerNorm", layout.LayerNorm, "LayerNorm is kernels.Set.LayerNorm; args points to a kernels.LayerNormArgs.")
	regs := e.Regs
	take := func(n int) (taken []reg.VecPhysical) {
		taken, regs = regs[:n], regs[n:]
		return taken
	}
	n := &rowNorm{
		emitter: e,
		rows:    reg.RCX, at: reg.R10, left: reg.R11, tmp: reg.R14,
		scale: reg.RBX, shift: reg.RDX,
		src: []reg.GPPhysical{reg.RSI, reg.RDI}, ahead: []reg.GPPhysical{reg.R8, reg.R9}, dst: []reg.GPPhysical{reg.R12, reg.R13},
		cols: e.AllocLocal(8),
		mean: take(rowsTogether), rstd: take(rowsTogether), offset: take(rowsTogether), value: take(rowsTogether),
		gain: take(1)[0], plus: take(1)[0],
	}
	n.inverse = n.cols.Offset(4)
	results := slices.Concat(n.rstd, n.offset)
	for range rowsTogether {
		vectors := rowLanes / e.Lanes
		n.sum = append(n.sum, take(vectors))
		n.rest, results = append(n.rest, results[:vectors]), results[vectors:]
	}
	masks := []reg.Register{reg.K1}
	if !e.wide() {
		masks = []reg.Register{regs[0], regs[1]}
	}

	n.get("Rows", n.rows)
	n.TESTQ(n.rows, n.rows)
	n.JZ(LabelRef("end"))
	n.get("Cols", n.left)
	x, y := n.value[0].AsX(), n.value[1].AsX()
	n.VXORPS(x, x, x)
	n.VCVTSI2SSQ(n.left, x, x)
	n.VMOVSS(x, n.cols)
	n.VMOVSS(n.constant(1), y)
	n.VDIVSS(x, y, y)
	n.VMOVSS(y, n.inverse)
	n.ANDQ(U8(rowLanes-1), n.left)
	n.tails = n.masks(n.left, n.at, n.tmp, masks...)
	n.get("Scale", n.scale)
	n.get("Shift", n.shift)
	n.get("Src", n.ahead[0])
	n.get("Dst", n.dst[0])
	n.CMPB(n.field("RMS"), U8(0))
	n.JNE(LabelRef("rms"))
	n.emit("mean", n.addAhead)
	n.Label("rms")
	n.emit("rms", n.addSquareAhead)
	n.Label("end")
	n.ret()
}

// emit emits the walk over the rows. first adds to the sums what the first pass over a row does.
func (n *rowNorm) emit(kind string, first func(j int, m mask)) {
	again, last := kind+"Again", kind+"Last"
	n.second(n.ahead, "SrcStride")
	n.clear(n.sum)
	n.pass(kind+"First", first)
	n.Label(again)
	n.second(n.dst, "DstStride")
	for r := range n.src {
		n.MOVQ(n.ahead[r], n.src[r])
	}
	variance, delta, x := n.value[0].AsY(), n.gain.AsY(), n.value[1].AsY()
	if kind == "mean" {
		n.totals(n.sum, variance, x)
		n.VBROADCASTSS(n.inverse, x)
		n.VMULPS(x, variance, variance)
		n.spread(n.value[0], n.mean)
		n.clear(n.sum)
		n.clear(n.rest)
		n.pass(kind+"Square", n.addSquare)
		n.totals(n.rest, delta, n.plus.AsY())
		n.totals(n.sum, variance, x)
		n.VBROADCASTSS(n.inverse, x)
		n.VMULPS(x, delta, delta)
		n.VMULPS(x, variance, variance)
		n.VFNMADD231PS(delta, delta, variance)
		// Of 0 and a NaN the instruction takes its second source, Go's first operand.
		n.VXORPS(x, x, x)
		n.VMAXPS(variance, x, variance)
	} else {
		n.totals(n.sum, variance, x)
		n.VBROADCASTSS(n.cols, x)
		n.VDIVPS(x, variance, variance)
	}
	// 1 / √(variance + Eps)
	n.VBROADCASTSS(n.field("Eps"), x)
	n.VADDPS(x, variance, variance)
	n.VSQRTPS(variance, variance)
	n.VMOVUPS(n.constant(1), x)
	n.VDIVPS(variance, x, variance)
	n.spread(n.value[0], n.rstd)
	if kind == "mean" {
		n.VMULPS(variance, delta, delta)
		n.spread(n.gain, n.offset)
	}
	n.SUBQ(U8(rowsTogether), n.rows)
	n.JLE(LabelRef(last))
	n.stride("SrcStride", n.tmp)
	n.LEAQ(Mem{Base: n.src[1], Index: n.tmp, Scale: 1}, n.ahead[0])
	n.second(n.ahead, "SrcStride")
	n.clear(n.sum)
	n.pass(kind+"Both", func(j int, m mask) {
		n.apply(j, m, kind == "mean")
		first(j, m)
	})
	n.stride("DstStride", n.tmp)
	n.LEAQ(Mem{Base: n.dst[1], Index: n.tmp, Scale: 1}, n.dst[0])
	n.JMP(LabelRef(again))
	n.Label(last)
	n.pass(kind+"Apply", func(j int, m mask) { n.apply(j, m, kind == "mean") })
	n.ret()
}

// second sets the second row's pointer from the first's.
func (n *rowNorm) second(rows []reg.GPPhysical, stride string) {
	n.MOVQ(rows[0], rows[1])
	n.stride(stride, n.tmp)
	n.ADDQ(rows[0], n.tmp)
	n.CMPQ(n.rows, U8(1))
	n.CMOVQGT(n.tmp, rows[1])
}

// operand is the j-th vector of sixteen columns.
func (n *rowNorm) operand(base reg.Register, j int) Mem {
	return Mem{Base: base, Index: n.at, Scale: 1, Disp: j * n.Bytes()}
}

// pass emits body for every vector of a row, sixteen columns at a time, the last of them masked.
func (n *rowNorm) pass(name string, body func(j int, m mask)) {
	rest, done := name+"Rest", name+"Done"
	n.XORQ(n.at, n.at)
	n.get("Cols", n.left)
	n.SUBQ(U8(rowLanes), n.left)
	n.JL(LabelRef(rest))
	n.align(32)
	n.Label(name)
	for j := range n.tails {
		body(j, all)
	}
	n.ADDQ(U8(4*rowLanes), n.at)
	n.SUBQ(U8(rowLanes), n.left)
	n.JGE(LabelRef(name))
	n.Label(rest)
	n.ADDQ(U8(rowLanes), n.left)
	n.JZ(LabelRef(done))
	for j, m := range n.tails {
		body(j, m)
	}
	n.Label(done)
}

func (n *rowNorm) clear(sums [][]reg.VecPhysical) {
	for _, sum := range sums {
		for _, s := range sum {
			n.zero(s)
		}
	}
}

// addAhead adds the values of the rows ahead to the sums.
func (n *rowNorm) addAhead(j int, m mask) {
	for r, p := range n.ahead {
		sum, v := n.sum[r][j], n.value[r]
		if m == all {
			n.VADDPS(n.operand(p, j), sum, sum)
			continue
		}
		n.load(n.operand(p, j), m, v)
		n.VADDPS(v, sum, sum)
	}
}

// addSquareAhead adds the squares of the rows ahead to the sums.
func (n *rowNorm) addSquareAhead(j int, m mask) {
	for r, p := range n.ahead {
		n.load(n.operand(p, j), m, n.value[r])
		n.VFMADD231PS(n.value[r], n.value[r], n.sum[r][j])
	}
}

// addSquare adds values less their mean to the rest, and their squares to the sums, and fetches the lines of
// the result.
func (n *rowNorm) addSquare(j int, m mask) {
	for r, p := range n.src {
		v := n.value[r]
		n.load(n.operand(p, j), m, v)
		switch {
		case m == all:
			n.VSUBPS(n.mean[r], v, v)
		case n.wide():
			n.VSUBPS_Z(n.mean[r], v, m.r, v)
		default:
			n.VSUBPS(n.mean[r], v, v)
			n.VANDPS(m.r, v, v)
		}
		n.VFMADD231PS(v, v, n.sum[r][j])
		n.VADDPS(v, n.rest[r][j], n.rest[r][j])
		if m == all && j*n.Bytes()%cacheLine == 0 {
			n.PREFETCHT0(n.operand(n.dst[r], j))
		}
	}
}

// apply writes ((x − mean)·rstd − offset)·(Plus + Scale) + Shift, without mean and offset where they are 0.
func (n *rowNorm) apply(j int, m mask, mean bool) {
	n.VBROADCASTSS(n.field("Plus"), n.plus)
	if m == all {
		n.VADDPS(n.operand(n.scale, j), n.plus, n.gain)
	} else {
		n.load(n.operand(n.scale, j), m, n.gain)
		n.VADDPS(n.plus, n.gain, n.gain)
	}
	shift := n.plus
	n.load(n.operand(n.shift, j), m, shift)
	for r, src := range n.src {
		n.load(n.operand(src, j), m, n.value[r])
	}
	for r, dst := range n.dst {
		v := n.value[r]
		if mean {
			n.VSUBPS(n.mean[r], v, v)
			n.VFMSUB213PS(n.offset[r], n.rstd[r], v)
		} else {
			n.VMULPS(n.rstd[r], v, v)
		}
		n.VFMADD213PS(shift, n.gain, v)
		n.store(v, m, n.operand(dst, j))
	}
}

// totals adds the lanes of each row's sum by halves: the first row's total into all lower lanes of x, the
// second's into all upper ones. It writes to tmp.
func (n *rowNorm) totals(sums [][]reg.VecPhysical, x, tmp reg.Register) {
	for _, sum := range sums {
		s, half := sum[0].AsY(), tmp
		if n.wide() {
			n.VEXTRACTF64X4(U8(1), sum[0], half)
		} else {
			half = sum[1]
		}
		n.VADDPS(half, s, s)
	}
	a, b := sums[0][0].AsY(), sums[1][0].AsY()
	n.VPERM2F128(U8(0x20), b, a, x)   // a0 to a3, b0 to b3
	n.VPERM2F128(U8(0x31), b, a, tmp) // a4 to a7, b4 to b7
	n.VADDPS(tmp, x, x)
	n.VPERMILPD(U8(0b0101), x, tmp) // of each four the other two
	n.VADDPS(tmp, x, x)
	n.VPERMILPS(U8(0b10_11_00_01), x, tmp) // of each two the other one
	n.VADDPS(tmp, x, x)
}

// spread sets all lanes of the first row's register to the lower lanes of from, of the second's to the upper ones.
func (n *rowNorm) spread(from reg.VecPhysical, into []reg.VecPhysical) {
	if n.wide() {
		n.VSHUFF32X4(U8(0b00_00_00_00), from, from, into[0])
		n.VSHUFF32X4(U8(0b01_01_01_01), from, from, into[1])
	} else {
		n.VPERM2F128(U8(0x00), from, from, into[0])
		n.VPERM2F128(U8(0x11), from, from, into[1])
	}
}
