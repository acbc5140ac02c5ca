package norm

import (
	"fmt"
	"math"
	"sync"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// Group normalises each image over its pixels and over groups of adjacent channels:
//
//	dst = act((src − mean)/√(variance + a.Eps)·a.Scale[c] + a.Shift[c])
//
// with the mean and the (biased) variance of the C/groups channels of c's group over all pixels of
// the image. groups divides C. act is applied in the same pass, whichever it is.
//
// The statistics come from one pass, in float32 over blocks of pixels about a value of the block
// and in float64 from there, so a mean that is large beside the spread does not cancel. That pass is
// left out, with the same result to the bit, where a.Moments holds what it would find.
func Group(e *engine.Engine, dst, src tensor.NHWC, groups int, a Affine, act kernels.Act) {
	j := beginGroup(src, groups, a, tensor.Mat{}, tensor.Mat{})
	j.write(e, dst, act)
}

// AdaGroup is Group followed, before act, by ·(1 + scale) + shift with a row of scale and shift
// for each image and a column for each channel.
func AdaGroup(e *engine.Engine, dst, src tensor.NHWC, groups int, a Affine, scale, shift tensor.Mat, act kernels.Act) {
	checkModulation("norm: scale", scale, src.N, src.C)
	checkModulation("norm: shift", shift, src.N, src.C)
	j := beginGroup(src, groups, a, scale, shift)
	j.write(e, dst, act)
}

// beginGroup returns a job for src, after it has checked all but where the result goes.
func beginGroup(src tensor.NHWC, groups int, a Affine, scale, shift tensor.Mat) *groupJob {
	src.Check("norm: src")
	if groups <= 0 || src.C%groups != 0 {
		panic(fmt.Sprintf("norm: %d groups of %d channels", groups, src.C))
	}
	a.check("norm", src.C)
	if m := a.Moments; m != nil && (m.Images != src.N || m.Pixels != src.H*src.W || m.Channels != src.C) {
		panic(fmt.Sprintf("norm: moments of %d images of %d×%d for %s", m.Images, m.Pixels, m.Channels, src.Shape()))
	}
	j := groupJobs.Get().(*groupJob)
	j.src, j.affine, j.scale, j.shift = src, a, scale, shift
	j.groups, j.size, j.pixels = groups, src.C/groups, src.H*src.W
	return j
}

// write does the norm, and gives the job back.
func (j *groupJob) write(e *engine.Engine, dst tensor.NHWC, act kernels.Act) {
	dst.Check("norm: dst")
	if !dst.SameShape(j.src) {
		panic(fmt.Sprintf("norm: src %s, dst %s", j.src.Shape(), dst.Shape()))
	}
	n, c := j.src.N, j.src.C
	j.own = resize(j.own, 3*n*c)
	part := func(i int) tensor.Mat { return tensor.Mat{Rows: n, Cols: c, Stride: c, Data: j.own[i*n*c : (i+1)*n*c]} }
	j.dst, j.act, j.to = dst, act, Coefficients{part(0), part(1), part(2)}
	j.end(e)
}

// end runs the job, if there is anything to do, and gives it back.
func (j *groupJob) end(e *engine.Engine) {
	if j.src.N*j.src.C*j.pixels > 0 {
		j.run(e)
	}
	j.dst, j.src, j.affine, j.scale, j.shift, j.to = tensor.NHWC{}, tensor.NHWC{}, Affine{}, tensor.Mat{}, tensor.Mat{}, Coefficients{}
	groupJobs.Put(j)
}

var groupJobs = sync.Pool{New: func() any { return new(groupJob) }}

// groupJob is one call of Group, AdaGroup or their coefficients.
type groupJob struct {
	dst, src     tensor.NHWC // dst without Data where coefficients are all that is asked for
	affine       Affine
	scale, shift tensor.Mat // without Data for Group
	act          kernels.Act
	to           Coefficients // in own, unless they are asked for

	groups int // in an image
	size   int // channels in a group
	pixels int // in an image
	slice  int // groups in a tile, where a tile is a range of channels

	moments []moments // images × blocks × groups
	own     []float32 // three matrices
	shares  []share   // by worker, where a tile is a block of pixels
}

// run computes the norm. Statistics and result need src twice, and a large image fits no cache.
//
// A tile is a block of pixels, in one region for the statistics and another for the result, where
// each worker starts with what it has read last: whole rows of memory are the fastest to stream. Only
// where there are fewer blocks than workers ask for, as of the small images deep in a U-Net, a tile
// is a range of channels from start to end. Coefficients are what lies between the two.
func (j *groupJob) run(e *engine.Engine) {
	n, c, blocks := j.src.N, j.src.C, j.blocks()
	merges := (n*j.groups + j.merged() - 1) / j.merged()
	if j.dst.Data == nil && j.affine.Moments != nil {
		e.For(merges, engine.Scratch{}, (*groupMerge)(j))
		return
	}
	j.moments = resize(j.moments, n*blocks*j.groups)
	if slices := j.cut(e.Workers()); slices > 0 {
		e.For(n*slices, engine.Scratch{Floats: 2 * j.slice * j.size}, (*groupSlices)(j))
		return
	}
	j.shares = resize(j.shares, e.Workers())
	for i := range j.shares {
		j.shares[i].reset(n * blocks)
	}
	if j.affine.Moments == nil {
		e.For(n*blocks, engine.Scratch{Floats: 2 * c}, (*groupSums)(j))
	} else {
		for b := range n * blocks {
			j.shares[b*len(j.shares)/(n*blocks)].keep(b)
		}
	}
	e.For(merges, engine.Scratch{}, (*groupMerge)(j))
	if j.dst.Data != nil {
		e.For(n*blocks, engine.Scratch{}, (*groupApply)(j))
	}
}

const (
	lineFloats     = 16 // channels that share a cache line
	sliceFloats    = 64 // channels worth a row of their own
	tilesPerWorker = 2  // so many, at least, even out what workers differ by
)

// cut chooses how many groups make a range of channels and returns how many ranges there are in
// an image, or 0 for blocks of pixels. Ranges fill whole cache lines.
func (j *groupJob) cut(workers int) int {
	n, blocks := j.src.N, j.blocks()
	unit := lineFloats / gcd(lineFloats, j.size)
	units := (j.groups + unit - 1) / unit
	if n*blocks >= tilesPerWorker*workers || blocks >= units {
		return 0
	}
	wide := max(n*units/(tilesPerWorker*workers), sliceFloats/(unit*j.size), 1)
	if n*((units+wide-1)/wide) < workers {
		wide = max(n*units/workers, 1)
	}
	slices := (units + wide - 1) / wide
	j.slice = (units + slices - 1) / slices * unit // even ranges
	return (j.groups + j.slice - 1) / j.slice
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// blocks is how many blocks of pixels an image has.
func (j *groupJob) blocks() int { return (j.pixels + tensor.MomentPixels - 1) / tensor.MomentPixels }

// block returns channels c0 up to c1 of block b of image n of t.
func (j *groupJob) block(t tensor.NHWC, n, b, c0, c1 int) tensor.Mat {
	first := n * j.pixels
	return t.Tokens().Slice(first+b*tensor.MomentPixels, first+min((b+1)*tensor.MomentPixels, j.pixels)).Columns(c0, c1)
}

// measure takes the moments of groups g0 up to g1 in block b of image n.
func (j *groupJob) measure(w *engine.Worker, n, b, g0, g1 int) {
	m := j.block(j.src, n, b, g0*j.size, g1*j.size)
	sum, square := w.Floats()[:m.Cols], w.Floats()[m.Cols:2*m.Cols]
	args := &w.Args.Moments
	*args = kernels.MomentsArgs{
		Rows: m.Rows, Cols: m.Cols, Src: m.Data, Stride: m.Stride, Ref: m.Row(0), Sum: sum, Square: square,
	}
	w.Set.Moments(args)
	merged := j.blockMoments(n, b)
	for g := g0; g < g1; g++ {
		lo, hi := (g-g0)*j.size, (g-g0+1)*j.size
		merged[g] = merge(m.Rows, m.Data[lo:hi], sum[lo:hi], square[lo:hi])
	}
}

// blockMoments are those of the groups in block b of image n.
func (j *groupJob) blockMoments(n, b int) []moments {
	return j.moments[(n*j.blocks()+b)*j.groups:][:j.groups]
}

// momentsOf are those of group g in block b of image n.
func (j *groupJob) momentsOf(n, b, g int) moments {
	given := j.affine.Moments
	if given == nil {
		return j.blockMoments(n, b)[g]
	}
	ref, sum, square := given.Block(n, b)
	lo, hi := g*j.size, (g+1)*j.size
	return merge(min(tensor.MomentPixels, j.pixels-b*tensor.MomentPixels), ref[lo:hi], sum[lo:hi], square[lo:hi])
}

// finish merges the blocks of group g of image n, in order, into what the kernel applies to its
// channels.
func (j *groupJob) finish(n, g int) {
	m := j.momentsOf(n, 0, g)
	for b := 1; b < j.blocks(); b++ {
		m.add(j.momentsOf(n, b, g))
	}
	offset := m.sum / m.count
	mean := m.about + offset
	variance := max(m.square/m.count-float64(offset*offset), 0)
	rstd := 1 / math.Sqrt(variance+float64(j.affine.Eps))
	mean32 := float32(mean)
	lo, hi := g*j.size, (g+1)*j.size
	means, scales, shifts := j.to.of(n, lo, hi)
	for i := range means {
		means[i] = mean32
	}
	f := fold{rstd: rstd, rest: mean - float64(mean32)}
	f.gamma, f.beta = part(j.affine.Scale, lo, hi), part(j.affine.Shift, lo, hi)
	if j.scale.Data != nil {
		f.gain, f.offset = j.scale.Row(n)[lo:hi], j.shift.Row(n)[lo:hi]
	}
	f.write(scales, shifts)
}

// normalise writes channels c0 up to c1 of block b of image n.
func (j *groupJob) normalise(w *engine.Worker, n, b, c0, c1 int) {
	src, dst := j.block(j.src, n, b, c0, c1), j.block(j.dst, n, b, c0, c1)
	args := &w.Args.Affine
	*args = kernels.AffineArgs{
		Rows: src.Rows, Cols: src.Cols, Src: src.Data, SrcStride: src.Stride,
		Act: j.act, Dst: dst.Data, DstStride: dst.Stride,
	}
	args.Mean, args.Scale, args.Shift = j.to.of(n, c0, c1)
	w.Set.Affine(args)
}

// groupSlices does a range of channels of an image from start to end.
type groupSlices groupJob

func (s *groupSlices) Tile(w *engine.Worker, tile int) {
	j := (*groupJob)(s)
	slices := (j.groups + j.slice - 1) / j.slice
	n, g0 := tile/slices, tile%slices*j.slice
	g1 := min(g0+j.slice, j.groups)
	if j.affine.Moments == nil {
		for b := range j.blocks() {
			j.measure(w, n, b, g0, g1)
		}
	}
	for g := g0; g < g1; g++ {
		j.finish(n, g)
	}
	if j.dst.Data == nil {
		return
	}
	for b := j.blocks() - 1; b >= 0; b-- {
		j.normalise(w, n, b, g0*j.size, g1*j.size)
	}
}

// groupSums takes the moments of a block of pixels.
type groupSums groupJob

func (s *groupSums) Tile(w *engine.Worker, tile int) {
	j := (*groupJob)(s)
	j.measure(w, tile/j.blocks(), tile%j.blocks(), 0, j.groups)
	j.shares[w.Index].keep(tile)
}

// groupMerge merges the blocks of a few groups.
type groupMerge groupJob

func (s *groupMerge) Tile(_ *engine.Worker, tile int) {
	j := (*groupJob)(s)
	for g := tile * j.merged(); g < min((tile+1)*j.merged(), j.src.N*j.groups); g++ {
		j.finish(g/j.groups, g%j.groups)
	}
}

// mergeSteps is how many blocks and channels a tile of merging takes on: some 10 µs, below which one
// worker is sooner done than another has joined in.
const mergeSteps = 1024

// merged is how many groups a tile merges.
func (j *groupJob) merged() int { return max(1, mergeSteps/(j.blocks()+j.size)) }

// groupApply writes a block of pixels: one that the worker itself has read, the last first, as long
// as there are any.
type groupApply groupJob

func (s *groupApply) Tile(w *engine.Worker, _ int) {
	j := (*groupJob)(s)
	for i := range j.shares {
		if block, ok := j.shares[(w.Index+i)%len(j.shares)].take(); ok {
			j.normalise(w, block/j.blocks(), block%j.blocks(), 0, j.src.C)
			return
		}
	}
	panic("norm: more tiles than blocks")
}
