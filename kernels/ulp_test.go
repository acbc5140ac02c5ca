package kernels_test

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/internal/ref"
	"github.com/lanewise/lanewise/kernels"
)

// A function is something of one argument that kernels compute.
type function struct {
	name  string
	truth func(x float64) float64
	call  func(set *kernels.Set, dst, x []float32) // x may be spoiled
	// bound is what is promised at x, where the truth is want: so many units of the last place; or where
	// floor is not 0 an absolute error, which is where e^−|x| leaves the range of float32 and, of GELU, in
	// its far tail.
	bound    func(x, want float64) (ulp, floor float64)
	negative bool // for x ≤ 0 alone, and NaN
}

// functions are all activations, a gated one, and the exponential of attention.
func functions() (all []function) {
	for _, a := range kernels.Acts() {
		all = append(all, function{
			name:  a.String(),
			truth: ref.Acts[a.String()],
			call: func(set *kernels.Set, dst, x []float32) {
				set.Activate(&kernels.ActivateArgs{Rows: 1, Cols: len(x), Act: a, Src: x, Dst: dst})
			},
			bound: func(x, want float64) (ulp, floor float64) { return actBound(a, x, want) },
		})
	}
	return append(all, function{
		name:  "geglu",
		truth: func(x float64) float64 { return float64(gated(float32(x))) * ref.Acts["gelu"](x) },
		call: func(set *kernels.Set, dst, x []float32) {
			for i, x := range x {
				dst[i] = gated(x)
			}
			set.Activate(&kernels.ActivateArgs{Rows: 1, Cols: len(x), Act: kernels.GELU, Src: x, Value: dst, Dst: dst})
		},
		// An error that is u units of the last place of one number may be 2u of a product with it.
		bound: func(x, want float64) (ulp, floor float64) {
			ulp, floor = actBound(kernels.GELU, x, want/float64(gated(float32(x))))
			return 2*ulp + 0.5, 2 * floor
		},
	}, function{
		name:     "exp2",
		truth:    math.Exp2,
		call:     softmaxExp2,
		bound:    func(_, _ float64) (ulp, floor float64) { return 0.88, 0 },
		negative: true,
	})
}

// actBound is the bound of an activation.
func actBound(a kernels.Act, x, want float64) (ulp, floor float64) {
	y, tail := math.Abs(want), math.Abs(min(x, 0))
	switch {
	case a == kernels.GELU && y < 0x1p-17 && x < 0:
		return 0, min(0x1p-38, y*0x1p-12+4e-39)
	case a == kernels.Sigmoid && y < 4.2e-39:
		return 0, 4.2e-39
	case (a == kernels.SiLU || a == kernels.QuickGELU || a == kernels.GELUTanh || a == kernels.Mish) && y < 4e-37 && x < -9:
		return 0, 4e-37
	}
	switch a {
	case kernels.Identity, kernels.ReLU:
		return 0, 0
	case kernels.Exp:
		return 0.9, 0
	case kernels.Tanh:
		return 1.5, 0
	case kernels.GELU:
		return 6.5, 0
	case kernels.Mish:
		return 4.7, 0
	case kernels.Sigmoid, kernels.SiLU, kernels.QuickGELU:
		if x > 0 {
			return 1.6, 0
		}
		if a == kernels.QuickGELU {
			return 2.4 + 0.32*tail, 0
		}
		return 2.4 + 0.05*tail, 0
	case kernels.GELUTanh: // u = √(8/π)(x + 0.044715x³) has three roundings, and two constants
		if x > 0 {
			return 1.9, 0
		}
		return 2.4 + 2.7*math.Sqrt(8/math.Pi)*(tail+0.044715*tail*tail*tail), 0
	}
	panic(a.String())
}

// gated is what a gate of x is multiplied into: something in [1, 2) that takes all digits.
func gated(x float32) float32 {
	const one = 127 << 23
	return math.Float32frombits(one | math.Float32bits(x)*0x9e3779b1>>9)
}

