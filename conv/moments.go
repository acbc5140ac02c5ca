package conv

import (
	"sync"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// gather is the job of filling moments with those of dst, a block each, of which no task of a fast
// convolution computes all pixels.
type gather struct {
	dst tensor.Mat
	m   *tensor.Moments
}

var gathers = sync.Pool{New: func() any { return new(gather) }}

// gatherMoments fills m with the moments of dst.
func gatherMoments(e *engine.Engine, dst tensor.NHWC, m *tensor.Moments) {
	g := gathers.Get().(*gather)
	g.dst, g.m = dst.Tokens(), m
	e.For(m.Images*m.Blocks(), engine.Scratch{}, g)
	*g = gather{}
	gathers.Put(g)
}

// Tile takes the moments of one block.
func (g *gather) Tile(w *engine.Worker, i int) {
	image, block := i/g.m.Blocks(), i%g.m.Blocks()
	r0, end := image*g.m.Pixels+block*tensor.MomentPixels, (image+1)*g.m.Pixels
	rows := g.dst.Slice(r0, min(r0+tensor.MomentPixels, end))
	ref, sum, square := g.m.Block(image, block)
	copy(ref, rows.Row(0))
	a := &w.Args.Moments
	*a = kernels.MomentsArgs{
		Rows: rows.Rows, Cols: rows.Cols, Src: rows.Data, Stride: rows.Stride, Ref: ref, Sum: sum, Square: square,
	}
	w.Set.Moments(a)
	*a = kernels.MomentsArgs{}
}
