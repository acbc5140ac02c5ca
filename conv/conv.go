// Package conv convolves images in NHWC by weights that were laid out beforehand.
//
// There are several algorithms, which docs/convolution.md describes: Packed has a Plan that says which one
// Apply computes by, and Packed.With prepares the same weights for another. Pack's own is Direct, an implicit
// matrix multiplication whose rows are output pixels and whose operand is read straight from the image, a
// tap at a time, by pointers: there is no im2col buffer and, but of pixels of few channels, no padded copy. Winograd's take up to four times
// fewer multiplications for 3 × 3 taps, by tiles of which no more than a block is transformed at a time.
//
// No block size, worker count, batch or instruction set (but the generic one, whose emulated multiply-adds
// round twice) changes a bit of what an algorithm computes. Direct's outputs are each one chain of fused
// multiply-adds over kernel rows, kernel columns and input channels, in this order, that starts from
// its bias (of weights with very few output channels the sum of a chain for each tap: narrow.go); but for the
// sign of a zero: a tap beyond the image adds zeros or nothing, which with finite weights makes a difference
// to the sum −0 alone. Those of the others are as accurate: Options.Accuracy has the figures.
package conv

import (
	"fmt"
	"sync/atomic"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/tensor"
)

// Geometry is where a convolution's taps lie.
type Geometry struct {
	KH, KW, Stride           int
	Top, Left, Bottom, Right int // rows and columns of zeros around the image

	// Upsample reads src as if it had been enlarged to dst's size before, each pixel being its
	// nearest neighbour: row floor(y·h/H) for row y of H. The enlarged image does not exist. The
	// stride is 1, and Top+Bottom and Left+Right are KH−1 and KW−1.
	Upsample bool
}

// Same is the geometry of a k × k convolution, k odd, whose output is of its input's size.
func Same(k int) Geometry {
	return Geometry{KH: k, KW: k, Stride: 1, Top: k / 2, Left: k / 2, Bottom: k / 2, Right: k / 2}
}

// pointwise says whether an output pixel is a function of the input pixel at its place.
func (g Geometry) pointwise() bool {
	return g == Geometry{KH: 1, KW: 1, Stride: 1}
}

// Packed is the weight of a convolution laid out for one Set and one plan. It may be shared and used by several
// goroutines at once.
type Packed struct {
	Geometry
	In, Out int // channels
	panels  *gemm.Packed
	joined  *gemm.Packed // panels with the taps of a kernel row as one, where they are read so; or nil
	spread  *gemm.Packed // a column for each tap and output channel, where taps go into lanes; or nil
	plan    Plan
	stored  *transformed           // where the plan says so
	phases  *[4]*gemm.Packed       // where the plan is Phases
	others  *others                // the same weights for other plans
	tiling  atomic.Pointer[tiling] // the last one of a Winograd algorithm
}

// Pack lays out w, out × in × kh × kw as PyTorch stores it.
func Pack(e *engine.Engine, w []float32, out, in int, g Geometry) *Packed {
	switch {
	case g.KH < 1 || g.KW < 1 || g.Stride < 1 || g.Top < 0 || g.Left < 0 || g.Bottom < 0 || g.Right < 0:
		panic(fmt.Sprintf("conv: geometry %+v", g))
	case g.Upsample && (g.Stride != 1 || g.Top+g.Bottom != g.KH-1 || g.Left+g.Right != g.KW-1):
		panic(fmt.Sprintf("conv: upsampling by a convolution that changes the size: %+v", g))
	case out < 0 || in < 0 || len(w) != out*in*g.KH*g.KW:
		panic(fmt.Sprintf("conv: %d weights for %d×%d×%d×%d", len(w), out, in, g.KH, g.KW))
	}
	taps := g.KH * g.KW
	m := tensor.Mat{Rows: out, Cols: in * taps, Stride: in * taps, Data: w}
	p := &Packed{Geometry: g, In: in, Out: out, panels: gemm.PackTaps(e, m, taps), plan: Plan{Algorithm: Direct}, others: new(others)}
	if p.joins() {
		p.joined = p.panels.Joined(g.KW)
	}
	if p.spreads() {
		p.spread = p.packSpread(e, w)
	}
	return p
}

// Bytes returns how much memory the weights take that Apply reads: those that the plan keeps, or else
// those that Pack laid out.
func (p *Packed) Bytes() int {
	if kept := p.Kept(); kept > 0 {
		return kept
	}
	return p.panels.Bytes()
}

// Kept returns how much memory the weights take that the plan keeps besides those that Pack laid out.
func (p *Packed) Kept() int {
	switch {
	case p.stored != nil:
		return 4 * len(p.stored.data)
	case p.phases != nil:
		return len(p.phases) * p.phases[0].Bytes()
	}
	return 0
}

// Size returns the size of the output for an input of h × w pixels; with Upsample for one that is
// enlarged to twice its size. It is 0 where the kernel does not fit.
func (p *Packed) Size(h, w int) (oh, ow int) {
	if p.Upsample {
		h, w = 2*h, 2*w
	}
	return max(0, (h+p.Top+p.Bottom-p.KH+p.Stride)/p.Stride), max(0, (w+p.Left+p.Right-p.KW+p.Stride)/p.Stride)
}

// Apply computes, for output channel o of pixel (n, y, x),
//
//	sum := bias[o]
//	for ky := range KH {
//		for kx := range KW {
//			for i := range In {
//				sum += pro(src)[n][y·Stride+ky−Top][x·Stride+kx−Left][i] · w[o][i][ky][kx]
//			}
//		}
//	}
//	dst[n][y][x][o] = act(sum) + add[n][y][x][o]
//
// by w's plan, where src is 0 outside of its image, after the prologue. The rows that pro and ep speak of are
// pixels: (n·H+y)·W+x. dst may be ep.Add; otherwise it overlaps no operand. With Upsample, dst may
// have any size. Where ep speaks of parts of images, Winograd's algorithms give way to Direct. Apply panics
// where shapes do not fit, each other or the plan.
func Apply(e *engine.Engine, dst, src tensor.NHWC, w *Packed, pro gemm.Prologue, ep gemm.Epilogue) {
	dst.Check("conv: dst")
	src.Check("conv: src")
	oh, ow := w.Size(src.H, src.W)
	if dst.N != src.N || src.C != w.In || dst.C != w.Out || !w.Upsample && (dst.H != oh || dst.W != ow) {
		panic(fmt.Sprintf("conv: src %s, dst %s for weights of %d→%d channels, %+v", src.Shape(), dst.Shape(), w.In, w.Out, w.Geometry))
	}
	pro.Check(src.N*src.H*src.W, src.C)
	if !w.Fits(w.plan.Algorithm, src.H, src.W, dst.H, dst.W) {
		panic(fmt.Sprintf("conv: %v of src %s to dst %s, %+v", w.plan, src.Shape(), dst.Shape(), w.Geometry))
	}
	if w.plan.Algorithm.Tiled() && dst.N%ep.Images() == 0 && src.H*src.W > 0 {
		w.winograd(e, dst, src, pro, ep)
		return
	}
	if w.plan.Algorithm == Phases && dst.N%ep.Images() == 0 {
		w.phased(e, dst, src, pro, ep)
		return
	}
	w.direct(e, dst, src, pro, ep)
}
