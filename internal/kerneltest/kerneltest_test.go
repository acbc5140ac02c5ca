package kerneltest_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

// recorder is a test that only remembers why it failed.
type recorder struct {
	testing.TB
	failure string
}

func (*recorder) Helper()                     {}
func (r *recorder) Fatal(args ...any)         { r.failure = fmt.Sprint(args...); runtime.Goexit() }
func (r *recorder) Fatalf(f string, a ...any) { r.failure = fmt.Sprintf(f, a...); runtime.Goexit() }

func TestSets(t *testing.T) {
	var all []string
	for _, set := range kernels.Available() {
		all = append(all, set.ISA.String())
	}
	best, beside := all[0], all[1:]
	for _, c := range []struct {
		name, skip, require string
		want                []string
		failure             string
	}{
		{"all", "", "", all, ""},
		{"required", "", " generic," + best, all, ""},
		{"all but the best", best, "", beside, "nothing is left"}, // fails where generic is alone
		{"nothing", strings.Join(all, ","), "", nil, "nothing is left"},
		{"required and left out", "generic", "generic", nil, "LANEWISE_SKIP_ISA leaves generic out"},
		{"required and missing", "", "neon,avx2", nil, "LANEWISE_REQUIRE_ISA"},
		{"left out and unknown", "mmx", "", nil, "LANEWISE_SKIP_ISA"},
		{"required and unknown", "", "mmx", nil, "LANEWISE_REQUIRE_ISA"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("LANEWISE_SKIP_ISA", c.skip)
			t.Setenv("LANEWISE_REQUIRE_ISA", c.require)
			var r recorder
			var got []string
			done := make(chan bool)
			go func() {
				defer close(done)
				for _, set := range kerneltest.Sets(&r) {
					got = append(got, set.ISA.String())
				}
			}()
			<-done
			if !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
			if len(c.want) == 0 && !strings.Contains(r.failure, c.failure) || len(c.want) > 0 && r.failure != "" {
				t.Errorf("failed with %q, want %q", r.failure, c.failure)
			}
		})
	}
}

func TestULP(t *testing.T) {
	for _, c := range []struct {
		got  float32
		want float64
		ulp  float64
	}{
		{1, 1, 0},
		{1 + 0x1p-23, 1, 1},
		{1, 1 + 0x1p-24, 0.5},
		{1, 1 - 0x1p-24, 1},
		{2, 3, 1 << 22},
		{0, 0x1p-149, 1},
		{0x1p-149, 0, 1},
		{0x1p-126, 0x1p-126 + 0x1p-150, 0.5},
	} {
		if got := kerneltest.ULP(c.got, c.want); got != c.ulp {
			t.Errorf("ULP(%g, %g) = %g, want %g", c.got, c.want, got, c.ulp)
		}
	}
}
