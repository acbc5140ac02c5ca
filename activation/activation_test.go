package activation_test

import (
	"testing"

	"github.com/lanewise/lanewise/activation"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/ref"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

func random(seed uint64, rows, cols, pad int) tensor.Mat {
	return tensor.Mat{Rows: rows, Cols: cols, Stride: cols + pad, Data: kerneltest.Random(seed, rows*(cols+pad))}
}

// bound is above what any activation is off by near 1: its ulps stand in package kernels.
func bound(want float64) float64 { return 1e-7 + 1e-6*max(want, -want) }

func TestApply(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for _, workers := range []int{1, 2, 7} {
			e := kerneltest.Engine(t, set, workers)
			for _, act := range kernels.Acts() {
				for _, size := range [][2]int{{1, 1}, {3, 37}, {301, 65}} {
					src, dst := random(1, size[0], size[1], 3), random(2, size[0], size[1], 2)
					activation.Apply(e, dst, src, act)
					for r := range src.Rows {
						want := make([]float64, src.Cols)
						for c, x := range src.Row(r) {
							want[c] = ref.Acts[act.String()](float64(x))
						}
						kerneltest.Near(t, act.String(), dst.Row(r), want, func(c int) float64 { return bound(want[c]) })
					}
					activation.Apply(e, src, src, act)
					for r := range src.Rows {
						kerneltest.Same(t, "in place", src.Row(r), dst.Row(r))
					}
				}
			}
		}
	})
}

func TestGate(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		both := random(1, 301, 74, 0) // value and gate side by side, as a projection leaves them
		value, gate := both.Columns(0, 37), both.Columns(37, 74)
		dst := random(2, 301, 37, 1)
		activation.Gate(e, dst, value, gate, kernels.GELU)
		for r := range dst.Rows {
			want := make([]float64, dst.Cols)
			for c := range want {
				want[c] = float64(value.Row(r)[c]) * ref.Acts["gelu"](float64(gate.Row(r)[c]))
			}
			kerneltest.Near(t, "gate", dst.Row(r), want, func(c int) float64 { return bound(want[c]) })
		}
		activation.Gate(e, value, value, gate, kernels.GELU)
		for r := range dst.Rows {
			kerneltest.Same(t, "in place", value.Row(r), dst.Row(r))
		}
	})
}

func TestScale(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		e := kerneltest.Engine(t, set, 2)
		for _, size := range [][2]int{{1, 1}, {3, 37}, {301, 65}} {
			src, dst, factors := random(1, size[0], size[1], 3), random(2, size[0], size[1], 2), kerneltest.Random(3, size[1])
			activation.Scale(e, dst, src, factors)
			for r := range src.Rows {
				want := make([]float32, src.Cols)
				for c, x := range src.Row(r) {
					want[c] = x * factors[c]
				}
				kerneltest.Same(t, "scale", dst.Row(r), want)
			}
			activation.Scale(e, src, src, factors)
			for r := range src.Rows {
				kerneltest.Same(t, "in place", src.Row(r), dst.Row(r))
			}
		}
	})
}

func TestDoesNotAllocate(t *testing.T) {
	for _, workers := range []int{1, 2} {
		e, err := engine.New(engine.Options{Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		x, factors := random(1, 64, 64, 0), make([]float32, 64)
		run := func() {
			activation.Apply(e, x, x, kernels.SiLU)
			activation.Gate(e, x, x, x, kernels.GELU)
			activation.Scale(e, x, x, factors)
		}
		kerneltest.NoAllocations(t, kerneltest.Name("workers", workers), run)
	}
}

func TestPanics(t *testing.T) {
	e, err := engine.New(engine.Options{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	m := tensor.MakeMat
	activation.Apply(e, m(0, 3), m(0, 3), kernels.SiLU) // nothing to do
	for name, f := range map[string]func(){
		"shapes that differ":       func() { activation.Apply(e, m(2, 3), m(2, 4), kernels.SiLU) },
		"a value of another shape": func() { activation.Gate(e, m(2, 3), m(1, 3), m(2, 3), kernels.SiLU) },
		"a dst of another shape":   func() { activation.Gate(e, m(2, 2), m(2, 3), m(2, 3), kernels.SiLU) },
		"a factor too few":         func() { activation.Scale(e, m(2, 3), m(2, 3), make([]float32, 2)) },
		"memory that is not there": func() { activation.Apply(e, m(2, 3), tensor.Mat{Rows: 2, Cols: 3, Stride: 3}, kernels.SiLU) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}