// softmaxExp2 has Softmax compute exponentials: the scores are x, and no maximum is above 0.
func softmaxExp2(set *kernels.Set, dst, x []float32) {
	w := set.Queries
	keys := (len(x) + w - 1) / w
	s, state := make([]float32, keys*w), make([]float32, 3*w)
	copy(s, x)
	set.Softmax(&kernels.SoftmaxArgs{Keys: keys, Lanes: w, S: s, Max: state[:w], Sum: state[w : 2*w], Alpha: state[2*w:]})
	copy(dst, s)
}

// A place is an argument, by its bits, and how large something is there.
type place struct {
	size float64
	bits uint32
}

// atLeast makes p the larger of p and q, and of equal ones that of fewer bits.
func (p *place) atLeast(q place) {
	if q.size > p.size || q.size == p.size && q.bits < p.bits || math.IsNaN(q.size) {
		*p = q
	}
}

// String says how large, and where: the argument in full.
func (p place) String() string {
	if p.size == 0 {
		return "0"
	}
	return fmt.Sprintf("%.3g at %.9g", p.size, math.Float32frombits(p.bits))
}

// A report is the distances of a function's results from the truth, and of the Sets from each other.
type report struct {
	// In units of the last place, with x above 0, from −4 to 0, and below −4; tail is the largest absolute
	// error where nothing else is promised.
	positive, near, far place
	tail                place
	excess              place // over what is promised, of any Set

	sum   float64 // of units of the last place, over usual arguments: 1/16 ≤ |x| < 16
	usual int

	differ   place // where two Sets of assembly differ; its size is 1
	rounding int   // how many results of generic are not those of assembly
}

// add adds the errors at other arguments.
func (e *report) add(o *report) {
	e.positive.atLeast(o.positive)
	e.near.atLeast(o.near)
	e.far.atLeast(o.far)
	e.tail.atLeast(o.tail)
	e.excess.atLeast(o.excess)
	e.differ.atLeast(o.differ)
	e.sum += o.sum
	e.usual += o.usual
	e.rounding += o.rounding
}

// measure compares f over x on every Set with the truth, and the Sets with the first of them.
func (f *function) measure(sets []*kernels.Set, x []float32) (e report) {
	first, y, in := make([]float32, len(x)), make([]float32, len(x)), make([]float32, len(x))
	copy(in, x)
	f.call(sets[0], first, in)
	for i, got := range first {
		f.compare(&e, x[i], got, true)
	}
	for _, set := range sets[1:] {
		copy(in, x)
		f.call(set, y, in)
		for i, got := range y {
			if math.Float32bits(got) == math.Float32bits(first[i]) || got != got && first[i] != first[i] {
				continue
			}
			if set.ISA != kernels.Generic {
				e.differ.atLeast(place{1, math.Float32bits(x[i])})
				continue
			}
			e.rounding++
			f.compare(&e, x[i], got, false)
		}
	}
	return e
}

// compare adds one result: to what e counts, or to its excess alone.
func (f *function) compare(e *report, x, got float32, count bool) {
	want, bits := f.truth(float64(x)), math.Float32bits(x)
	ulp, floor := f.bound(float64(x), want)
	usual := floor == 0 && (x >= 0x1p-4 && x < 16 || x <= -0x1p-4 && x > -16)
	if usual && count {
		e.usual++
	}
	if float64(got) == want || got != got && math.IsNaN(want) {
		return
	}
	size, bound := kerneltest.ULP(got, want), ulp
	if floor != 0 {
		size, bound = math.Abs(float64(got)-want), floor
	}
	if math.IsNaN(size) {
		size = math.Inf(1) // a NaN, or one that is missing
	}
	e.excess.atLeast(place{size / bound, bits})
	if !count {
		return
	}
	if usual {
		e.sum += size
	}
	switch {
	case floor != 0:
		e.tail.atLeast(place{size, bits})
	case x > 0:
		e.positive.atLeast(place{size, bits})
	case x >= -4:
		e.near.atLeast(place{size, bits})
	default:
		e.far.atLeast(place{size, bits})
	}
}

