package kernels_test

import (
	"math"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/ref"
	"github.com/lanewise/lanewise/internal/winograd"
	"github.com/lanewise/lanewise/kernels"
)

// winogradCols are numbers of channels about a vector or two of every maker, and primes.
var winogradCols = []int{0, 1, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 31, 32, 33, 53, 64}

// A grid is some points or pixels of some tiles: that of point a, tile i and channel c lies at
// a·point + i·tile + c. Its last element is the last before an unreadable page.
type grid struct {
	points, tiles, cols int
	point, tile         int // strides
	data                []float32
}

// newGrid makes one of random values, or of nothing but marks where seed is 0. Points lie side by
// side within a tile where inner is set, otherwise tiles within a point; rows are pad elements apart.
func newGrid(t testing.TB, seed uint64, points, tiles, cols, pad int, inner bool) *grid {
	g := &grid{points: points, tiles: tiles, cols: cols, point: (cols+pad)*tiles + pad, tile: cols + pad}
	if inner {
		g.point, g.tile = cols+pad, (cols+pad)*points+pad
	}
	if points*tiles*cols == 0 {
		return g
	}
	g.data = kerneltest.Guard(t, (points-1)*g.point+(tiles-1)*g.tile+cols)
	kerneltest.Fill(g.data)
	if seed != 0 {
		for i := range tiles {
			for a := range points {
				copy(g.row(a, i), kerneltest.Random(seed*10000+uint64(i*points+a), cols))
			}
		}
	}
	return g
}

func (g *grid) row(a, i int) []float32 {
	if g.cols == 0 {
		return nil
	}
	return g.data[a*g.point+i*g.tile:][:g.cols]
}

// column returns channel c of every point of tile i.
func (g *grid) column(i, c int) []float64 {
	x := make([]float64, g.points)
	for a := range x {
		x[a] = float64(g.row(a, i)[c])
	}
	return x
}

// spoil puts an infinity or NaN into a point of every fifth channel, a different one for each.
func (g *grid) spoil() {
	specials := []float32{float32(math.Inf(1)), float32(math.NaN()), float32(math.Inf(-1))}
	for i := range g.tiles {
		for c := 2; c < g.cols; c += 5 {
			g.row((7*c+i)%g.points, i)[c] = specials[c%3]
		}
	}
}

// untouched fails the test where something between the rows was written.
func (g *grid) untouched(t testing.TB, what string) {
	t.Helper()
	inside := make([]bool, len(g.data))
	for i := range g.tiles {
		for a := range g.points {
			for c := range g.cols {
				inside[a*g.point+i*g.tile+c] = true
			}
		}
	}
	for k, v := range g.data {
		if !inside[k] && !kerneltest.Untouched(v) {
			t.Fatalf("%s: wrote between rows, at %d", what, k)
		}
	}
}

// pixels returns the addresses of g's rows, tile by tile.
func (g *grid) pixels() []*float32 {
	p := make([]*float32, 0, g.points*g.tiles)
	for i := range g.tiles {
		for a := range g.points {
			if g.cols == 0 {
				p = append(p, nil)
				continue
			}
			p = append(p, &g.row(a, i)[0])
		}
	}
	return p
}

// A winogradCase is a call's shape.
type winogradCase struct {
	kind                   kernels.Winograd
	tiles, cols, from, pad int
	inner, spoiled         bool
}

func (c winogradCase) String() string {
	return kerneltest.Name("kind", c.kind, "tiles", c.tiles, "cols", c.cols, "from", c.from, "pad", c.pad,
		"inner", c.inner, "spoiled", c.spoiled)
}

// eachWinograd calls f for every kind and number of channels, with tiles, strides and offsets that vary.
func eachWinograd(f func(c winogradCase)) {
	for _, kind := range winograd.Kinds() {
		for i, cols := range winogradCols {
			f(winogradCase{kind: kind, tiles: 1 + i%3, cols: cols, from: i % 4 * i, pad: i % 5, inner: i%2 != 0})
		}
		f(winogradCase{kind: kind, tiles: 0, cols: 16})
		f(winogradCase{kind: kind, tiles: 2, cols: 61, from: 3, pad: 1, spoiled: true})
	}
}

