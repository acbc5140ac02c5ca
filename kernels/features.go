package kernels

import (
	"slices"
	"strings"

	"github.com/klauspost/cpuid/v2"
)

// Features returns those of this CPU's features that a kernel of today or tomorrow may use, by the
// names that package cpuid has for them. Those of amd64 are what the Sets require, F16C, AVX-512's
// extensions, GFNI and AMX. Those of arm64 come in levels: ASIMD, which NEON requires and every CPU
// has, ASIMDHP (arithmetic of halves), ASIMDDP (dot products of bytes), BF16 and I8MM (products of
// small matrices of bfloat16 and of bytes); then SVE and SME.
func Features() []string {
	prefixes := []string{"AVX", "FMA3", "F16C", "AMX", "GFNI", "ASIMD", "FP", "SVE", "SME", "BF16", "I8MM", "DOT"}
	return slices.DeleteFunc(cpuid.CPU.FeatureSet(), func(name string) bool {
		return !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
	})
}
