package kernels_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

// tileCase is one call of GEMM.Tile on random operands that end where readable memory ends.
type tileCase struct {
	rows, cols, segments, k int
	init, scale, add        bool
	initStride, stride      int // of Init; of Add and Dst
	from                    int // the first k
	apart                   int // values between rows of B
	seed                    uint64
}

func (c tileCase) String() string {
	return fmt.Sprintf("rows=%d/cols=%d/segments=%d/k=%d/init=%v,%d/scale=%v/add=%v/stride=%d/apart=%d/from=%d",
		c.rows, c.cols, c.segments, c.k, c.init, c.initStride, c.scale, c.add, c.stride, c.apart, c.from)
}

// operands lays the case out for a Set: every row of every segment is its own allocation's end.
func (c tileCase) operands(t testing.TB, g kernels.GEMM) (args kernels.TileArgs, a [][]float32) {
	args = kernels.TileArgs{Rows: c.rows, Cols: c.cols, Segments: c.segments, K: c.k, From: c.from}
	args.AStride = c.segments*g.MR + c.from // more pointers than it needs
	a = make([][]float32, c.segments*c.rows)
	args.A = make([]*float32, (c.rows+g.MR-1)/g.MR*args.AStride)
	for i := range a {
		row := kerneltest.Guard(t, c.from+c.k)
		a[i] = row[c.from:]
		copy(a[i], kerneltest.Random(c.seed+uint64(i), c.k))
		if s, r := i/c.rows, i%c.rows; c.k > 0 {
			args.A[r/g.MR*args.AStride+s*g.MR+r%g.MR] = &row[0]
		}
	}
	// The same B for every NR: column j of row k is a function of (k, j).
	width := g.Width(c.cols)
	args.BStride = width + c.apart
	if n := c.segments * c.k; n > 0 {
		args.B = kerneltest.Guard(t, (n-1)*args.BStride+width)
		for k := range n {
			copy(args.B[k*args.BStride:][:width], kerneltest.Random(c.seed+1000+uint64(k), 64))
		}
	}
	if c.init {
		args.InitStride = c.initStride
		args.Init = kerneltest.Guard(t, (c.rows-1)*c.initStride+c.cols)
		copy(args.Init, kerneltest.Random(c.seed+1, len(args.Init)))
	}
	if c.scale {
		args.Scale = kerneltest.Guard(t, c.cols)
		copy(args.Scale, kerneltest.Random(c.seed+3, c.cols))
	}
	extent := (c.rows-1)*c.stride + c.cols
	if c.add {
		args.AddStride = c.stride
		args.Add = kerneltest.Guard(t, extent)
		copy(args.Add, kerneltest.Random(c.seed+2, extent))
	}
	args.DstStride = c.stride
	args.Dst = kerneltest.Guard(t, extent)
	kerneltest.Fill(args.Dst)
	if c.seed%2 == 0 {
		args.Ahead = kerneltest.Guard(t, 1+c.k) // shorter than what is asked for
		args.Fetch, args.FetchStride = args.Ahead, 1000
	}
	return args, a
}

// check compares args.Dst with the sum in float64, within the bound of a chain of k roundings.
func (c tileCase) check(t testing.TB, args kernels.TileArgs, a [][]float32) {
	t.Helper()
	got := make([]float32, 0, c.rows*c.cols)
	want := make([]float64, 0, c.rows*c.cols)
	bound := make([]float64, 0, c.rows*c.cols)
	for r := range c.rows {
		for j := range c.cols {
			var sum, abs float64
			if c.init {
				sum = float64(args.Init[r*c.initStride+j])
				abs = math.Abs(sum)
			}
			for s := range c.segments {
				for k := range c.k {
					p := float64(a[s*c.rows+r][k]) * float64(args.B[(s*c.k+k)*args.BStride+j])
					sum += p
					abs += math.Abs(p)
				}
			}
			if c.scale {
				sum *= float64(args.Scale[j])
				abs *= math.Abs(float64(args.Scale[j]))
			}
			if c.add {
				sum += float64(args.Add[r*c.stride+j])
				abs += math.Abs(float64(args.Add[r*c.stride+j]))
			}
			got = append(got, args.Dst[r*c.stride+j])
			want = append(want, sum)
			bound = append(bound, float64(c.segments*c.k+3)*0x1p-24*abs)
		}
	}
	kerneltest.Near(t, "Dst", got, want, func(i int) float64 { return bound[i] })
	for i, v := range args.Dst {
		if r, j := i/c.stride, i%c.stride; j >= c.cols && r < c.rows && !kerneltest.Untouched(v) {
			t.Fatalf("row %d, column %d was written", r, j)
		}
	}
}

func TestTile(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		g := set.GEMM
		for rows := 1; rows <= 2*g.MR+1; rows++ {
			for _, cols := range edges(g) {
				for i, k := range []int{0, 1, 3, 4, 5, 8, 37} {
					c := tileCase{
						apart: (rows + i) % 2 * 3, from: (rows + i) % 3 * 4,
						rows: rows, cols: cols, segments: 1 + (rows+i)%3, k: k,
						init: i%2 == 0, initStride: []int{0, cols, cols + 3}[i%3],
						scale: i%4 == 1, add: i%3 == 0, stride: cols + i%3*5, seed: uint64(rows*100 + cols*10 + k),
					}
					args, a := c.operands(t, g)
					g.Tile(&args)
					c.check(t, args, a)
					if t.Failed() {
						t.Fatal(c)
					}
				}
			}
		}
	})
}

