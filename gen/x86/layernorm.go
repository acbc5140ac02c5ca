package x86

import (
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

// rowNorm emits LayerNorm. Two rows at a time go through passes for their mean, for their variance and
// for the result, each hiding what the other waits for; the last of these is also the first of the next
// two rows, so that memory is read and written all the time.
//
// Each row is reached by pointers of its own. Where only one is left it stands for two, which is then
// written twice: a pass reads sixteen columns of both before it writes any, so that Dst may be Src.
type rowNorm struct {
	*emitter
	rows, at, left, tmp reg.GPPhysical
	scale, shift        reg.GPPhysical
	src, ahead, dst     []reg.GPPhysical // of each row: to normalise, to sum, to write
	cols                Mem              // Cols as a float32

	sum        [][]reg.VecPhysical // sixteen lanes of each row
	mean, rstd []reg.VecPhysical   // of each row
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
		mean: take(rowsTogether), rstd: take(rowsTogether), value: take(rowsTogether), gain: take(1)[0], plus: take(1)[0],
	}
	for range rowsTogether {
		n.sum = append(n.sum, take(rowLanes/e.Lanes))
	}
	masks := []reg.Register{reg.K1}
	if !e.wide() {
		masks = []reg.Register{regs[0], regs[1]}
	}

	n.get("Rows", n.rows)
	n.TESTQ(n.rows, n.rows)
	n.JZ(LabelRef("end"))
	n.get("Cols", n.left)
	x := n.value[0].AsX()
	n.VXORPS(x, x, x)
	n.VCVTSI2SSQ(n.left, x, x)
	n.VMOVSS(x, n.cols)
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
	n.clearSums()
	n.pass(kind+"First", first)
	n.Label(again)
	n.second(n.dst, "DstStride")
	for r := range n.src {
		n.MOVQ(n.ahead[r], n.src[r])
	}
	if kind == "mean" {
		n.totals()
		n.spread(n.mean)
		n.clearSums()
		n.pass(kind+"Square", n.addSquare)
	}
	n.totals()
	// 1 / √(total + Eps)
	total, x := n.value[0].AsX(), n.value[1].AsX()
	n.VBROADCASTSS(n.field("Eps"), x)
	n.VADDPS(x, total, total)
	n.VSQRTPS(total, total)
	n.VMOVUPS(n.constant(1), x)
	n.VDIVPS(total, x, total)
	n.spread(n.rstd)
	n.SUBQ(U8(rowsTogether), n.rows)
	n.JLE(LabelRef(last))
	n.stride("SrcStride", n.tmp)
	n.LEAQ(Mem{Base: n.src[1], Index: n.tmp, Scale: 1}, n.ahead[0])
	n.second(n.ahead, "SrcStride")
	n.clearSums()
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

func (n *rowNorm) clearSums() {
	for _, sum := range n.sum {
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

// addSquare adds the squares of values less their mean to the sums, and fetches the lines of the result.
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
		if m == all && j*n.Bytes()%cacheLine == 0 {
			n.PREFETCHT0(n.operand(n.dst[r], j))
		}
	}
}

// apply writes (x − mean)·rstd·(Plus + Scale) + Shift, without mean where it is 0.
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
		}
		n.VMULPS(n.rstd[r], v, v)
		n.VFMADD213PS(shift, n.gain, v)
		n.store(v, m, n.operand(dst, j))
	}
}

// totals sets the first two lanes of the first value to the rows' sums, added by halves and divided by Cols.
func (n *rowNorm) totals() {
	for r, sum := range n.sum {
		s, half := sum[0], n.value[r]
		if n.wide() {
			n.VEXTRACTF64X4(U8(1), s, half.AsY())
			n.VADDPS(half.AsY(), s.AsY(), s.AsY())
		} else {
			n.VADDPS(sum[1], s, s)
		}
		n.VEXTRACTF128(U8(1), s.AsY(), half.AsX())
		n.VADDPS(half.AsX(), s.AsX(), s.AsX())
	}
	// What is left of them is a0 to a3 and b0 to b3.
	x, y, a, b := n.value[0].AsX(), n.value[1].AsX(), n.sum[0][0].AsX(), n.sum[1][0].AsX()
	n.VUNPCKLPS(b, a, x)     // a0 b0 a1 b1
	n.VUNPCKHPS(b, a, y)     // a2 b2 a3 b3
	n.VADDPS(y, x, x)        // of both even, of both odd
	n.VPERMILPD(U8(1), x, y) // the odd
	n.VADDPS(y, x, x)
	n.VBROADCASTSS(n.cols, y)
	n.VDIVPS(y, x, x)
}

// spread sets all lanes of each row's register to the lane of the first value that is the row's.
func (n *rowNorm) spread(into []reg.VecPhysical) {
	x, y := n.value[0].AsX(), n.value[1].AsX()
	n.VMOVSHDUP(x, y)
	n.VBROADCASTSS(x, into[0])
	n.VBROADCASTSS(y, into[1])
}
