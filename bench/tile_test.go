package bench

import (
	"testing"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// BenchmarkTile is the GEMM micro-kernel alone, on a panel of B and eleven tiles of rows that stay in
// the private caches: up to k = 128 on AVX-512 in the first level.
func BenchmarkTile(b *testing.B) {
	for _, k := range []int{64, 128, 256, 512, 1024} {
		const tiles = 11
		each(b, kerneltest.Name("k", k), 0, func(b *testing.B, e *engine.Engine) {
			if e.Workers() > 1 {
				b.Skip("the kernel is one worker's")
			}
			g := &e.Set().GEMM
			rows, stride := tiles*g.MR, k+16 // no two rows in one set of a cache
			a, panel, c := tensor.Aligned(rows*stride), tensor.Aligned(k*g.NR), tensor.Aligned(rows*g.NR)
			copy(a, random(len(a)))
			copy(panel, random(len(panel)))
			args := &kernels.TileArgs{
				Rows: rows, Cols: g.NR, Segments: 1, K: k, A: make([]*float32, rows), AStride: g.MR,
				B: panel, BStride: g.NR, Dst: c, DstStride: g.NR,
			}
			for r := range args.A {
				args.A[r] = &a[r*stride]
			}
			for b.Loop() {
				g.Tile(args)
			}
			report(b, 2*float64(rows*g.NR*k), e.Set(), 1)
		})
	}
}