// scratch is WinogradTemp values before an unreadable page.
func scratch(t testing.TB) []float32 { return kerneltest.Guard(t, kernels.WinogradTemp) }

// nearSandwich compares channel c of tile i with m x mᵀ. Along an axis every term of a value takes part in
// up to roundings roundings, those of its coefficients included.
func nearSandwich(t testing.TB, what string, got *grid, i, c int, m [][]float64, x []float64, roundings int) {
	t.Helper()
	want, abs := ref.Sandwich(m, x)
	values := make([]float32, got.points)
	for a := range values {
		values[a] = got.row(a, i)[c]
	}
	kerneltest.Near(t, kerneltest.Name(what+"/tile", i, "channel", c), values, want,
		func(a int) float64 { return 2.1 * float64(roundings) * ulp * abs[a] })
}

// newImage makes a grid of pixels with c.from columns that nobody may touch before those of random
// values (of marks where seed is 0), and returns it as a whole and as the rows of these.
func newImage(t testing.TB, seed uint64, points int, c winogradCase) (whole, rows *grid) {
	whole = newGrid(t, 0, points, c.tiles, c.from+c.cols, c.pad, c.inner)
	rows = &grid{points: points, tiles: c.tiles, cols: c.cols, point: whole.point, tile: whole.tile}
	if whole.data != nil {
		rows.data = whole.data[c.from:]
	}
	for i := range c.tiles {
		for a := range points {
			if seed != 0 {
				copy(rows.row(a, i), kerneltest.Random(seed*10000+uint64(i*points+a), c.cols))
			}
		}
	}
	return whole, rows
}

// runInput transforms random pixels, some of which are one row of zeros, and returns both.
func runInput(t testing.TB, set *kernels.Set, c winogradCase) (pixels, dst *grid) {
	t.Helper()
	x := c.kind.Transform()
	points := x.Points * x.Points
	whole, pixels := newImage(t, 1, points, c)
	if c.spoiled {
		pixels.spoil()
	}
	dst = newGrid(t, 0, points, c.tiles, c.cols, c.pad, !c.inner)
	args := kernels.WinogradInputArgs{
		Kind: c.kind, Tiles: c.tiles, Cols: c.cols, From: c.from, Pixels: whole.pixels(),
		Dst: dst.data, PointStride: dst.point, DstStride: dst.tile, Temp: scratch(t),
	}
	if zeros := kerneltest.Guard(t, c.from+c.cols); len(zeros) > 0 {
		for b := 0; b < len(args.Pixels); b += 7 {
			clear(pixels.row(b%points, b/points))
			args.Pixels[b] = &zeros[0]
		}
	}
	set.WinogradInput(&args)
	return pixels, dst
}

func TestWinogradInput(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		eachWinograd(func(c winogradCase) { checkInput(t, set, c) })
	})
}

// checkInput holds WinogradInput to the matrices. A value is a coefficient of Qᵢ times pᵢ at most, two
// roundings, in n multiply-adds.
func checkInput(t testing.TB, set *kernels.Set, c winogradCase) {
	t.Helper()
	x := c.kind.Transform()
	bt, _, _ := ref.Winograd(x.Outputs, x.Taps, x.Pairs)
	pixels, dst := runInput(t, set, c)
	for i := range c.tiles {
		for j := range c.cols {
			nearSandwich(t, c.String(), dst, i, j, bt, pixels.column(i, j), len(x.Pairs)+2)
		}
	}
	dst.untouched(t, c.String())
}

// outputOperands say which operands of WinogradOutput there are, and whether Add is Dst.
type outputOperands struct{ bias, scale, add, inPlace, outside bool }

