package main

// #include <stdlib.h>
// #include "ort.h"
import "C"

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"unsafe"

	"github.com/lanewise/lanewise/tensor"
)

var onnxRuntime = &peer{
	name:    "ONNX Runtime",
	install: "npm install --no-save --ignore-scripts onnxruntime-node, in this folder; LANEWISE_ORT=…/libonnxruntime.so.1 names another",
	load: func() (string, error) {
		names := []string{"libonnxruntime.so.1", "libonnxruntime.so", "libonnxruntime.dylib"}
		arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
		if arch == "" {
			arch = runtime.GOARCH
		}
		found, _ := filepath.Glob("node_modules/onnxruntime-node/bin/napi-v*/" + runtime.GOOS + "/" + arch + "/libonnxruntime.*")
		for i, path := range found {
			found[i], _ = filepath.Abs(path) // a name with a slash is not searched for
		}
		library, err := open("LANEWISE_ORT", append(found, names...)...)
		if err != nil {
			return "", err
		}
		if missing := C.ort_bind(library); missing != nil {
			return "", fmt.Errorf("the library lacks %s", C.GoString(missing))
		}
		return C.GoString(C.ort_version()), nil
	},
}

// ortModel is a session with its operands. Its threads spin between runs, for a while.
type ortModel struct {
	c       *C.ort_model
	pinned  runtime.Pinner
	names   []*C.char
	output  []float32
	restore func([]float32) []float32 // the output in Lanewise's layout; nil where it is
}

// newORT makes a session of a model with one output for so many threads; inputs are the values of
// the model's, in their order.
func newORT(threads int, m model, inputs ...[]float32) (*ortModel, error) {
	bytes := m.encode()
	s := &ortModel{c: C.ort_open(unsafe.Pointer(&bytes[0]), C.size_t(len(bytes)), C.int(threads))}
	if s.c == nil {
		return nil, errors.New(C.GoString(C.ort_error()))
	}
	for i, o := range m.inputs {
		values := tensor.Aligned(size(o.dims))
		if copy(values, inputs[i]) != len(inputs[i]) || len(inputs[i]) != len(values) {
			panic(fmt.Sprintf("ort: input %s: %d values for %v", o.name, len(inputs[i]), o.dims))
		}
		if err := s.operand(0, o, values); err != nil {
			s.Close()
			return nil, err
		}
	}
	s.output = tensor.Aligned(size(m.outputs[0].dims))
	if err := s.operand(1, m.outputs[0], s.output); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// sessionOf makes a contender of newORT's results.
func sessionOf(s *ortModel, err error) (contender, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// operand hands memory to the session, which keeps it.
func (s *ortModel) operand(output C.int, o operand, values []float32) error {
	s.pinned.Pin(&values[0])
	name := C.CString(o.name)
	s.names = append(s.names, name)
	var dims [6]C.int64_t
	for i, d := range o.dims {
		dims[i] = C.int64_t(d)
	}
	if C.ort_operand(s.c, output, name, (*C.float)(&values[0]), &dims[0], C.int(len(o.dims))) != 0 {
		return errors.New(C.GoString(C.ort_error()))
	}
	return nil
}

func (s *ortModel) Run(times int) error {
	if C.ort_run(s.c, C.int(times)) != 0 {
		return errors.New(C.GoString(C.ort_error()))
	}
	return nil
}

func (s *ortModel) Output() ([]float32, error) {
	if s.restore != nil {
		return s.restore(s.output), nil
	}
	return s.output, nil
}

func (s *ortModel) Close() {
	C.ort_close(s.c)
	s.pinned.Unpin()
	for _, name := range s.names {
		C.free(unsafe.Pointer(name))
	}
}

// size is how many values an array of dims has.
func size(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}
