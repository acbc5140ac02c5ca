//go:build arm64 && !purego

package kernels

import (
	"slices"
	"testing"

	"github.com/klauspost/cpuid/v2"

	"github.com/lanewise/lanewise/asm/neon"
)

// The Set may use no feature but those that every arm64 CPU has.
func TestFeaturesCoverWhatIsUsed(t *testing.T) {
	var checked []string
	for _, f := range neonFeatures {
		checked = append(checked, f.String())
	}
	for function, features := range neon.Requires {
		for _, f := range features {
			if !slices.Contains(checked, f) {
				t.Errorf("neon.%s uses %s", function, f)
			}
		}
	}
	// Linux says so; elsewhere cpuid may know nothing.
	if features := cpuid.CPU.FeatureSet(); len(features) > 0 && !cpuid.CPU.Supports(neonFeatures...) {
		t.Errorf("this CPU has no %v, only %v", checked, features)
	}
}
