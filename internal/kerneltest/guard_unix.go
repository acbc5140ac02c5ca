//go:build unix

package kerneltest

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Guard returns n values whose last byte is the last before an unreadable page, so that a kernel
// that reads or writes past its operand faults. The memory is given back when the test ends.
//
// LANEWISE_GUARD=off makes it ordinary memory, for emulators that read the lanes which a masked load
// leaves out (qemu's VMASKMOVPS).
func Guard(t testing.TB, n int) []float32 {
	t.Helper()
	if os.Getenv("LANEWISE_GUARD") == "off" {
		return make([]float32, n)
	}
	page := unix.Getpagesize()
	size := (4*n + page - 1) / page * page
	m, err := unix.Mmap(-1, 0, size+page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mprotect(m[size:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(m) })
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&m[size-4*n])), n)
}