// runOutput transforms random products and returns them, the pixels before and after, and the operands.
func runOutput(t testing.TB, set *kernels.Set, c winogradCase, o outputOperands) (src, before, dst, bias, scale *grid, stored []bool) {
	t.Helper()
	x := c.kind.Transform()
	src = newGrid(t, 1, x.Points*x.Points, c.tiles, c.cols, c.pad, c.inner)
	if c.spoiled {
		src.spoil()
	}
	pixels := x.Outputs * x.Outputs
	whole, added := newImage(t, 2, pixels, c)
	var seed uint64
	if o.inPlace {
		seed = 2 // what added has, which stays as it is
	}
	target, dst := newImage(t, seed, pixels, c)
	bias, scale = newGrid(t, 3, 1, 1, c.cols, 0, false), newGrid(t, 4, 1, 1, c.cols, 0, false)
	args := kernels.WinogradOutputArgs{
		Kind: c.kind, Tiles: c.tiles, Cols: c.cols, From: c.from, Src: src.data, PointStride: src.point, SrcStride: src.tile,
		Dst: target.pixels(), Temp: scratch(t),
	}
	if o.bias {
		args.Bias = bias.data
	}
	if o.scale {
		args.Scale = scale.data
	}
	if o.add {
		args.Add = whole.pixels()
		if o.inPlace {
			args.Add = target.pixels()
		}
	}
	stored = make([]bool, len(args.Dst))
	for b := range stored {
		stored[b] = !o.outside || (b*b+b/3)%4 != 1
		if !stored[b] {
			args.Dst[b] = nil
			if o.add {
				args.Add[b] = nil
			}
		}
	}
	set.WinogradOutput(&args)
	target.outsideUntouched(t, c, stored, o.inPlace)
	return src, added, dst, bias, scale, stored
}

// outsideUntouched fails the test where anything but stored pixels' columns from c.from on was
// written. kept says that the others have values.
func (g *grid) outsideUntouched(t testing.TB, c winogradCase, stored []bool, kept bool) {
	t.Helper()
	g.untouched(t, c.String())
	for i := range g.tiles {
		for b := range g.points {
			for k, v := range g.row(b, i) {
				if (k < c.from || !stored[i*g.points+b] && !kept) && !kerneltest.Untouched(v) {
					t.Fatalf("%v: wrote column %d of pixel %d of tile %d", c, k, b, i)
				}
			}
		}
	}
}

func TestWinogradOutput(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		variant := 0
		eachWinograd(func(c winogradCase) {
			// Each case has three of the 24 combinations of operands, seven further on than the last.
			for range 3 {
				v := variant % 24
				checkOutput(t, set, c, outputOperands{
					bias: v&1 != 0, scale: v&2 != 0, outside: v&4 != 0, add: v/8 > 0, inPlace: v/8 > 1,
				})
				variant++
			}
			variant += 4
		})
	})
}

// checkOutput holds WinogradOutput to the matrices. A term is a sum or difference times a power, which
// is rounded once, in up to n sums and one more.
func checkOutput(t testing.TB, set *kernels.Set, c winogradCase, o outputOperands) {
	t.Helper()
	x := c.kind.Transform()
	_, _, at := ref.Winograd(x.Outputs, x.Taps, x.Pairs)
	src, added, dst, bias, scale, stored := runOutput(t, set, c, o)
	roundings := float64(len(x.Pairs) + 3)
	for i := range c.tiles {
		for j := range c.cols {
			y, abs := ref.Sandwich(at, src.column(i, j))
			for b := range y {
				want := kerneltest.Approx{V: y[b], E: 2.1 * roundings * ulp * abs[b]}
				if o.bias {
					want = want.Plus(float64(bias.data[j]))
				}
				if o.scale {
					want = want.Times(kerneltest.Approx{V: float64(scale.data[j])})
				}
				if o.add {
					want = want.Plus(float64(added.row(b, i)[j]))
				}
				got := dst.row(b, i)[j : j+1]
				switch what := kerneltest.Name(c.String()+"/tile", i, "pixel", b, "channel", j, "operands", o); {
				case stored[i*dst.points+b]:
					kerneltest.NearAll(t, what, got, []kerneltest.Approx{want})
				case o.inPlace:
					kerneltest.Same(t, what, got, added.row(b, i)[j:j+1])
				}
			}
		}
		if t.Failed() {
			t.FailNow()
		}
	}
}

