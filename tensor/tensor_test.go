package tensor_test

import (
	"slices"
	"testing"
	"unsafe"

	"github.com/lanewise/lanewise/tensor"
)

func TestAligned(t *testing.T) {
	for n := range 200 {
		s := tensor.Aligned(n)
		if len(s) != n || cap(s) != n {
			t.Fatalf("%d values: length %d, capacity %d", n, len(s), cap(s))
		}
		if p := uintptr(unsafe.Pointer(unsafe.SliceData(s))); p%64 != 0 {
			t.Fatalf("%d values start at %#x", n, p)
		}
	}
}

// numbered returns a batch whose value at (n, y, x, c) is its place in PyTorch's layout, at a stride of
// c + 2 whose gaps hold −1.
func numbered(n, h, w, c int) tensor.NHWC {
	t := tensor.NHWC{N: n, H: h, W: w, C: c, Stride: c + 2, Data: slices.Repeat([]float32{-1}, n*h*w*(c+2))}
	for i := range n {
		for y := range h {
			for x := range w {
				for ch := range c {
					t.Pixel(i, y, x)[ch] = float32(((i*c+ch)*h+y)*w + x)
				}
			}
		}
	}
	return t
}

func TestNCHW(t *testing.T) {
	src := numbered(2, 3, 4, 5)
	planes := make([]float32, 2*3*4*5)
	tensor.ToNCHW(planes, src)
	for i, v := range planes {
		if v != float32(i) {
			t.Fatalf("planes[%d] = %v", i, v)
		}
	}
	back := numbered(2, 3, 4, 5)
	for p := range back.Tokens().Rows {
		clear(back.Tokens().Row(p))
	}
	tensor.FromNCHW(back, planes)
	if !slices.Equal(back.Data, src.Data) {
		t.Fatalf("there and back: %v", back.Data)
	}
}

func TestViews(t *testing.T) {
	all := numbered(2, 3, 4, 5)
	view := all.Images(1, 2).Channels(2, 4)
	if view.Shape() != "1×3×4×2" {
		t.Fatal(view.Shape())
	}
	view.Check("view")
	for y := range 3 {
		for x := range 4 {
			if got, want := view.Pixel(0, y, x), all.Pixel(1, y, x)[2:4]; &got[0] != &want[0] || len(got) != 2 {
				t.Fatalf("pixel %d, %d is %v, want %v", y, x, got, want)
			}
		}
	}
	copied := tensor.Make(1, 3, 4, 2)
	tensor.Copy(copied, view)
	for p := range 12 {
		if !slices.Equal(copied.Tokens().Row(p), view.Tokens().Row(p)) {
			t.Fatalf("pixel %d is %v, want %v", p, copied.Tokens().Row(p), view.Tokens().Row(p))
		}
	}
	m := all.Tokens().Slice(3, 6).Columns(1, 5)
	if m.Rows != 3 || m.Cols != 4 || &m.Row(2)[3] != &all.Tokens().Row(5)[4] {
		t.Fatalf("%d×%d", m.Rows, m.Cols)
	}
}

func TestPanics(t *testing.T) {
	all := tensor.Make(2, 3, 4, 5)
	for name, f := range map[string]func(){
		"short":    func() { tensor.Mat{Rows: 3, Cols: 2, Stride: 2, Data: make([]float32, 5)}.Check("m") },
		"stride":   func() { tensor.Mat{Rows: 3, Cols: 2, Stride: 1, Data: make([]float32, 9)}.Check("m") },
		"rows":     func() { all.Tokens().Slice(20, 25) },
		"columns":  func() { all.Channels(3, 6) },
		"reversed": func() { all.Channels(3, 2) },
		"images":   func() { all.Images(1, 3) },
		"copy":     func() { tensor.Copy(all, all.Images(0, 1)) },
		"planes":   func() { tensor.ToNCHW(make([]float32, 7), all) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
