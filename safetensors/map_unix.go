//go:build unix

package safetensors

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// mapFile maps a file of size bytes for reading; the mapping outlives f.
func mapFile(f *os.File, size int64) (data []byte, unmap func() error, err error) {
	if size <= 0 || size > math.MaxInt {
		return nil, nil, errors.ErrUnsupported
	}
	data, err = unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, err
	}
	return data, func() error { return unix.Munmap(data) }, nil
}

// guardFault runs read, and turns the fault that reading a mapped page without a file behind it
// raises (the file was cut short meanwhile, or the disk failed) into an error.
func guardFault(read func()) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		fault := recover()
		if fault == nil {
			return
		}
		if f, ok := fault.(interface {
			runtime.Error
			Addr() uintptr
		}); ok {
			err = fmt.Errorf("the file changed or cannot be read: %w", f)
			return
		}
		panic(fault)
	}()
	read()
	return nil
}