// edges are column counts around the edges of a panel's vectors.
func edges(g kernels.GEMM) (cols []int) {
	for v := 0; v < g.NR; v += g.Lanes {
		for _, c := range []int{v + 1, v + g.Lanes - 1, v + g.Lanes} {
			if len(cols) == 0 || c > cols[len(cols)-1] {
				cols = append(cols, c)
			}
		}
	}
	return cols
}

// Dst may be Add or Init.
func TestTileInPlace(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		g := set.GEMM
		for _, cols := range []int{g.NR - 1, g.NR} {
			c := tileCase{rows: g.MR + 2, cols: cols, segments: 2, k: 9, init: true, initStride: cols + 2, add: true, stride: cols + 2, seed: 5}
			args, _ := c.operands(t, g)
			g.Tile(&args)
			for _, overlap := range []string{"Add", "Init"} {
				again := args
				again.Dst = append([]float32(nil), args.Add...)
				if overlap == "Add" {
					again.Add = again.Dst
				} else {
					copy(again.Dst, args.Init)
					again.Init = again.Dst
				}
				g.Tile(&again)
				for r := range c.rows {
					kerneltest.Same(t, overlap, again.Dst[r*c.stride:][:cols], args.Dst[r*c.stride:][:cols])
				}
			}
		}
	})
}

// All Sets but generic give the same bits, whatever the number of rows and columns asked at once.
func TestTileSameBits(t *testing.T) {
	var first []float32
	for _, set := range kernels.Available() {
		if set.ISA == kernels.Generic {
			continue
		}
		g := set.GEMM
		const cols = 11
		got := make([]float32, 0, 12*cols)
		for row := range 12 {
			for rows := 1; rows <= min(g.MR, 2); rows++ { // as the only row, and as the first of two
				c := tileCase{rows: 1, cols: cols, segments: 3, k: 50, init: true, stride: cols, seed: uint64(row)}
				args, _ := c.operands(t, g)
				if rows == 2 {
					for s := range c.segments {
						args.A[s*g.MR+1] = args.A[s*g.MR]
					}
					args.Rows, args.Dst = 2, make([]float32, 2*cols)
				}
				g.Tile(&args)
				if rows == 1 {
					got = append(got, args.Dst[:cols]...)
				} else {
					kerneltest.Same(t, "first of two rows", args.Dst[:cols], got[len(got)-cols:])
				}
			}
		}
		if first == nil {
			first = got
		}
		kerneltest.Same(t, set.ISA.String(), got, first)
	}
}

// NaN and infinities pass through the chain as IEEE 754 says; 0·∞ is NaN even for a zero weight.
func TestTileSpecials(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	tiny, milli := float32(1e-38), float32(1e-3)
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		g := set.GEMM
		for _, c := range []struct{ a, b, want float32 }{
			{inf, 1, inf}, {inf, -1, -inf}, {inf, 0, nan}, {nan, 0, nan}, {0, nan, nan}, {3e38, 10, inf},
			{tiny, milli, tiny * milli}, {0, 5, 0}, {0, -5, 0}, // 0 + −0 is 0
		} {
			args := kernels.TileArgs{Rows: 1, Cols: 1, Segments: 1, K: 1, A: make([]*float32, g.MR),
				B: make([]float32, g.NR), BStride: g.NR, Dst: make([]float32, 1), DstStride: 1}
			args.A[0], args.B[0] = &c.a, c.b
			g.Tile(&args)
			kerneltest.Same(t, fmt.Sprintf("%g·%g", c.a, c.b), args.Dst, []float32{c.want})
		}
	})
}

// A chain starts from its Init: −0 stays −0 while nothing but −0 is added, and a NaN stays one.
func TestTileSpecialInit(t *testing.T) {
	zero, nan := float32(math.Copysign(0, -1)), float32(math.NaN())
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		g := set.GEMM
		for _, c := range []struct{ init, a, b, want float32 }{
			{zero, 0, -1, zero}, {zero, 0, 1, 0}, {0, 0, -1, 0}, {nan, 1, 1, nan},
			{float32(math.Inf(1)), float32(math.Inf(-1)), 1, nan}, {math.MaxFloat32, math.MaxFloat32, 1, float32(math.Inf(1))},
		} {
			args := kernels.TileArgs{Rows: 1, Cols: 1, Segments: 1, K: 1, A: make([]*float32, g.MR), Init: []float32{c.init},
				B: make([]float32, g.Lanes), BStride: g.Lanes, Dst: make([]float32, 1), DstStride: 1}
			args.A[0], args.B[0] = &c.a, c.b
			g.Tile(&args)
			kerneltest.Same(t, fmt.Sprintf("%g + %g·%g", c.init, c.a, c.b), args.Dst, []float32{c.want})
		}
	})
}

func FuzzTile(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(7), uint8(2), uint8(5), uint8(3))
	f.Fuzz(func(t *testing.T, seed uint64, rows, cols, segments, k, flags uint8) {
		r := rand.New(rand.NewPCG(seed, 0))
		for _, set := range kernels.Available() {
			g := set.GEMM
			c := tileCase{rows: 1 + int(rows)%(3*g.MR), cols: 1 + int(cols)%g.NR, segments: 1 + int(segments)%5, k: int(k) % 70,
				init: flags&1 != 0, scale: flags&4 != 0, add: flags&2 != 0, seed: seed}
			c.stride = c.cols + r.IntN(9)
			c.initStride = []int{0, c.cols + r.IntN(3)}[r.IntN(2)]
			c.apart, c.from = r.IntN(4), r.IntN(9)
			args, a := c.operands(t, g)
			g.Tile(&args)
			c.check(t, args, a)
		}
	})
}
