package main

/*
#cgo linux LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>
*/
import "C"

import (
	"fmt"
	"os"
	"unsafe"
)

// open loads the library that the environment variable names, or else the first of names that is
// found where the system looks for libraries.
func open(variable string, names ...string) (unsafe.Pointer, error) {
	if path := os.Getenv(variable); path != "" {
		names = []string{path}
	}
	var first error
	for _, name := range names {
		s := C.CString(name)
		handle := C.dlopen(s, C.RTLD_NOW|C.RTLD_LOCAL)
		C.free(unsafe.Pointer(s))
		if handle != nil {
			return handle, nil
		}
		if err := fmt.Errorf("%s", C.GoString(C.dlerror())); first == nil {
			first = err
		}
	}
	return nil, first
}
