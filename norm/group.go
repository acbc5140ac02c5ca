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
// the image. groups divides C. act is free where it is Identity or SiLU.
//
// The statistics come from one pass, in float32 over blocks of pixels about a value of the block
// and in float64 from there, so a mean that is large beside the spread does not cancel.
func Group(e *engine.Engine, dst, src tensor.NHWC, groups int, a Affine, act kernels.Act) {
	group(e, dst, src, groups, a, tensor.Mat{}, tensor.Mat{}, act)
}

// AdaGroup is Group followed, before act, by ·(1 + scale) + shift with a row of scale and shift
// for each image and a column for each channel.
func AdaGroup(e *engine.Engine, dst, src tensor.NHWC, groups int, a Affine, scale, shift tensor.Mat, act kernels.Act) {
	checkModulation("norm: scale", scale, src.N, src.C)
	checkModulation("norm: shift", shift, src.N, src.C)
	group(e, dst, src, groups, a, scale, shift, act)
}

func group(e *engine.Engine, dst, src tensor.NHWC, groups int, a Affine, scale, shift tensor.Mat, act kernels.Act) {
	dst.Check("norm: dst")
	src.Check("norm: src")
	if !dst.SameShape(src) {
		panic(fmt.Sprintf("norm: src %s, dst %s", src.Shape(), dst.Shape()))
	}
	if groups <= 0 || src.C%groups != 0 {
		panic(fmt.Sprintf("norm: %d groups of %d channels", groups, src.C))
	}
	a.check("norm", src.C)
	if src.N*src.H*src.W*src.C == 0 {
		return
	}
	j := groupJobs.Get().(*groupJob)
	j.dst, j.src, j.affine, j.scale, j.shift, j.act = dst, src, a, scale, shift, act
	j.groups, j.size, j.pixels = groups, src.C/groups, src.H*src.W
	j.run(e)
	j.dst, j.src, j.affine, j.scale, j.shift = tensor.NHWC{}, tensor.NHWC{}, Affine{}, tensor.Mat{}, tensor.Mat{}
	groupJobs.Put(j)
}

var groupJobs = sync.Pool{New: func() any { return new(groupJob) }}

// groupJob is one call of Group or AdaGroup.
type groupJob struct {
	dst, src     tensor.NHWC
	affine       Affine
	scale, shift tensor.Mat // without Data for Group
	act          kernels.Act

	groups int // in an image
	size   int // channels in a group
	pixels int // in an image
	slice  int // groups in a tile, where tiles are ranges of channels

	moments []moments // images × groups
	sums    []float32 // images × blocks × (sums, squares) × channels, where tiles are blocks of pixels
	apply   []float32 // images × (means, scales, shifts) × channels
}

// blockPixels is how many pixels are summed in float32 before float64 takes over. A block's sums
// are off by at most 64 ulp, and adding one to its group costs as much as summing eight pixels.
const blockPixels = 128

// resident is how many bytes of src a tile may read so that it finds most of them in its core's
// second-level cache (1 to 2 MiB where there is a large image to compute) when it comes back to them.
const resident = 1536 << 10

// lineFloats is how many channels share a cache line.
const lineFloats = 16

// run computes the norm. Statistics and result need src twice. Where the channels of an image
// can be cut into ranges of whole groups that fill whole cache lines, and a range of all pixels
// stays in a cache, a tile is such a range, and the second reading is nearly free. Otherwise
// tiles are blocks of pixels, in one region for the statistics and another for the result.
func (j *groupJob) run(e *engine.Engine) {
	n, c := j.src.N, j.src.C
	j.moments = resize(j.moments, n*j.groups)
	j.apply = resize(j.apply, 3*n*c)
	if slices := j.cut(e.Workers()); slices > 0 {
		e.For(n*slices, engine.Scratch{Floats: 2 * j.slice * j.size}, (*groupSlices)(j))
		return
	}
	blocks := j.blocks()
	j.sums = resize(j.sums, 2*n*blocks*c)
	e.For(n*blocks, engine.Scratch{}, (*groupSums)(j))
	e.For(n*j.groups, engine.Scratch{}, (*groupMerge)(j))
	e.For(n*blocks, engine.Scratch{}, (*groupApply)(j))
}