// sweep measures f over the float32 values at a distance of step, on all cores.
func (f *function) sweep(sets []*kernels.Set, step uint64) *report {
	const chunk = 1 << 12 // values
	first := uint64(0)
	if f.negative {
		first = 1 << 31
	}
	chunks := ((1<<32-first-1)/step)/chunk + 1
	var (
		next atomic.Uint64
		all  = make([]report, runtime.GOMAXPROCS(0))
		done sync.WaitGroup
	)
	for i := range all {
		done.Go(func() {
			x := make([]float32, 0, chunk)
			for c := next.Add(1) - 1; c < chunks; c = next.Add(1) - 1 {
				x = x[:0]
				for bits := first + c*chunk*step; bits < 1<<32 && len(x) < chunk; bits += step {
					x = append(x, math.Float32frombits(uint32(bits)))
				}
				e := f.measure(sets, x)
				all[i].add(&e)
			}
		})
	}
	done.Wait()
	for _, e := range all[1:] {
		all[0].add(&e)
	}
	return &all[0]
}

// check fails the test where a promise is broken.
func (f *function) check(t *testing.T, e *report) {
	t.Helper()
	if e.excess.size > 1 {
		x := float64(math.Float32frombits(e.excess.bits))
		want := f.truth(x)
		ulp, floor := f.bound(x, want)
		if floor != 0 {
			t.Errorf("%s(%.9g), which is %.9g: off by %.3g, promised %.3g", f.name, x, want, e.excess.size*floor, floor)
		} else {
			t.Errorf("%s(%.9g), which is %.9g: off by %.3g units of the last place, promised %.3g", f.name, x, want, e.excess.size*ulp, ulp)
		}
	}
	if e.differ.size > 0 {
		t.Errorf("%s(%.9g): not the same bits on every instruction set", f.name, math.Float32frombits(e.differ.bits))
	}
}

// distance is between the float32 values that functions are tested at: a prime, or what LANEWISE_FLOATS
// sets. 1 is all of them, infinities and NaN among them, which takes minutes for each function.
func distance(t *testing.T) uint64 {
	t.Helper()
	step, err := strconv.ParseUint(cmp.Or(os.Getenv("LANEWISE_FLOATS"), "4099"), 10, 32)
	if err != nil || step == 0 {
		t.Fatalf("LANEWISE_FLOATS=%s: a distance, from 1", os.Getenv("LANEWISE_FLOATS"))
	}
	return step
}

// TestFunctions holds every function to its bound on every Set, and the Sets of assembly to equal bits. It
// logs a table, which docs/functions.md has for all float32 values.
func TestFunctions(t *testing.T) {
	sets, step := kerneltest.Sets(t), distance(t)
	var names []string
	for _, set := range sets {
		names = append(names, set.ISA.String())
	}
	t.Logf("every float32 value at a distance of %d, on %s", step, strings.Join(names, ", "))
	t.Log("function | mean ulp, 1/16 ≤ |x| < 16 | max ulp, x > 0 | −4 ≤ x ≤ 0 | x < −4 | absolute error beyond | generic rounds otherwise")
	for _, f := range functions() {
		t.Run(f.name, func(t *testing.T) {
			e := f.sweep(sets, step)
			f.check(t, e)
			mean := e.sum / float64(max(e.usual, 1))
			t.Logf("%s | %.3f | %v | %v | %v | %v | %d", f.name, mean, e.positive, e.near, e.far, e.tail, e.rounding)
			at := f.measure(sets, f.domain(corners))
			f.check(t, &at)
		})
	}
}

// domain returns the values of x that f is for.
func (f *function) domain(x []float32) (in []float32) {
	for _, x := range x {
		if !f.negative || !(x > 0) {
			in = append(in, x)
		}
	}
	return in
}

// FuzzFunctions looks for an argument that breaks a bound.
func FuzzFunctions(f *testing.F) {
	for _, x := range corners {
		f.Add(x)
	}
	f.Fuzz(func(t *testing.T, x float32) {
		for _, f := range functions() {
			if x := f.domain([]float32{x}); len(x) > 0 {
				e := f.measure(kerneltest.Sets(t), x)
				f.check(t, &e)
			}
		}
	})
}
