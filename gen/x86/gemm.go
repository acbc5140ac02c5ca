package x86

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

var tileArgs = mirror("TileArgs", `
	Rows Cols Segments K int
	A B Init slice
	InitStride int
	Add slice
	AddStride int
	Dst slice
	DstStride int
	Ahead slice`)

// gemm emits Tile: one body for each number of rows, chosen at entry.
//
// Register plan: MR·NR/Lanes accumulators, NR/Lanes vectors of B, the rest hold broadcasts of A.
// A's rows are read in place, each by a pointer of its own that is indexed by k, so all fifteen
// general registers are taken: up to twelve rows, k, B, and Ahead.
//
//	AVX-512: 12×32: 24 + 2 + 6 registers; 24 FMA for 14 loads
//	AVX2:     6×16: 12 + 2 + 2 registers; 12 FMA for 8 loads
func gemm(e *emitter) {
	e.function("Tile", tileArgs, "Tile is kernels.GEMM.Tile; args points to a kernels.TileArgs.")
	rows := reg.RCX
	var l locals
	for _, m := range []*Mem{&l.segments, &l.table, &l.count, &l.whole} {
		*m = e.AllocLocal(8)
	}
	e.get("Rows", rows)
	for r := e.MR; r > 1; r-- {
		e.CMPQ(rows, U8(r))
		e.JEQ(LabelRef(fmt.Sprintf("rows%d", r)))
	}
	for r := 1; r <= e.MR; r++ {
		e.Label(fmt.Sprintf("rows%d", r))
		(&tile{emitter: e, rows: r, locals: l}).emit()
	}
}

// tile is the body for one number of rows.
type tile struct {
	*emitter
	locals
	rows int
}

// locals are what the general registers have no room for.
type locals struct {
	segments, table Mem // segments still to do, and the next one's row pointers
	count, whole    Mem // K, and how much of it the unrolled loop does
}

// unroll is how many k go into one round of the loop: enough to make its own cost vanish, and few
// enough that the code of all row counts stays in the first-level cache.
const unroll = 4

const cacheLine = 64 // bytes

var rowPointers = []reg.GPPhysical{
	reg.RDX, reg.RSI, reg.RDI, reg.R8, reg.R9, reg.R10, reg.R11, reg.R12, reg.R13, reg.R14, reg.R15, reg.RCX,
}

func (t *tile) vectors() int                 { return t.NR / t.Lanes }
func (t *tile) acc(r, j int) reg.VecPhysical { return t.Regs[r*t.vectors()+j] }
func (t *tile) b(j int) reg.VecPhysical      { return t.Regs[t.MR*t.vectors()+j] }
func (t *tile) spare(i int) reg.VecPhysical  { return t.Regs[(t.MR+1)*t.vectors()+i%t.spares()] }
func (t *tile) spares() int                  { return len(t.Regs) - (t.MR+1)*t.vectors() }
func (t *tile) label(name string) string     { return fmt.Sprintf("%s%d", name, t.rows) }
func (t *tile) jump(name string) LabelRef    { return LabelRef(t.label(name)) }
func (t *tile) each(f func(r, j int)) {
	for r := range t.rows {
		for j := range t.vectors() {
			f(r, j)
		}
	}
}

func (t *tile) emit() {
	t.ask()
	t.init()
	t.sum()
	t.finish()
	t.ret()
}

// tailMasks makes the masks for Cols columns, in registers that are free outside the sum.
func (t *tile) tailMasks(cols reg.GPPhysical) []mask {
	if t.wide() {
		return t.masks(cols, reg.R8, reg.R9, reg.K1, reg.K2)
	}
	return t.masks(cols, reg.R8, reg.R9, t.b(0), t.b(1))
}

// ask has the lines of Dst fetched, which are written when the sum is done.
func (t *tile) ask() {
	dst, stride := reg.RDX, reg.RSI
	t.get("Dst", dst)
	t.stride("DstStride", stride)
	for r := range t.rows {
		for line := 0; line < 4*t.NR; line += cacheLine {
			t.PREFETCHT0(Mem{Base: dst, Disp: line})
		}
		if r+1 < t.rows {
			t.ADDQ(stride, dst)
		}
	}
}

