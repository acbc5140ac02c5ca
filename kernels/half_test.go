package kernels_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"
	"unsafe"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

var halfTypes = []kernels.HalfType{kernels.BFloat16, kernels.Float16}

// halfValue is what h means by its format's definition: (−1)ˢ·(1 + f/2ᵐ)·2^(e−bias), where e = 0
// (−1)ˢ·f/2ᵐ·2^(1−bias), and where e is all ones infinite or NaN.
func halfValue(t kernels.HalfType, h uint16) float64 {
	m, bias := 10, 15
	if t == kernels.BFloat16 {
		m, bias = 7, 127
	}
	f, e := float64(h&(1<<m-1)), int(h&0x7fff)>>m
	v := math.Ldexp(1+math.Ldexp(f, -m), e-bias)
	switch {
	case e == 0:
		v = math.Ldexp(f, 1-bias-m)
	case e == 2*bias+1 && f == 0:
		v = math.Inf(1)
	case e == 2*bias+1:
		v = math.NaN()
	}
	if h>>15 != 0 {
		v = -v // of 0 too
	}
	return v
}

// guardHalves returns n values that end where readable memory does.
func guardHalves(t testing.TB, n int) []uint16 {
	g := kerneltest.Guard(t, (n+1)/2)
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(g))), 2*len(g))[2*len(g)-n:]
}

// widen runs the kernel on src at the end of readable memory, and compares with what src means.
func widen(t testing.TB, set *kernels.Set, ty kernels.HalfType, src []uint16) {
	t.Helper()
	args := kernels.WidenArgs{Src: guardHalves(t, len(src)), Type: ty, Dst: kerneltest.Guard(t, len(src)+1)}
	copy(args.Src, src)
	kerneltest.Fill(args.Dst)
	set.GEMM.Widen(&args)
	want := make([]float32, len(src))
	for i, h := range src {
		want[i] = float32(halfValue(ty, h))
	}
	kerneltest.Same(t, fmt.Sprintf("%v of %d", ty, len(src)), args.Dst[:len(src)], want)
	if !kerneltest.Untouched(args.Dst[len(src)]) {
		t.Fatalf("%v of %d: wrote beyond", ty, len(src))
	}
}

func TestWidenAllValues(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		src := make([]uint16, 1<<16)
		for i := range src {
			src[i] = uint16(i)
		}
		for _, ty := range halfTypes {
			widen(t, set, ty, src)
		}
	})
}

// Lengths around the edges of vectors, and of the several that a kernel does at a time; each position
// has values of its own.
func TestWidenLengths(t *testing.T) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for n := range 8*set.GEMM.Lanes + 3 {
			src := make([]uint16, n)
			for i := range src {
				src[i] = uint16(0x3001 + 0x1111*i)
			}
			for _, ty := range halfTypes {
				widen(t, set, ty, src)
			}
		}
	})
}

func FuzzWiden(f *testing.F) {
	f.Add([]byte{0, 0x80, 1, 0, 0xff, 0x7b, 0, 0xfc, 1, 0x7c})
	f.Fuzz(func(t *testing.T, bytes []byte) {
		src := make([]uint16, len(bytes)/2)
		for i := range src {
			src[i] = binary.LittleEndian.Uint16(bytes[2*i:])
		}
		for _, set := range kernels.Available() {
			for _, ty := range halfTypes {
				widen(t, set, ty, src)
			}
		}
	})
}

// A format holds every value of its own, and no float32 beside one.
func TestNarrow(t *testing.T) {
	for _, ty := range halfTypes {
		for i := range 1 << 16 {
			h := uint16(i)
			v := float32(halfValue(ty, h))
			if v != v {
				continue
			}
			if got, held := narrow(ty, v); got != h || !held {
				t.Fatalf("%v: %g is %#04x, %v, want %#04x", ty, v, got, held, h)
			}
			for _, bits := range []uint32{math.Float32bits(v) + 1, math.Float32bits(v) - 1} {
				if v := math.Float32frombits(bits); v == v && ty.Holds([]float32{0, v, 0}) {
					t.Fatalf("%v: holds %g (%#08x), beside %#04x", ty, v, bits, h)
				}
			}
		}
	}
}

// narrow returns v in a format, and whether that holds it.
func narrow(ty kernels.HalfType, v float32) (half uint16, held bool) {
	src, dst := []float32{1, v}, make([]uint16, 2)
	ty.Narrow(dst, src)
	return dst[1], ty.Holds(src)
}

// What a format holds is the same bits again after Widen, of NaN too, and what it does not is none of
// its values.
func FuzzNarrow(f *testing.F) {
	for _, bits := range []uint32{0, 1 << 31, 0x477fe000, 0x47800000, 0x33800000, 0x33000000, 0x7f800000, 0x7fc00000, 0x7f802000, 0x00010000, 1} {
		f.Add(bits)
	}
	f.Fuzz(func(t *testing.T, bits uint32) {
		v := math.Float32frombits(bits)
		for _, ty := range halfTypes {
			h, held := narrow(ty, v)
			if !held {
				if n := nearest(ty, v); float32(halfValue(ty, n)) == v {
					t.Errorf("%v: does not hold %g (%#08x), which is %#04x", ty, v, bits, n)
				}
				continue
			}
			for _, set := range kernels.Available() {
				args := kernels.WidenArgs{Src: []uint16{h}, Type: ty, Dst: make([]float32, 1)}
				set.GEMM.Widen(&args)
				if got := math.Float32bits(args.Dst[0]); got != bits {
					t.Errorf("%v: %v: %#08x is %#04x, which is %#08x", set.ISA, ty, bits, h, got)
				}
			}
		}
	})
}

// nearest is the value of the format that is next to v towards zero.
func nearest(ty kernels.HalfType, v float32) uint16 {
	limit := uint16(0x7c00)
	if ty == kernels.BFloat16 {
		limit = 0x7f80
	}
	var sign uint16
	if math.Signbit(float64(v)) {
		sign = 0x8000
	}
	abs := math.Abs(float64(v))
	low, high := uint16(0), limit // positive values are in the order of their bits
	for low < high {
		mid := low + (high-low+1)/2
		if halfValue(ty, mid) <= abs {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return sign | low
}
