// Package kerneltest holds what tests of kernels and operators share: a run over every Set, memory
// that ends at an unreadable page, random data, and comparisons with a stated bound.
package kerneltest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
)

// Each runs f as a subtest "isa=<name>" for every Set of Sets.
func Each(t *testing.T, f func(t *testing.T, set *kernels.Set)) {
	t.Helper()
	for _, set := range Sets(t) {
		t.Run("isa="+set.ISA.String(), func(t *testing.T) { f(t, set) })
	}
}

// Sets returns the Sets that tests run over, the best first: all that this machine has, but for those
// that LANEWISE_SKIP_ISA lists. Where LANEWISE_REQUIRE_ISA lists instruction sets, one that is missing, or
// skipped, fails the test instead of going unseen. Both lists are separated by commas.
func Sets(t testing.TB) []*kernels.Set {
	t.Helper()
	skipped := isas(t, "LANEWISE_SKIP_ISA")
	sets := slices.DeleteFunc(kernels.Available(), func(s *kernels.Set) bool { return slices.Contains(skipped, s.ISA) })
	for _, isa := range isas(t, "LANEWISE_REQUIRE_ISA") {
		if _, err := kernels.Lookup(isa); err != nil {
			t.Fatalf("LANEWISE_REQUIRE_ISA: %v", err)
		}
		if slices.Contains(skipped, isa) {
			t.Fatalf("LANEWISE_REQUIRE_ISA: LANEWISE_SKIP_ISA leaves %v out", isa)
		}
	}
	if len(sets) == 0 {
		t.Fatal("LANEWISE_SKIP_ISA: nothing is left to test")
	}
	return sets
}

// isas returns what an environment variable lists.
func isas(t testing.TB, variable string) (list []kernels.ISA) {
	t.Helper()
	for _, name := range strings.FieldsFunc(os.Getenv(variable), func(r rune) bool { return r == ',' }) {
		isa, err := kernels.ParseISA(strings.TrimSpace(name))
		if err != nil {
			t.Fatalf("%s: %v", variable, err)
		}
		list = append(list, isa)
	}
	return list
}

// Engine returns an engine over set that is closed when the test ends.
func Engine(t testing.TB, set *kernels.Set, workers int) *engine.Engine {
	t.Helper()
	return EngineOf(t, engine.Options{Workers: workers, Set: set})
}

// EngineOf returns an engine made with o that is closed when the test ends.
func EngineOf(t testing.TB, o engine.Options) *engine.Engine {
	t.Helper()
	e, err := engine.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// Random returns n values from the standard normal distribution, the same for the same seed.
func Random(seed uint64, n int) []float32 {
	r := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(r.NormFloat64())
	}
	return s
}

// Truncate makes every value of s one of a half-width format, by dropping the digits that this has not.
func Truncate(s []float32, t kernels.HalfType) {
	const tiny = 0x1p-14 // the least float16 with all digits
	mask := uint32(1<<16 - 1)
	if t == kernels.Float16 {
		mask = 1<<13 - 1
	}
	for i, v := range s {
		s[i] = math.Float32frombits(math.Float32bits(v) &^ mask)
		if t == kernels.Float16 && v < tiny && v > -tiny {
			s[i] = 0
		}
	}
}

// canary is a NaN that no kernel produces: what Fill wrote and Untouched looks for.
const canary = 0x7fc0dead

// Fill marks every value of s as not written yet.
func Fill(s []float32) {
	for i := range s {
		s[i] = math.Float32frombits(canary)
	}
}

// Untouched says whether s[i] still is what Fill left there.
func Untouched(v float32) bool { return math.Float32bits(v) == canary }

// Near fails the test where got differs from want by more than bound(i), or where only one of
// them is NaN, or an infinity differs. It reports the first and the worst such place.
func Near(t testing.TB, what string, got []float32, want []float64, bound func(i int) float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	bad, worst, worstAt := 0, 0.0, 0
	for i, g := range got {
		g, w := float64(g), want[i]
		if g == w || math.IsNaN(g) && math.IsNaN(w) {
			continue
		}
		excess := math.Abs(g-w) / bound(i)
		if excess <= 1 { // false for NaN
			continue
		}
		if bad == 0 || excess > worst || math.IsNaN(excess) {
			worst, worstAt = excess, i
		}
		if bad++; bad == 1 {
			t.Errorf("%s[%d] = %g, want %g ± %.3g", what, i, g, w, bound(i))
		}
	}
	if bad > 1 {
		t.Errorf("%s: %d of %d values off; the worst, [%d] = %g, want %g ± %.3g", what, bad, len(got),
			worstAt, got[worstAt], want[worstAt], bound(worstAt))
	}
}

// Same fails the test unless got and want are equal bit for bit; all NaNs count as equal.
func Same(t testing.TB, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && (got[i] == got[i] || want[i] == want[i]) {
			t.Fatalf("%s[%d] = %g (%#08x), want %g (%#08x)", what, i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

// ULP is the distance of got from want in units of want's last float32 place.
func ULP(got float32, want float64) float64 {
	if float64(got) == want || math.IsNaN(want) && got != got {
		return 0
	}
	w := float32(want)
	if math.IsInf(float64(w), 0) && got == w {
		return 0
	}
	exponent := int(math.Float64bits(want)>>52&0x7ff) - 1023
	place := math.Float64frombits(uint64(max(exponent-23, -149)+1023) << 52)
	return math.Abs(float64(got)-want) / place
}

// Name formats a subtest name of key=value pairs: Name("m", 3, "k", 5) is "m=3/k=5".
func Name(pairs ...any) string {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte('/')
		}
		fmt.Fprintf(&b, "%v=%v", pairs[i], pairs[i+1])
	}
	return b.String()
}
