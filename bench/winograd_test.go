package bench

import (
	"fmt"
	"testing"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/winograd"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// BenchmarkWinograd is the transforms of fast convolutions alone, on a row of tiles that stays in the
// first-level cache (c=32, one tile) or the second (c=320, eight tiles). Its GB/s count every value once that is
// read or written; cycles/vector is what a tile of one vector of channels takes on a core that does
// two multiply-adds in a cycle.
func BenchmarkWinograd(b *testing.B) {
	for _, op := range []struct {
		name string
		args func(set *kernels.Set, x *winograd.Transform, kind kernels.Winograd, tiles, channels int) (call func(), values int)
	}{{"input", winogradInput}, {"output", winogradOutput}, {"weights", winogradWeights}} {
		for _, kind := range winograd.Kinds() {
			for _, size := range []struct{ tiles, channels int }{{1, 32}, {8, 320}} {
				each(b, kerneltest.Name("op", op.name, "kind", fmt.Sprintf("F%d", kind.Transform().Outputs), "c", size.channels), 0, func(b *testing.B, e *engine.Engine) {
					if e.Workers() > 1 {
						b.Skip("the kernel is one worker's")
					}
					call, values := op.args(e.Set(), kind.Transform(), kind, size.tiles, size.channels)
					for b.Loop() {
						call()
					}
					traffic(b, values)
					lanes := float64(e.Set().GEMM.Lanes)
					vectors := float64(size.tiles*size.channels) / lanes * float64(b.N)
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/vectors*peak(b, e.Set(), 1)/(4*lanes), "cycles/vector")
				})
			}
		}
	}
}

// apart keeps the points of a transform out of each other's sets of a cache.
const apart = 16 // values

// tileRow returns the addresses of size×size pixels of each of some tiles that begin step pixels after
// one another, in an image that is one row of tiles.
func tileRow(tiles, size, step, channels int) (pixels []*float32, values int) {
	width := step*(tiles-1) + size
	image := tensor.Aligned(size * width * channels)
	copy(image, random(len(image)))
	for i := range tiles {
		for y := range size {
			for x := range size {
				pixels = append(pixels, &image[(y*width+i*step+x)*channels])
			}
		}
	}
	return pixels, len(image)
}

func winogradInput(set *kernels.Set, x *winograd.Transform, kind kernels.Winograd, tiles, channels int) (func(), int) {
	points, stride := x.Points*x.Points, tiles*channels+apart
	args := &kernels.WinogradInputArgs{
		Kind: kind, Tiles: tiles, Cols: channels,
		Dst: tensor.Aligned(points * stride), PointStride: stride, DstStride: channels, Temp: tensor.Aligned(kernels.WinogradTemp),
	}
	values := 0
	args.Pixels, values = tileRow(tiles, x.Points, x.Outputs, channels)
	return func() { set.WinogradInput(args) }, values + points*tiles*channels
}

func winogradOutput(set *kernels.Set, x *winograd.Transform, kind kernels.Winograd, tiles, channels int) (func(), int) {
	points, stride := x.Points*x.Points, tiles*channels+apart
	args := &kernels.WinogradOutputArgs{
		Kind: kind, Tiles: tiles, Cols: channels, Src: tensor.Aligned(points * stride), PointStride: stride, SrcStride: channels,
		Bias: random(channels), Temp: tensor.Aligned(kernels.WinogradTemp),
	}
	copy(args.Src, random(len(args.Src)))
	values := 0
	args.Dst, values = tileRow(tiles, x.Outputs, x.Outputs, channels)
	return func() { set.WinogradOutput(args) }, values + points*tiles*channels
}

func winogradWeights(set *kernels.Set, x *winograd.Transform, kind kernels.Winograd, tiles, channels int) (func(), int) {
	points, n := x.Points*x.Points, tiles*channels
	args := &kernels.WinogradWeightsArgs{
		Kind: kind, N: n, Taps: tensor.Aligned(x.Taps * x.Taps * n), TapStride: n,
		Dst: tensor.Aligned(points * (n + apart)), PointStride: n + apart, Temp: tensor.Aligned(kernels.WinogradTemp),
	}
	copy(args.Taps, random(len(args.Taps)))
	return func() { set.WinogradWeights(args) }, (x.Taps*x.Taps + points) * n
}
