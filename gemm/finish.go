package gemm

import (
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// Placement is where the rows of C lie among those of dst: row r is row
//
//	First + r/Run·Jump + r%Run·Step
//
// of dst and of what is added to it. The zero value is the same row.
type Placement struct{ Rows, Run, First, Jump, Step int }

// run returns where the run of row r ends, at end at the latest, and where r is in dst, and how far
// from each other are those that follow.
func (at *Placement) run(r, end int) (to, row, step int) {
	line, x := r/at.Run, r%at.Run
	return min(end, r-x+at.Run), at.First + line*at.Jump + x*at.Step, at.Step
}

// finish does what is left to do with rows r0 up to r1 of one unit, in one span of an image, when
// their sums are complete.
func (p *Product) finish(w *engine.Worker, b *Block, unit, image, r0, r1 int) {
	column, cols := unit*p.w.set.GEMM.NR, p.w.columns(unit)
	if p.staged {
		for from := r0; from < r1; {
			to, row, step := r1, from, 1
			if p.place.Run > 0 {
				to, row, step = p.place.run(from, r1)
			}
			p.store(w, b, unit, image, from, to, row, step)
			from = to
		}
	}
	if p.ep.Moments != nil {
		ref, sum, square := p.ep.Moments.Block(image, (r0-image*p.rows.perImage)/tensor.MomentPixels)
		from := p.dst.Row(r0)[column : column+cols]
		copy(ref[column:], from)
		m := &w.Args.Moments
		*m = kernels.MomentsArgs{
			Rows: r1 - r0, Cols: cols, Src: p.dst.Data[r0*p.dst.Stride+column:], Stride: p.dst.Stride,
			Ref: from, Sum: sum[column:], Square: square[column:],
		}
		w.Set.Moments(m)
		*m = kernels.MomentsArgs{}
	}
}

// store takes the sums of rows r0 up to r1 of one unit, in one span of an image, to dst: to every
// step-th of its rows from row on.
func (p *Product) store(w *engine.Worker, b *Block, unit, image, r0, r1, row, step int) {
	nr := p.w.set.GEMM.NR
	column := unit * nr
	a := &w.Args.Activate
	*a = kernels.ActivateArgs{
		Rows: r1 - r0, Cols: p.w.columns(unit), Act: p.ep.Act,
		Src: b.sumsOf(unit, 0, r0), SrcStride: nr,
		Dst: p.dst.Data[row*p.dst.Stride+column:], DstStride: step * p.dst.Stride,
	}
	if p.w.GLU {
		a.Value, a.ValueStride = a.Src, nr
		a.Src = b.sumsOf(unit, 1, r0)
	}
	if p.ep.Gate.Data != nil {
		a.Value, a.ValueStride = p.ep.Gate.Row(image)[column:], 0
	}
	if p.ep.Add.Data != nil {
		a.Add, a.AddStride = p.ep.Add.Data[row*p.ep.Add.Stride+column:], step*p.ep.Add.Stride
	}
	w.Set.Activate(a)
	*a = kernels.ActivateArgs{}
}
