package kernels

import (
	"unsafe"

	"github.com/lanewise/lanewise/internal/winograd"
)

// Winograd is a fast convolution F(m×m, r×r): t×t products in place of m·m·r·r, t = m+r−1. Package
// conv says what each is good for.
type Winograd = winograd.Kind

const (
	F2 = winograd.F2 // F(2×2, 3×3)
	F4 = winograd.F4 // F(4×4, 3×3)
	F6 = winograd.F6 // F(6×6, 3×3)
	F5 = winograd.F5 // F(5×5, 2×2)
)

// WinogradTemp is how many values of scratch the transforms of Winograd convolutions need.
const WinogradTemp = 8 * 8 * 16

// The transforms below work along two axes, first over y for every x and then over x. Along one axis,
// with the coefficients of winograd.Transform, each line is one float32 operation per step, in this
// order, on every maker:
//
//	input:   v[0]   = d[2n]; for k = n−1 … 0: v[0] = fma(C[k], d[2k], v[0])
//	         v[t−1] = d[2n+1]; for k = n−1 … 0: v[t−1] = fma(C[k], d[2k+1], v[t−1])
//	         for each pair i: e = d[2n]; for k = n−2 … 0: e = fma(Q[i][k], d[2k+2], e)
//	                          o = d[2n−1]; for k = n−2 … 0: o = fma(Q[i][k], d[2k+1], o)
//	                          v[2i+1] = fma(p[i], o, e); v[2i+2] = fma(−p[i], o, e)
//	output:  s[i] = μ[2i+1] + μ[2i+2]; δ[i] = μ[2i+1] − μ[2i+2]
//	         y[0] = μ[0] + s[0]; for i = 1 …: y[0] = y[0] + s[i]
//	         y[j] = Power[0][j]·x[0]; for i = 1 …: y[j] = fma(Power[i][j], x[i], y[j])   // x is δ for odd j, s for even
//	         y[m−1] = y[m−1] + μ[t−1]
//	weights: u[0] = Zero·g[0]; u[t−1] = g[r−1]
//	         e = Weight[i][0]·g[0]; for r = 3: e = fma(Weight[i][2], g[2], e)
//	         u[2i+1] = fma(Weight[i][1], g[1], e); u[2i+2] = fma(−Weight[i][1], g[1], e)
//
// for pairs i from 0 up to n−1, n = (t−2)/2.

// WinogradInputArgs asks for the transform Bᵀ d B of t×t pixels of each of some tiles: for tile i, point a
// < t·t and channel c < Cols,
//
//	Dst[a*PointStride + i*DstStride + c] = (Bᵀ d B)[a]    // with d[b] = Pixels[i*t*t+b][From+c]
//
// Pixels are given by pointers, so that a tile of an image at any stride, padding (a pointer to zeros)
// and an enlarged image are all the same. Temp is WinogradTemp values of scratch. Nothing overlaps.
type WinogradInputArgs struct {
	Kind                   Winograd
	Tiles, Cols, From      int
	Pixels                 []*float32 // t·t for each tile, row by row
	Dst                    []float32
	PointStride, DstStride int
	Temp                   []float32
}

// WinogradOutputArgs asks for the transform Aᵀ μ A of t×t products to the m×m pixels of each of some
// tiles: for tile i, pixel b < m·m and column j < Cols,
//
//	y := (Aᵀ μ A)[b]                       // with μ[a] = Src[a*PointStride + i*SrcStride + j]
//	y = y + Bias[j]                        // y where Bias is nil
//	y = y * Scale[j]                       // y where Scale is nil
//	Dst[i*m*m+b][From+j] = y + Add[i*m*m+b][From+j]    // y where Add is nil
//
// A pixel whose pointer in Dst is nil lies outside of the image: it is not stored, and its pointer in Add
// is not looked at. A pixel of Add may be that of Dst; otherwise nothing overlaps. Temp is
// WinogradTemp values of scratch.
type WinogradOutputArgs struct {
	Kind                   Winograd
	Tiles, Cols, From      int
	Src                    []float32
	PointStride, SrcStride int
	Bias, Scale            []float32
	Dst, Add               []*float32 // m·m for each tile, row by row
	Temp                   []float32
}

// WinogradWeightsArgs asks for the transform G g Gᵀ of r×r taps: for i < N, a multiple of GEMM.Lanes, and
// point a < t·t,
//
//	Dst[a*PointStride + i] = (G g Gᵀ)[a]    // with g[b] = Taps[b*TapStride + i]
//
// Temp is WinogradTemp values of scratch. Nothing overlaps.
type WinogradWeightsArgs struct {
	Kind        Winograd
	N           int
	Taps        []float32
	TapStride   int
	Dst         []float32
	PointStride int
	Temp        []float32
}

