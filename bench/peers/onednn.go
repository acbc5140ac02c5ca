package main

// #include "onednn.h"
import "C"

import (
	"fmt"
	"strings"
	"unsafe"

	"github.com/lanewise/lanewise/kernels"
)

var oneDNN = &peer{
	name:    "oneDNN",
	install: "version 2.6 or 2.7, with OpenMP; Debian 12: apt install libdnnl2; LANEWISE_ONEDNN=…/libdnnl.so.2 names another",
	load: func() (string, error) {
		library, err := open("LANEWISE_ONEDNN", "libdnnl.so.2", "libdnnl.2.dylib")
		if err != nil {
			return "", err
		}
		if missing := C.dnn_bind(library); missing != nil {
			return "", fmt.Errorf("the library lacks %s", C.GoString(missing))
		}
		var version [3]C.int
		C.dnn_version(&version[0])
		return fmt.Sprintf("%d.%d.%d", version[0], version[1], version[2]), nil
	},
	hold: map[kernels.ISA][]string{kernels.AVX2: {"ONEDNN_MAX_CPU_ISA=AVX2"}},
}

// dnnTensor is memory of oneDNN's, in whose layout the values are none of ours.
type dnnTensor struct {
	c    *C.dnn_tensor
	size int
}

// dnnProgram is primitives that run one after another.
type dnnProgram struct {
	c       *C.dnn_program
	tensors []*C.dnn_tensor
	output  dnnTensor
	restore func([]float32) []float32 // the output in Lanewise's layout; nil where it is
	err     error                     // the first failure in making it
}

// newDNN begins a program for so many threads. What is made for it is checked by finish.
func newDNN(threads int) *dnnProgram {
	return &dnnProgram{c: C.dnn_begin(C.int(threads))}
}

// check keeps the first failure.
func (p *dnnProgram) check(what string, status C.int) {
	if p.err == nil && status != 0 {
		p.err = dnnError{what, int(status)}
	}
}

// dnnError is a status of oneDNN's.
type dnnError struct {
	what   string
	status int
}

const dnnUnimplemented = 3

func (e dnnError) Error() string {
	if e.status == dnnUnimplemented {
		return e.what + ": not implemented"
	}
	return fmt.Sprintf("%s: status %d", e.what, e.status)
}

// rowMajor is the strides of a contiguous array.
func rowMajor(dims ...int) []int {
	strides := make([]int, len(dims))
	for i, size := len(dims)-1, 1; i >= 0; i-- {
		strides[i] = size
		size *= dims[i]
	}
	return strides
}

// tensor is memory whose values we lay out by strides. oneDNN does so too, unless free to choose.
func (p *dnnProgram) tensor(dims, strides []int, free bool) dnnTensor {
	t := dnnTensor{size: 1}
	var d, s [6]C.int64_t
	for i := range dims {
		d[i], s[i] = C.int64_t(dims[i]), C.int64_t(strides[i])
		t.size *= dims[i]
	}
	choose := C.int(0)
	if free {
		choose = 1
	}
	t.c = C.dnn_make(C.int(len(dims)), &d[0], &s[0], choose)
	if t.c == nil {
		p.check("tensor", -1)
		t.c = C.dnn_make(1, &[]C.int64_t{1}[0], &[]C.int64_t{1}[0], 0)
	}
	p.tensors = append(p.tensors, t.c)
	return t
}

// plain is a tensor in the usual order.
func (p *dnnProgram) plain(dims ...int) dnnTensor { return p.tensor(dims, rowMajor(dims...), false) }

// free is a tensor whose layout oneDNN chooses; its values come and go in the usual order.
func (p *dnnProgram) free(dims ...int) dnnTensor { return p.tensor(dims, rowMajor(dims...), true) }

// dnnAfter is what a product is followed by; the zero value by nothing.
type dnnAfter struct {
	scale float32   // that multiplies it and the bias; 0 means 1
	bias  dnnTensor // a row that is added
	mask  dnnTensor // as large as the result, added to it
	sum   bool      // it is added to what is there; not with a mask
}

func (p *dnnProgram) matmul(dst, src, weights dnnTensor, after dnnAfter) {
	if p.err != nil {
		return
	}
	scale, sum := C.float(after.scale), C.int(0)
	if scale == 0 {
		scale = 1
	}
	if after.sum {
		sum = 1
	}
	p.check("matmul", C.dnn_matmul(p.c, src.c, weights.c, after.bias.c, dst.c, scale, sum, after.mask.c))
}

func (p *dnnProgram) innerProduct(dst, src, weights dnnTensor) {
	if p.err == nil {
		p.check("inner product", C.dnn_inner_product(p.c, src.c, weights.c, dst.c))
	}
}

func (p *dnnProgram) softmax(dst, src dnnTensor, axis int) {
	if p.err == nil {
		p.check("softmax", C.dnn_softmax(p.c, src.c, dst.c, C.int(axis)))
	}
}

func (p *dnnProgram) layerNorm(dst, src, scaleShift dnnTensor, eps float32) {
	if p.err == nil {
		p.check("layer normalization", C.dnn_layer_norm(p.c, src.c, scaleShift.c, dst.c, C.float(eps)))
	}
}

// dnnAlgorithm is how oneDNN convolves.
type dnnAlgorithm int

const (
	dnnDirect   dnnAlgorithm = C.dnn_direct
	dnnWinograd dnnAlgorithm = C.dnn_winograd
	dnnAuto     dnnAlgorithm = C.dnn_auto
)

func (p *dnnProgram) convolution(dst, src, weights, bias dnnTensor, algorithm dnnAlgorithm, stride, padding int) {
	if p.err == nil {
		p.check("convolution", C.dnn_convolution(p.c, C.int(algorithm), src.c, weights.c, bias.c, dst.c, C.int(stride), C.int(padding)))
	}
}

// fill gives a tensor its values, which lie as its strides say. It comes after the primitives, which lay the tensor out.
func (p *dnnProgram) fill(t dnnTensor, values []float32) {
	if p.err == nil && len(values) != t.size {
		p.err = fmt.Errorf("%d values for a tensor of %d", len(values), t.size)
	}
	if p.err == nil {
		p.check("reorder", C.dnn_write(t.c, (*C.float)(&values[0])))
	}
}

// finish returns the program, or why it cannot be.
func (p *dnnProgram) finish(output dnnTensor) (contender, error) {
	p.output = output
	if p.err != nil {
		p.Close()
		return nil, p.err
	}
	return p, nil
}

// String names the implementations that oneDNN chose.
func (p *dnnProgram) String() string {
	var names []string
	for i := 0; ; i++ {
		name := C.dnn_name(p.c, C.int(i))
		if name == nil {
			return strings.Join(names, " ")
		}
		names = append(names, C.GoString(name))
	}
}

func (p *dnnProgram) Run(times int) error {
	if status := C.dnn_run(p.c, C.int(times)); status != 0 {
		return dnnError{"execute", int(status)}
	}
	return nil
}

func (p *dnnProgram) Output() ([]float32, error) {
	values := make([]float32, p.output.size)
	if status := C.dnn_read(p.output.c, (*C.float)(unsafe.Pointer(&values[0]))); status != 0 {
		return nil, dnnError{"reorder", int(status)}
	}
	if p.restore != nil {
		values = p.restore(values)
	}
	return values, nil
}

func (p *dnnProgram) Close() {
	C.dnn_end(p.c)
	for _, t := range p.tensors {
		C.dnn_drop(t)
	}
}
