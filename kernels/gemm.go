package kernels

import "unsafe"

// GEMM is a micro-kernel and the block sizes it was tuned for.
type GEMM struct {
	MR, NR int // rows of the tile that registers hold, columns of a panel
	Lanes  int // values in a vector: panels narrower than NR are multiples of it wide
	KC     int // k values of a panel that the second-level cache holds while rows pass by
	MC     int // rows of A that the second-level cache holds while panels pass by

	// Tile fills a panel's worth of columns of C; see TileArgs.
	Tile func(*TileArgs)
	// Widen makes float32 values of half as wide ones; see WidenArgs.
	Widen func(*WidenArgs)
}

// TileArgs asks for some rows and up to NR columns of C = A·B: for r < Rows and j < Cols,
//
//	c := Init[r*InitStride+j]                     // 0 where Init is nil
//	for s := range Segments {
//		for k := range K {
//			c = fma(A[r/MR*AStride+s*MR+r%MR][From+k], B[(s*K+k)*BStride+j], c)
//		}
//	}
//	c = c * Scale[j]                              // c where Scale is nil
//	Dst[r*DstStride+j] = c + Add[r*AddStride+j]   // c where Add is nil
//
// in this order for every element, whatever Rows and Cols are: one chain of fused
// multiply-adds in rising k. A row of A is given by a pointer for each segment, so that a
// matrix at any stride, the taps of a convolution, padding (a pointer to zeros) and gathered rows
// are all the same to the kernel. Rows are done MR at a time, and their pointers stand in that order;
// AStride is how many there are for every MR rows, Segments×MR or more.
//
// Dst may overlap Init or Add where they are the same elements; otherwise it overlaps nothing.
// Elements of Init, Scale and Add at columns from Cols on are not read, and Dst is not written there; B is
// read at Cols columns rounded up to Lanes. An InitStride of 0 starts all rows from one vector: a
// bias.
//
// Ahead is memory that will be wanted soon, such as the panel that follows B. For every k of
// every MR rows, NR/4 values of it are asked into the second-level cache, which hides their way
// from memory behind the arithmetic, until its end is reached. Fetch, where Dst is scratch, is where
// the same elements will be written afterwards: its lines are asked into the first-level cache row by row,
// as those of Dst are where it is nil. Both are hints: nothing of them is read.
type TileArgs struct {
	Rows, Cols  int // at least 1; 1..NR
	Segments, K int
	From        int        // the first k of A's rows
	A           []*float32 // Segments×MR pointers for every MR rows; those of rows from Rows on are not read
	AStride     int
	B           []float32
	BStride     int
	Init        []float32
	InitStride  int
	Scale       []float32
	Add         []float32
	AddStride   int
	Dst         []float32
	DstStride   int
	Ahead       []float32
	Fetch       []float32
	FetchStride int
}

// Width is how many values a row of B has for so many columns: a multiple of Lanes.
func (g *GEMM) Width(cols int) int { return (cols + g.Lanes - 1) / g.Lanes * g.Lanes }

const genericMR, genericNR = 4, 8

// tileGeneric is the contract of TileArgs in Go.
func tileGeneric(t *TileArgs) {
	for row := 0; row < t.Rows; row += genericMR {
		rows := min(genericMR, t.Rows-row)
		var acc [genericMR][genericNR]float32
		for r := range rows {
			if t.Init != nil {
				copy(acc[r][:t.Cols], t.Init[(row+r)*t.InitStride:][:t.Cols])
			}
		}
		for s := range t.Segments {
			if t.K == 0 {
				break // and there need be no pointers
			}
			for r := range rows {
				a := unsafe.Slice(t.A[row/genericMR*t.AStride+s*genericMR+r], t.From+t.K)
				chain(&acc[r], a[t.From:], 1, t.K, t.B[s*t.K*t.BStride:], t.BStride)
			}
		}
		for r := range rows {
			dst := t.Dst[(row+r)*t.DstStride:][:t.Cols]
			if t.Scale != nil {
				for j, scale := range t.Scale[:t.Cols] {
					acc[r][j] *= scale
				}
			}
			if t.Add == nil {
				copy(dst, acc[r][:])
				continue
			}
			for j, add := range t.Add[(row+r)*t.AddStride:][:t.Cols] {
				dst[j] = float32(acc[r][j]) + add
			}
		}
	}
}

// chain runs NR chains of n multiply-adds side by side: c[j] = fma(a[k*step], b[k*stride+j], c[j]) in
// rising k. The accumulators are variables, not an array, so that they stay in registers.
func chain(c *[genericNR]float32, a []float32, step, n int, b []float32, stride int) {
	c0, c1, c2, c3, c4, c5, c6, c7 := c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]
	for k := range n {
		a, b := a[k*step], (*[genericNR]float32)(b[k*stride:])
		c0 = fma(a, b[0], c0)
		c1 = fma(a, b[1], c1)
		c2 = fma(a, b[2], c2)
		c3 = fma(a, b[3], c3)
		c4 = fma(a, b[4], c4)
		c5 = fma(a, b[5], c5)
		c6 = fma(a, b[6], c6)
		c7 = fma(a, b[7], c7)
	}
	*c = [genericNR]float32{c0, c1, c2, c3, c4, c5, c6, c7}
}

// fma is a·b + c with the product exact and the sum rounded to float64 and then to float32: a
// fused multiply-add but for that double rounding, and the same on every machine since the product
// of two float32 values is exact in float64, fused or not.
func fma(a, b, c float32) float32 { return float32(float64(a)*float64(b) + float64(c)) }