// runWeights transforms n random channels of taps and returns both. Vectors are whole.
func runWeights(t testing.TB, set *kernels.Set, c winogradCase) (taps, dst *grid) {
	t.Helper()
	x := c.kind.Transform()
	taps = newGrid(t, 1, x.Taps*x.Taps, 1, c.cols, c.pad, false)
	if c.spoiled {
		taps.spoil()
	}
	dst = newGrid(t, 0, x.Points*x.Points, 1, c.cols, 3*c.pad, false)
	set.WinogradWeights(&kernels.WinogradWeightsArgs{
		Kind: c.kind, N: c.cols, Taps: taps.data, TapStride: taps.point, Dst: dst.data, PointStride: dst.point, Temp: scratch(t),
	})
	return taps, dst
}

func TestWinogradWeights(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, kind := range winograd.Kinds() {
			for vectors := range 6 {
				checkWeights(t, set, winogradCase{kind: kind, cols: vectors * set.GEMM.Lanes, pad: vectors, spoiled: vectors == 3})
			}
		}
	})
}

// checkWeights holds WinogradWeights to the matrices. A tap is multiplied by a rounded constant, and two
// more are added.
func checkWeights(t testing.TB, set *kernels.Set, c winogradCase) {
	t.Helper()
	x := c.kind.Transform()
	_, g, _ := ref.Winograd(x.Outputs, x.Taps, x.Pairs)
	taps, dst := runWeights(t, set, c)
	for j := range c.cols {
		nearSandwich(t, c.String(), dst, 0, j, g, taps.column(0, j), 4)
	}
	dst.untouched(t, c.String())
}

// FuzzWinograd looks for a shape that breaks a bound.
func FuzzWinograd(f *testing.F) {
	f.Add(uint8(0), uint8(1), uint8(1), uint8(0), uint8(0), uint8(0))
	f.Add(uint8(1), uint8(2), uint8(35), uint8(3), uint8(1), uint8(13))
	f.Add(uint8(2), uint8(1), uint8(17), uint8(0), uint8(2), uint8(22))
	f.Add(uint8(3), uint8(3), uint8(9), uint8(1), uint8(0), uint8(31))
	f.Add(uint8(2), uint8(4), uint8(0), uint8(0), uint8(7), uint8(0))
	f.Fuzz(func(t *testing.T, kind, tiles, cols, from, pad, operands uint8) {
		kinds := winograd.Kinds()
		c := winogradCase{kind: kinds[int(kind)%len(kinds)], tiles: int(tiles) % 5, cols: int(cols) % 100, from: int(from), pad: int(pad)}
		c.inner, c.spoiled = operands&64 != 0, operands&128 != 0
		for _, set := range kernels.Available() {
			checkInput(t, set, c)
			checkOutput(t, set, c, outputOperands{
				bias: operands&1 != 0, scale: operands&2 != 0, outside: operands&4 != 0, add: operands&8 != 0, inPlace: operands&24 == 24,
			})
			c := c
			c.cols = (c.cols + set.GEMM.Lanes - 1) / set.GEMM.Lanes * set.GEMM.Lanes
			checkWeights(t, set, c)
		}
	})
}

// TestWinogradAssembly holds the assembly makers to equal bits, those of NaN aside.
func TestWinogradAssembly(t *testing.T) {
	sets := kernels.Available()
	sets = sets[:len(sets)-1] // the last is generic
	eachWinograd(func(c winogradCase) {
		var first [3][]float32
		for i, set := range sets {
			_, input := runInput(t, set, c)
			_, _, output, _, _, _ := runOutput(t, set, c, outputOperands{bias: true, scale: true, add: true, outside: true})
			c := c
			c.cols = (c.cols + 15) / 16 * 16
			_, weights := runWeights(t, set, c)
			for k, data := range [3][]float32{input.data, output.data, weights.data} {
				if i > 0 {
					kerneltest.Same(t, kerneltest.Name(c, set.ISA, "of", k), data, first[k])
				}
				first[k] = data
			}
		}
	})
}