// tilesPerWorker is how many ranges of channels a worker is given where there are enough groups:
// more balance better, fewer make longer rows.
const tilesPerWorker = 2

// cut chooses how many groups make a range of channels and returns how many ranges there are in
// an image, 0 if there is no good choice.
func (j *groupJob) cut(workers int) int {
	unit := lineFloats / gcd(lineFloats, j.size) // groups that fill whole cache lines
	bytes := 4 * unit * j.size * j.pixels
	if bytes > resident || j.src.N*j.groups < workers*unit {
		return 0
	}
	units := (j.groups + unit - 1) / unit
	wide := min(resident/bytes, max(1, j.src.N*units/(tilesPerWorker*workers)), units)
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
func (j *groupJob) blocks() int { return (j.pixels + blockPixels - 1) / blockPixels }

// block returns channels c0 up to c1 of block b of image n of t.
func (j *groupJob) block(t tensor.NHWC, n, b, c0, c1 int) tensor.Mat {
	first := n * j.pixels
	return t.Tokens().Slice(first+b*blockPixels, first+min((b+1)*blockPixels, j.pixels)).Columns(c0, c1)
}

// measure takes a block's moments about its first pixel.
func measure(w *engine.Worker, m tensor.Mat, sum, square []float32) {
	args := &w.Args.Moments
	*args = kernels.MomentsArgs{
		Rows: m.Rows, Cols: m.Cols, Src: m.Data, Stride: m.Stride, Ref: m.Row(0), Sum: sum, Square: square,
	}
	w.Set.Moments(args)
}

// moments are those of a group: sums of x − about and of its square.
type moments struct{ about, sum, square float64 }

// add takes in the moments of rows values a channel about ref: with d = ref − about,
//
//	Σ(x − about) = Σ(x − ref) + rows·d
//	Σ(x − about)² = Σ(x − ref)² + d·(2Σ(x − ref) + rows·d)
func (m *moments) add(rows int, ref, sum, square []float32) {
	n, about := float64(rows), m.about
	total, squares := m.sum, m.square
	sum, square = sum[:len(ref)], square[:len(ref)]
	for c, ref := range ref {
		d, s := float64(ref)-about, float64(sum[c])
		nd := float64(n * d)
		total += s + nd
		squares += float64(square[c]) + float64(d*(2*s+nd))
	}
	m.sum, m.square = total, squares
}

// finish turns image n's group g of moments into what the kernel applies to each channel.
func (j *groupJob) finish(n, g int) {
	m := &j.moments[n*j.groups+g]
	count := float64(j.pixels * j.size)
	offset := m.sum / count
	mean := m.about + offset
	variance := max(m.square/count-float64(offset*offset), 0)
	rstd := 1 / math.Sqrt(variance+float64(j.affine.Eps))
	mean32 := float32(mean)
	rest := mean - float64(mean32) // goes into the shift
	means, scales, shifts := j.applied(n, g*j.size, (g+1)*j.size)
	for i := range means {
		c := g*j.size + i
		gamma, beta := j.affine.at(c)
		if j.scale.Data != nil {
			gain := 1 + float64(j.scale.Data[n*j.scale.Stride+c])
			gamma *= gain
			beta = float64(beta*gain) + float64(j.shift.Data[n*j.shift.Stride+c])
		}
		scale := gamma * rstd
		means[i], scales[i], shifts[i] = mean32, float32(scale), float32(beta-float64(rest*scale))
	}
}

// applied returns the vectors that the kernel applies to channels c0 up to c1 of image n.
func (j *groupJob) applied(n, c0, c1 int) (means, scales, shifts []float32) {
	c := j.src.C
	a := j.apply[3*n*c:]
	return a[c0:c1], a[c+c0 : c+c1], a[2*c+c0 : 2*c+c1]
}

// normalise writes channels c0 up to c1 of block b of image n.
func (j *groupJob) normalise(w *engine.Worker, n, b, c0, c1 int) {
	src, dst := j.block(j.src, n, b, c0, c1), j.block(j.dst, n, b, c0, c1)
	args := &w.Args.Affine
	*args = kernels.AffineArgs{
		Rows: src.Rows, Cols: src.Cols, Src: src.Data, SrcStride: src.Stride,
		Act: j.act, Dst: dst.Data, DstStride: dst.Stride,
	}
	args.Mean, args.Scale, args.Shift = j.applied(n, c0, c1)
	w.Set.Affine(args)
}

// start returns the moments of group g of image n with nothing in them yet, about the first value
// of the group.
func (j *groupJob) start(n, g int) *moments {
	m := &j.moments[n*j.groups+g]
	*m = moments{about: float64(j.src.Data[n*j.pixels*j.src.Stride+g*j.size])}
	return m
}

// groupSlices does a range of channels of an image from start to end.
type groupSlices groupJob

func (s *groupSlices) Tile(w *engine.Worker, tile int) {
	j := (*groupJob)(s)
	slices := (j.groups + j.slice - 1) / j.slice
	n, g0 := tile/slices, tile%slices*j.slice
	g1 := min(g0+j.slice, j.groups)
	c0, c1 := g0*j.size, g1*j.size
	sums := w.Floats()
	sum, square := sums[:c1-c0], sums[c1-c0:2*(c1-c0)]
	for g := g0; g < g1; g++ {
		j.start(n, g)
	}
	for b := range j.blocks() {
		m := j.block(j.src, n, b, c0, c1)
		measure(w, m, sum, square)
		for g := g0; g < g1; g++ {
			lo, hi := (g-g0)*j.size, (g-g0+1)*j.size
			j.moments[n*j.groups+g].add(m.Rows, m.Data[lo:hi], sum[lo:hi], square[lo:hi])
		}
	}
	for g := g0; g < g1; g++ {
		j.finish(n, g)
	}
	// The pixels read last are the most likely to be in a cache still.
	for b := j.blocks() - 1; b >= 0; b-- {
		j.normalise(w, n, b, c0, c1)
	}
}

// groupSums takes the moments of one block of pixels.
type groupSums groupJob

func (s *groupSums) Tile(w *engine.Worker, tile int) {
	j := (*groupJob)(s)
	n, b := tile/j.blocks(), tile%j.blocks()
	sum, square := j.blockSums(tile)
	measure(w, j.block(j.src, n, b, 0, j.src.C), sum, square)
}

// blockSums is where the moments of a block are, blocks of all images in a row.
func (j *groupJob) blockSums(block int) (sum, square []float32) {
	c := j.src.C
	s := j.sums[2*block*c:]
	return s[:c], s[c : 2*c]
}

// groupMerge merges the blocks of one group, in order.
type groupMerge groupJob

func (s *groupMerge) Tile(_ *engine.Worker, tile int) {
	j := (*groupJob)(s)
	n, g := tile/j.groups, tile%j.groups
	c0, c1 := g*j.size, (g+1)*j.size
	m := j.start(n, g)
	for b := range j.blocks() {
		block := j.block(j.src, n, b, c0, c1)
		sum, square := j.blockSums(n*j.blocks() + b)
		m.add(block.Rows, block.Row(0), sum[c0:c1], square[c0:c1])
	}
	j.finish(n, g)
}

// groupApply writes one block of pixels.
type groupApply groupJob

func (s *groupApply) Tile(w *engine.Worker, tile int) {
	j := (*groupJob)(s)
	j.normalise(w, tile/j.blocks(), tile%j.blocks(), 0, j.src.C)
}