// winogradInputGeneric is the contract of WinogradInputArgs in Go.
func winogradInputGeneric(w *WinogradInputArgs) {
	x := w.Kind.Transform()
	var (
		t = x.Points
		d [64]float32
	)
	for i := range w.Tiles {
		for c := range w.Cols {
			for b, p := range w.Pixels[i*t*t : (i+1)*t*t] {
				d[b] = *element(p, w.From+c)
			}
			for col := range t {
				winogradInput(x, d[col:], t)
			}
			for row := range t {
				winogradInput(x, d[row*t:], 1)
			}
			dst := w.Dst[i*w.DstStride+c:]
			for a, v := range d[:t*t] {
				dst[a*w.PointStride] = v
			}
		}
	}
}

// winogradInput transforms t values that lie step apart, in place.
func winogradInput(x *winograd.Transform, d []float32, step int) {
	var v [8]float32
	n := len(x.Pairs)
	even, odd := d[2*n*step], d[(2*n+1)*step]
	for k := n - 1; k >= 0; k-- {
		even = fma(x.C[k], d[2*k*step], even)
		odd = fma(x.C[k], d[(2*k+1)*step], odd)
	}
	v[0], v[2*n+1] = even, odd
	for i, p := range x.Pairs {
		e, o := d[2*n*step], d[(2*n-1)*step]
		for k := n - 2; k >= 0; k-- {
			e = fma(x.Q[i][k], d[(2*k+2)*step], e)
			o = fma(x.Q[i][k], d[(2*k+1)*step], o)
		}
		v[2*i+1], v[2*i+2] = fma(float32(p), o, e), fma(-float32(p), o, e)
	}
	for k := range x.Points {
		d[k*step] = v[k]
	}
}

// winogradOutputGeneric is the contract of WinogradOutputArgs in Go.
func winogradOutputGeneric(w *WinogradOutputArgs) {
	x := w.Kind.Transform()
	var (
		t, m = x.Points, x.Outputs
		u    [64]float32
	)
	for i := range w.Tiles {
		for j := range w.Cols {
			src := w.Src[i*w.SrcStride+j:]
			for a := range t * t {
				u[a] = src[a*w.PointStride]
			}
			for col := range t {
				winogradOutput(x, u[col:], t)
			}
			for row := range m {
				winogradOutput(x, u[row*t:], 1)
			}
			for b, p := range w.Dst[i*m*m : (i+1)*m*m] {
				if p == nil {
					continue
				}
				y := u[b/m*t+b%m]
				if w.Bias != nil {
					y += w.Bias[j]
				}
				if w.Scale != nil {
					y *= w.Scale[j]
				}
				if w.Add != nil {
					y = float32(y) + *element(w.Add[i*m*m+b], w.From+j)
				}
				*element(p, w.From+j) = y
			}
		}
	}
}

// winogradOutput transforms t values that lie step apart to m, in place.
func winogradOutput(x *winograd.Transform, u []float32, step int) {
	var y [8]float32
	for i := range x.Pairs {
		plus, minus := u[(2*i+1)*step], u[(2*i+2)*step]
		parts := [2]float32{plus + minus, plus - minus}
		for j := range x.Outputs {
			switch part := parts[j%2]; {
			case i == 0 && j == 0:
				y[j] = u[0] + part
			case i == 0:
				y[j] = x.Power[i][j] * part
			default:
				y[j] = fma(x.Power[i][j], part, y[j])
			}
		}
	}
	y[x.Outputs-1] = float32(y[x.Outputs-1]) + u[(x.Points-1)*step]
	for j := range x.Outputs {
		u[j*step] = y[j]
	}
}

// winogradWeightsGeneric is the contract of WinogradWeightsArgs in Go.
func winogradWeightsGeneric(w *WinogradWeightsArgs) {
	x := w.Kind.Transform()
	var (
		t, r = x.Points, x.Taps
		u    [64]float32
	)
	for i := range w.N {
		for b := range r * r {
			u[b/r*t+b%r] = w.Taps[b*w.TapStride+i]
		}
		for col := range r {
			winogradWeights(x, u[col:], t)
		}
		for row := range t {
			winogradWeights(x, u[row*t:], 1)
		}
		for a, v := range u[:t*t] {
			w.Dst[a*w.PointStride+i] = v
		}
	}
}

// winogradWeights transforms r values that lie step apart to t, in place.
func winogradWeights(x *winograd.Transform, u []float32, step int) {
	var g [3]float32
	for k := range x.Taps {
		g[k] = u[k*step]
	}
	u[0] = x.Zero * g[0]
	for i, c := range x.Weight {
		e := float32(c[0] * g[0])
		if x.Taps == 3 {
			e = fma(c[2], g[2], e)
		}
		u[(2*i+1)*step], u[(2*i+2)*step] = fma(c[1], g[1], e), fma(-c[1], g[1], e)
	}
	u[(x.Points-1)*step] = g[x.Taps-1]
}

// element is the value that lies i values after p.
func element(p *float32, i int) *float32 {
	return (*float32)(unsafe.Add(unsafe.Pointer(p), i*int(unsafe.Sizeof(*p))))
}
