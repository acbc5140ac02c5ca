package main

// #include "openblas.h"
import "C"

import (
	"fmt"

	"github.com/lanewise/lanewise/kernels"
)

var openBLAS = &peer{
	name:    "OpenBLAS",
	install: "Debian: apt install libopenblas0-pthread; LANEWISE_OPENBLAS=…/libopenblas.so names another",
	load: func() (string, error) {
		library, err := open("LANEWISE_OPENBLAS", "libopenblas.so.0", "libopenblas.so", "libopenblas.dylib")
		if err != nil {
			return "", err
		}
		if missing := C.blas_bind(library); missing != nil {
			return "", fmt.Errorf("the library lacks %s", C.GoString(missing))
		}
		return C.GoString(C.blas_describe()), nil
	},
	hold: map[kernels.ISA][]string{kernels.AVX2: {"OPENBLAS_CORETYPE=Haswell"}},
}

// blasProduct is cblas_sgemm, which packs its operands in every call.
type blasProduct struct {
	threads, m, n, k int
	x, weights, y    []float32
	transposed       bool // weights are n × k, not k × n
}

func (p *blasProduct) Run(times int) error {
	transposed := C.int(0)
	if p.transposed {
		transposed = 1
	}
	C.blas_product(C.int(times), C.int(p.threads), C.int(p.m), C.int(p.n), C.int(p.k), floats(p.x), floats(p.weights), transposed, floats(p.y))
	return nil
}

func (p *blasProduct) Output() ([]float32, error) { return p.y, nil }
func (p *blasProduct) Close()                     {}

// floats is the address of a slice as C takes it.
func floats(s []float32) *C.float { return (*C.float)(&s[0]) }
