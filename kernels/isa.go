package kernels

import (
	"fmt"
	"strings"
)

// ISA names an instruction set that a Set is made for. Higher values are preferred.
type ISA uint8

const (
	Generic ISA = iota // pure Go, on every machine
	NEON               // arm64 Advanced SIMD
	AVX2               // amd64 AVX2 and FMA
	AVX512             // amd64 AVX-512 F, BW, DQ, VL
)

var isaNames = [...]string{Generic: "generic", NEON: "neon", AVX2: "avx2", AVX512: "avx512"}

// String returns the name that LANEWISE_ISA takes.
func (i ISA) String() string { return isaNames[i] }

// ParseISA is the inverse of String; it ignores case.
func ParseISA(name string) (ISA, error) {
	for i, n := range isaNames {
		if strings.EqualFold(name, n) {
			return ISA(i), nil
		}
	}
	return Generic, fmt.Errorf("unknown instruction set %q (known: %s)", name, strings.Join(isaNames[:], ", "))
}