// init sets the accumulators: c := Init, or 0.
func (t *tile) init() {
	src, stride, cols := reg.RDX, reg.RSI, reg.RDI
	rows := func(masks []mask) {
		for r := range t.rows {
			for j := range t.vectors() {
				t.load(t.vector(src, j), masks[j], t.acc(r, j))
			}
			if r+1 < t.rows {
				t.ADDQ(stride, src)
			}
		}
		t.JMP(t.jump("sum"))
	}
	t.get("Init", src)
	t.TESTQ(src, src)
	t.JZ(t.jump("zero"))
	t.stride("InitStride", stride)
	t.get("Cols", cols)
	t.CMPQ(cols, U8(t.NR))
	t.JNE(t.jump("initTail"))
	rows([]mask{all, all})
	t.Label(t.label("initTail"))
	rows(t.tailMasks(cols))
	t.Label(t.label("zero"))
	t.each(func(r, j int) { t.zero(t.acc(r, j)) })
	t.Label(t.label("sum"))
}

// sum runs the chains: for each segment, for each k: c += A[r][k]·B[k].
func (t *tile) sum() {
	k, b, ahead := reg.RAX, reg.RBX, reg.RBP
	t.get("Segments", reg.RCX)
	t.MOVQ(reg.RCX, t.segments)
	t.get("A", reg.RCX)
	t.MOVQ(reg.RCX, t.table)
	t.get("B", b)
	t.get("Ahead", ahead)
	t.TESTQ(ahead, ahead)
	t.CMOVQEQ(b, ahead) // B is at hand: asking for it costs nothing
	t.get("K", reg.RCX)
	t.MOVQ(reg.RCX, t.count)
	t.ANDQ(I8(-unroll), reg.RCX)
	t.MOVQ(reg.RCX, t.whole)

	// step adds one k, at displacement u from index k.
	step := func(u int) {
		for j := range t.vectors() {
			t.VMOVUPS(Mem{Base: b, Disp: (u*t.vectors() + j) * t.Bytes()}, t.b(j))
		}
		for r := range t.rows {
			a := t.spare(r)
			t.VBROADCASTSS(Mem{Base: rowPointers[r], Index: k, Scale: 4, Disp: 4 * u}, a)
			for j := range t.vectors() {
				t.VFMADD231PS(t.b(j), a, t.acc(r, j))
			}
		}
	}
	advance := func(n int) {
		t.ADDQ(I8(n), k)
		t.ADDQ(I32(n*t.NR*4), b)
	}

	t.Label(t.label("segment"))
	t.MOVQ(t.table, k)
	for r := range t.rows {
		t.MOVQ(Mem{Base: k, Disp: 8 * r}, rowPointers[r])
	}
	t.ADDQ(I32(8*t.MR), t.table)
	t.XORQ(k, k)
	t.CMPQ(k, t.whole)
	t.JEQ(t.jump("rest"))
	t.align(32)
	t.Label(t.label("loop"))
	for u := range unroll {
		step(u)
		if line := u * t.NR; line%cacheLine == 0 { // NR bytes for each k
			t.PREFETCHT1(Mem{Base: ahead, Disp: line})
		}
	}
	advance(unroll)
	t.ADDQ(I32(unroll*t.NR), ahead)
	t.CMPQ(k, t.whole)
	t.JLT(t.jump("loop"))
	t.Label(t.label("rest"))
	t.CMPQ(k, t.count)
	t.JGE(t.jump("next"))
	step(0)
	advance(1)
	t.JMP(t.jump("rest"))
	t.Label(t.label("next"))
	t.DECQ(t.segments)
	t.JNZ(t.jump("segment"))
}

// finish adds Add, if any, and stores.
func (t *tile) finish() {
	dst, dstStride, add, addStride, cols := reg.RDX, reg.RSI, reg.RBX, reg.RCX, reg.RDI
	t.reload(reg.RAX)
	t.get("Dst", dst)
	t.stride("DstStride", dstStride)
	t.get("Add", add)
	t.stride("AddStride", addStride)
	t.get("Cols", cols)
	rows := func(name string, masks []mask) {
		t.TESTQ(add, add)
		t.JZ(t.jump(name + "Store"))
		for r := range t.rows {
			for j := range t.vectors() {
				v := t.spare(j)
				t.load(t.vector(add, j), masks[j], v)
				t.VADDPS(v, t.acc(r, j), t.acc(r, j))
			}
			if r+1 < t.rows {
				t.ADDQ(addStride, add)
			}
		}
		t.Label(t.label(name + "Store"))
		for r := range t.rows {
			for j := range t.vectors() {
				t.store(t.acc(r, j), masks[j], t.vector(dst, j))
			}
			if r+1 < t.rows {
				t.ADDQ(dstStride, dst)
			}
		}
	}
	t.CMPQ(cols, U8(t.NR))
	t.JNE(t.jump("tail"))
	rows("whole", []mask{all, all})
	t.ret()
	t.Label(t.label("tail"))
	rows("tail", t.tailMasks(cols))
}
