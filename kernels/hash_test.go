package kernels_test

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

// actHashes are those of each function over the float32 values at a distance of 4099 and over corners,
// normHashes those of the norms' kernels by number of columns, and winogradHashes those of the transforms to
// points and back: what every Set of assembly computes, on every machine.
var (
	actHashes = map[kernels.Act]string{
		kernels.Identity:  "82f4d95385740bbb",
		kernels.ReLU:      "b6b80df8cf97b19f",
		kernels.SiLU:      "ea1ea5315783eb1f",
		kernels.QuickGELU: "51802fcc90bb11d3",
		kernels.GELU:      "cedf886b3a0d3751",
		kernels.GELUTanh:  "dc01ca39dc44a771",
		kernels.Sigmoid:   "ac4875d8b2b23b17",
		kernels.Tanh:      "a3b87ff08fc82a3b",
		kernels.Mish:      "08538837ce56a6f7",
		kernels.Exp:       "19d93e63b74e0dae",
	}
	winogradHashes = map[kernels.Winograd]string{
		kernels.F2: "b685e0a31220443d",
		kernels.F4: "a22ed0a54aafcbda",
		kernels.F6: "a58d617f44bf85a1",
		kernels.F5: "49a4cfb95419938d",
	}
	normHashes = map[int]string{
		1:    "8b405a1ed07c080f",
		7:    "7a26c5110060d5b9",
		12:   "c931f79fc8b34047",
		33:   "1dd8815763223834",
		131:  "034e02fd0cff6d6a",
		320:  "db816910f251393e",
		1153: "93cbc7b830e2bc09",
	}
)

// eachAssembly runs f for every Set but generic, which rounds twice at times.
func eachAssembly(t *testing.T, f func(t *testing.T, set *kernels.Set)) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		if set.ISA == kernels.Generic {
			t.Skip("generic stays within its bound, not to the bit")
		}
		f(t, set)
	})
}

func TestActivateHashes(t *testing.T) {
	eachAssembly(t, func(t *testing.T, set *kernels.Set) {
		for _, a := range kernels.Acts() {
			h := fnv.New64a()
			y := make([]float32, 4099)
			add := func(x []float32) {
				set.Activate(&kernels.ActivateArgs{Rows: 1, Cols: len(x), Act: a, Src: x, Dst: y})
				h.Write(portableBits(y[:len(x)]))
			}
			batches(add)
			add(corners)
			if got := fmt.Sprintf("%016x", h.Sum64()); got != actHashes[a] {
				t.Errorf("%v: %s, want %s", a, got, actHashes[a])
			}
		}
	})
}

func TestNormHashes(t *testing.T) {
	const rows = 19
	eachAssembly(t, func(t *testing.T, set *kernels.Set) {
		for cols, want := range normHashes {
			src, scale, shift := portable(1, rows*cols), portable(2, cols), portable(3, cols)
			sum, square, affine := make([]float32, cols), make([]float32, cols), make([]float32, rows*cols)
			layer, rms := make([]float32, rows*cols), make([]float32, rows*cols)
			set.Moments(&kernels.MomentsArgs{Rows: rows, Cols: cols, Src: src, Stride: cols, Ref: src[:cols], Sum: sum, Square: square})
			set.LayerNorm(&kernels.LayerNormArgs{Rows: rows, Cols: cols, Src: src, SrcStride: cols,
				Scale: scale, Shift: shift, Eps: 1e-6, Dst: layer, DstStride: cols})
			set.LayerNorm(&kernels.LayerNormArgs{Rows: rows, Cols: cols, Src: src, SrcStride: cols,
				Scale: scale, Shift: shift, Plus: 1, Eps: 1e-6, RMS: true, Dst: rms, DstStride: cols})
			set.Affine(&kernels.AffineArgs{Rows: rows, Cols: cols, Src: src, SrcStride: cols,
				Mean: sum, Scale: scale, Shift: shift, Act: kernels.SiLU, Dst: affine, DstStride: cols})
			h := fnv.New64a()
			for _, values := range [][]float32{sum, square, layer, rms, affine} {
				h.Write(portableBits(values))
			}
			if got := fmt.Sprintf("%016x", h.Sum64()); got != want {
				t.Errorf("cols=%d: %s, want %s", cols, got, want)
			}
		}
	})
}

func TestWinogradHashes(t *testing.T) {
	const tiles, cols, taps = 3, 45, 48 // taps: a multiple of every Set's lanes
	eachAssembly(t, func(t *testing.T, set *kernels.Set) {
		for kind, want := range winogradHashes {
			x := kind.Transform()
			var (
				points, pixels = x.Points * x.Points, x.Outputs * x.Outputs
				image, taken   = portable(1, tiles*points*cols), portable(2, x.Taps*x.Taps*taps)
				column         = portable(3, cols)
				v, u           = make([]float32, points*tiles*cols), make([]float32, points*taps)
				y              = make([]float32, tiles*pixels*cols)
				from, to       = make([]*float32, tiles*points), make([]*float32, tiles*pixels)
				temp           = make([]float32, kernels.WinogradTemp)
			)
			for i := range from {
				from[i] = &image[i*cols]
			}
			for i := range to {
				to[i] = &y[i*cols]
			}
			set.WinogradInput(&kernels.WinogradInputArgs{Kind: kind, Tiles: tiles, Cols: cols, Pixels: from,
				Dst: v, PointStride: tiles * cols, DstStride: cols, Temp: temp})
			set.WinogradOutput(&kernels.WinogradOutputArgs{Kind: kind, Tiles: tiles, Cols: cols,
				Src: v, PointStride: tiles * cols, SrcStride: cols, Bias: column, Scale: column, Dst: to, Add: from[:len(to)], Temp: temp})
			set.WinogradWeights(&kernels.WinogradWeightsArgs{Kind: kind, N: taps, Taps: taken, TapStride: taps,
				Dst: u, PointStride: taps, Temp: temp})
			h := fnv.New64a()
			for _, values := range [][]float32{v, y, u} {
				h.Write(portableBits(values))
			}
			if got := fmt.Sprintf("%016x", h.Sum64()); got != want {
				t.Errorf("%v: %s, want %s", kind, got, want)
			}
		}
	})
}

// portable returns n values between −1 and 1 that are the same on every machine: made of integers.
func portable(seed uint32, n int) []float32 {
	s := make([]float32, n)
	x := seed*2654435761 + 1
	for i := range s {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		s[i] = float32(int32(x)>>7) / (1 << 24)
	}
	return s
}

// portableBits are the values' bits, those of one NaN for all.
func portableBits(values []float32) []byte {
	var b []byte
	for _, v := range values {
		if v != v {
			v = float32(math.NaN())
		}
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}
