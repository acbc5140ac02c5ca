// Package tensor holds the two views of float32 memory that Lanewise computes on.
//
// A view owns nothing: it is a shape, a stride and a slice, passed by value. Strides are in
// elements. Methods that cut a view return another view of the same memory.
package tensor

import (
	"fmt"
	"unsafe"
)

// Mat is a row-major matrix: row r starts at Data[r*Stride] and holds Cols values.
// Its fields are those of gonum's blas32.General.
type Mat struct {
	Rows, Cols, Stride int
	Data               []float32
}

// NHWC is a batch of images, channels innermost: pixel (n, y, x) is the C values that start at
// Data[((n*H+y)*W+x)*Stride]. A Stride above C leaves room beside every pixel, which makes a
// range of channels of a wider image an image too.
type NHWC struct {
	N, H, W, C, Stride int
	Data               []float32
}

// MakeMat allocates a contiguous rows × cols matrix of zeros.
func MakeMat(rows, cols int) Mat {
	return Mat{Rows: rows, Cols: cols, Stride: cols, Data: make([]float32, rows*cols)}
}

// Make allocates a contiguous batch of n images of h × w pixels with c channels, all zero.
func Make(n, h, w, c int) NHWC {
	return NHWC{N: n, H: h, W: w, C: c, Stride: c, Data: make([]float32, n*h*w*c)}
}

// Aligned allocates n values, all zero, that start at a cache line: vectors of 64 bytes then straddle
// no two lines.
func Aligned(n int) []float32 {
	const line = 64 / unsafe.Sizeof(float32(0)) // values
	s := make([]float32, n+int(line)-1)
	skip := int(-(uintptr(unsafe.Pointer(unsafe.SliceData(s))) / unsafe.Sizeof(s[0])) % line)
	return s[skip : skip+n : skip+n]
}

// Row returns row r, Cols values.
func (m Mat) Row(r int) []float32 {
	return m.Data[r*m.Stride : r*m.Stride+m.Cols : r*m.Stride+m.Cols]
}

// Slice returns rows r0 up to r1.
func (m Mat) Slice(r0, r1 int) Mat {
	if r0 < 0 || r1 < r0 || r1 > m.Rows {
		panic(fmt.Sprintf("tensor: rows %d:%d of a matrix of %d", r0, r1, m.Rows))
	}
	m.Data, m.Rows = window(m.Data, r0, r1, m.Cols, m.Stride), r1-r0
	return m
}

// Columns returns columns c0 up to c1 of every row.
func (m Mat) Columns(c0, c1 int) Mat {
	if c0 < 0 || c1 < c0 || c1 > m.Cols {
		panic(fmt.Sprintf("tensor: columns %d:%d of a matrix of %d", c0, c1, m.Cols))
	}
	if m.Rows > 0 {
		m.Data = m.Data[c0 : (m.Rows-1)*m.Stride+c1]
	}
	m.Cols = c1 - c0
	return m
}

// Check panics unless the matrix has sizes that are not negative, a stride of at least Cols, and
// the memory that its shape promises. name says whose operand it is.
func (m Mat) Check(name string) {
	if m.Rows < 0 || m.Cols < 0 || m.Stride < m.Cols || len(m.Data) < extent(m.Rows, m.Cols, m.Stride) {
		panic(fmt.Sprintf("%s: matrix %d×%d, stride %d, over %d values", name, m.Rows, m.Cols, m.Stride, len(m.Data)))
	}
}

// Tokens returns the same memory as a matrix of N·H·W rows, one a pixel.
func (t NHWC) Tokens() Mat {
	return Mat{Rows: t.N * t.H * t.W, Cols: t.C, Stride: t.Stride, Data: t.Data}
}

// Channels returns channels c0 up to c1 of every pixel.
func (t NHWC) Channels(c0, c1 int) NHWC {
	m := t.Tokens().Columns(c0, c1)
	t.Data, t.C = m.Data, m.Cols
	return t
}

// Images returns images n0 up to n1.
func (t NHWC) Images(n0, n1 int) NHWC {
	pixels := t.H * t.W
	m := t.Tokens().Slice(n0*pixels, n1*pixels)
	t.Data, t.N = m.Data, n1-n0
	return t
}

// Pixel returns the C values at (n, y, x).
func (t NHWC) Pixel(n, y, x int) []float32 {
	o := ((n*t.H+y)*t.W + x) * t.Stride
	return t.Data[o : o+t.C : o+t.C]
}

// SameShape says whether t and u have as many images, rows, columns and channels.
func (t NHWC) SameShape(u NHWC) bool {
	return t.N == u.N && t.H == u.H && t.W == u.W && t.C == u.C
}

// Shape formats the shape for error messages: "2×64×64×4".
func (t NHWC) Shape() string { return fmt.Sprintf("%d×%d×%d×%d", t.N, t.H, t.W, t.C) }

// Check panics unless the sizes are not negative, the stride is at least C, and there is the
// memory that the shape promises. name says whose operand it is.
func (t NHWC) Check(name string) {
	if t.N < 0 || t.H < 0 || t.W < 0 {
		panic(fmt.Sprintf("%s: image %s", name, t.Shape()))
	}
	t.Tokens().Check(name)
}

// Copy copies src into dst, which has the same shape and may have another stride. They must not
// overlap unless they are the same view.
func Copy(dst, src NHWC) {
	if !dst.SameShape(src) {
		panic(fmt.Sprintf("tensor: copy of %s into %s", src.Shape(), dst.Shape()))
	}
	d, s := dst.Tokens(), src.Tokens()
	for r := range s.Rows {
		copy(d.Row(r), s.Row(r))
	}
}

// FromNCHW fills dst from PyTorch's layout: src[((n*C+c)*H+y)*W+x].
func FromNCHW(dst NHWC, src []float32) {
	dst.eachNCHW(src, func(pixel, plane *float32) { *pixel = *plane })
}

// ToNCHW fills dst, in PyTorch's layout, from src.
func ToNCHW(dst []float32, src NHWC) {
	src.eachNCHW(dst, func(pixel, plane *float32) { *plane = *pixel })
}

// eachNCHW pairs every value of t with its place in the planes of PyTorch's layout.
func (t NHWC) eachNCHW(planes []float32, f func(pixel, plane *float32)) {
	if len(planes) != t.N*t.H*t.W*t.C {
		panic(fmt.Sprintf("tensor: %d values in NCHW for %s", len(planes), t.Shape()))
	}
	size := t.H * t.W
	for n := range t.N {
		image, m := planes[n*t.C*size:], t.Images(n, n+1).Tokens()
		for p := range size {
			for c, row := 0, m.Row(p); c < t.C; c++ {
				f(&row[c], &image[c*size+p])
			}
		}
	}
}

// extent is how many values rows of cols values at a stride span.
func extent(rows, cols, stride int) int {
	if rows == 0 || cols == 0 {
		return 0
	}
	return (rows-1)*stride + cols
}

// window cuts rows r0 up to r1 out of data.
func window(data []float32, r0, r1, cols, stride int) []float32 {
	if r0 == r1 {
		return nil
	}
	return data[r0*stride : r0*stride+extent(r1-r0, cols, stride)]
}
