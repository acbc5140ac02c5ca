//go:build amd64 && !purego

package kernels

import (
	"slices"
	"testing"

	"github.com/klauspost/cpuid/v2"

	"github.com/lanewise/lanewise/asm/avx2"
	"github.com/lanewise/lanewise/asm/avx512"
)

// A Set may be chosen only where the CPU has every feature that its functions use.
func TestFeaturesCoverWhatIsUsed(t *testing.T) {
	for name, c := range map[string]struct {
		checked  []cpuid.FeatureID
		requires map[string][]string
	}{
		"avx2":   {avx2Features, avx2.Requires},
		"avx512": {avx512Features, avx512.Requires},
	} {
		var checked []string
		for _, f := range c.checked {
			checked = append(checked, f.String())
		}
		for function, features := range c.requires {
			for _, f := range features {
				if !slices.Contains(checked, f) {
					t.Errorf("%s.%s uses %s, which is not checked", name, function, f)
				}
			}
		}
	}
}
