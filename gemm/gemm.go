// Package gemm multiplies matrices by weights that were laid out beforehand, and fuses what
// surrounds a linear layer into the multiplication: a norm or an activation where its input is
// read, and bias, activation, gating and residual where its output is stored. General multiplies
// matrices as they lie, transposed or not, and lays out what it has to on the way.
//
// Each output element is one chain of fused multiply-adds in rising k that starts from its bias. No
// block size, worker count or batch changes a bit of it, nor does the format that weights are kept in,
// nor the instruction set, but for the generic one, whose emulated multiply-adds round twice.
package gemm

import (
	"fmt"
	"sync"
	"unsafe"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/tensor"
)

// Mul computes
//
//	dst = gate·act(pro(a)·wᵀ + bias) + add
//
// for a of m × w.In and dst of m × w.Out, or for weights of PackGLU
//
//	dst = (pro(a)·valueᵀ + bias) · act(pro(a)·gateᵀ + bias') + add
//
// pro and ep say what pro, bias, act, gate and add are; their zero values leave them out. dst may be
// ep.Add; otherwise it overlaps no operand. Mul panics where shapes do not fit, or where w was
// packed for another Set than e's.
func Mul(e *engine.Engine, dst, a tensor.Mat, w *Packed, pro Prologue, ep Epilogue) {
	a.Check("gemm: a")
	if w.taps != 1 {
		panic(fmt.Sprintf("gemm: weights packed for %d taps", w.taps))
	}
	if a.Cols != w.In || a.Rows != dst.Rows {
		panic(fmt.Sprintf("gemm: a is %d×%d for dst of %d×%d and weights of %d→%d", a.Rows, a.Cols, dst.Rows, dst.Cols, w.In, w.Out))
	}
	pro.Check(a.Rows, a.Cols)
	m := muls.Get().(*mul)
	m.a, m.pro = a, pro
	if m.Begin(e, dst, w, ep) {
		scratch := 0
		if pro.Active() {
			scratch = m.BlockRows() * RowStride(m.chunks.longest())
		}
		m.Run(e, scratch, m)
	}
	*m = mul{}
	muls.Put(m)
}

var muls = sync.Pool{New: func() any { return new(mul) }}

// mul is one call of Mul.
type mul struct {
	Product
	a   tensor.Mat
	pro Prologue
}

// Tile does one task.
func (m *mul) Tile(w *engine.Worker, task int) {
	b := m.Block(w, task)
	for i := range m.Chunks() {
		c := m.Chunk(i)
		m.point(w, &b, c)
		m.Multiply(w, &b, c)
	}
}

// point says where the rows of the block are for a chunk of the chain.
func (m *mul) point(w *engine.Worker, b *Block, c Chunk) {
	if c.K == 0 {
		return
	}
	from := tensor.Mat{Rows: b.Rows, Cols: c.K, Stride: m.a.Stride, Data: m.a.Data[b.Row*m.a.Stride+c.From:]}
	if m.pro.Active() {
		to := tensor.Mat{Rows: b.Rows, Cols: c.K, Stride: RowStride(c.K), Data: b.Scratch}
		m.pro.Apply(w, to, from, b.Row, m.a.Rows, c.From, m.w)
		from = to
	}
	base, step := unsafe.Pointer(unsafe.SliceData(from.Data)), uintptr(from.Stride)*unsafe.Sizeof(float32(0))
	for t := range b.Tiles {
		r0, r1 := b.TileRows(t)
		pointers := b.Pointers(t, c)
		for r := r0; r < r1; r++ {
			pointers[r-r0] = (*float32)(unsafe.Add(base, uintptr(r)*step))
		}
	}
}

// RowStride is the stride of rows of n values in scratch: whole cache lines, and an odd number
// of them, so that no two rows of a tile share a cache set.
func RowStride(n int) int { return (n+15)/16*16 | 16 }
