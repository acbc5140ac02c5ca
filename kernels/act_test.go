package kernels_test

import (
	"math"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

// batches calls f with every float32 value at a prime distance from the one before, infinities and
// NaN among them, some thousands at a time.
func batches(f func(x []float32)) {
	const step = 4099
	x := make([]float32, 0, 4099)
	for bits := uint64(0); bits < 1<<32; bits += step {
		if x = append(x, math.Float32frombits(uint32(bits))); len(x) == cap(x) {
			f(x)
			x = x[:0]
		}
	}
	f(x)
}

// corners are arguments where a function changes its form, saturates, or is not finite.
var corners = func() []float32 {
	x := []float32{0, 1e-45, 1e-40, 0x1p-126, 0.625, 1, 14.4, 87.3, 88.7, 88.8, 89, 103.9, 104, 105, 1e4, 1e20,
		math.MaxFloat32, float32(math.Inf(1)), float32(math.NaN())}
	for _, v := range x {
		x = append(x, -v, math.Nextafter32(v, 0), math.Nextafter32(v, math.MaxFloat32))
	}
	return x
}()

// TestActivateLimits holds every function to its limits, exactly, and to the sign of zero and NaN.
func TestActivateLimits(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	minusZero := float32(math.Copysign(0, -1))
	x := []float32{-inf, -math.MaxFloat32, math.MaxFloat32, inf, 0, minusZero, nan}
	gate := []float32{0, 0, math.MaxFloat32, inf, 0, minusZero, nan} // what tends to 0, and to x
	limits := map[kernels.Act][]float32{
		kernels.Identity: x,
		kernels.Sigmoid:  {0, 0, 1, 1, 0.5, 0.5, nan},
		kernels.Tanh:     {-1, -1, 1, 1, 0, minusZero, nan},
		kernels.Exp:      {0, 0, inf, inf, 1, 1, nan},
	}
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, a := range kernels.Acts() {
			want := limits[a]
			if want == nil {
				want = gate
			}
			y := make([]float32, len(x))
			set.Activate(&kernels.ActivateArgs{Rows: 1, Cols: len(x), Act: a, Src: x, Dst: y})
			for i, got := range y {
				if got != want[i] && (got == got || want[i] == want[i]) ||
					x[i] == 0 && math.Signbit(float64(got)) != math.Signbit(float64(want[i])) {
					t.Errorf("%v(%g) = %g, want %g", a, x[i], got, want[i])
				}
			}
		}
	})
}

// TestActivateShapes holds rows, strides, gates and residuals, alone and together, to what one
// element at a time gives, and to touch nothing else.
func TestActivateShapes(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, cols := range widths {
			for _, rows := range []int{0, 1, 3} {
				for variant := range 4 {
					a := kernels.Act((cols + variant) % len(kernels.Acts()))
					src, value, add := newOperand(t, 1, rows, cols, 3), newOperand(t, 2, rows, cols, 0), newOperand(t, 3, rows, cols, 5)
					dst := newOperand(t, 0, rows, cols, 2)
					args := kernels.ActivateArgs{
						Rows: rows, Cols: cols, Act: a,
						Src: src.data, SrcStride: src.stride, Dst: dst.data, DstStride: dst.stride,
					}
					if variant&1 != 0 {
						args.Value, args.ValueStride = value.data, value.stride
					}
					if variant&2 != 0 {
						args.Add, args.AddStride = add.data, add.stride
					}
					want := make([]float32, 0, rows*cols)
					for r := range rows {
						for c := range cols {
							y := []float32{src.data[r*src.stride+c]}
							set.Activate(&kernels.ActivateArgs{Rows: 1, Cols: 1, Act: a, Src: y, Dst: y})
							if args.Value != nil {
								y[0] *= value.data[r*value.stride+c]
							}
							if args.Add != nil {
								y[0] += add.data[r*add.stride+c]
							}
							want = append(want, y[0])
						}
					}
					set.Activate(&args)
					dst.check(t, kerneltest.Name("act", a, "rows", rows, "cols", cols, "variant", variant), want)

					// In place of each operand.
					for _, over := range []operand{src, value, add} {
						saved := append([]float32(nil), over.data...)
						args.Dst, args.DstStride = over.data, over.stride
						set.Activate(&args)
						over.check(t, kerneltest.Name("act", a, "rows", rows, "cols", cols, "variant", variant, "inplace", true), want)
						copy(over.data, saved)
					}
				}
			}
		}
	})
}

// The strides of operands that are not there do not matter.
func TestActivateWithoutOperands(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		const rows, cols = 3, 21
		got, want := make([]float32, rows*cols), make([]float32, rows*cols)
		a := kernels.ActivateArgs{Rows: rows, Cols: cols, Act: kernels.SiLU, Src: kerneltest.Random(1, rows*cols), SrcStride: cols, Dst: want, DstStride: cols}
		set.Activate(&a)
		a.Dst, a.ValueStride, a.AddStride = got, 5, 7
		set.Activate(&a)
		kerneltest.Same(t, "Dst", got, want)
	})
}
