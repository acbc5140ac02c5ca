package kernels

import "unsafe"

// GEMM is a micro-kernel and the block sizes it was tuned for.
type GEMM struct {
	MR, NR int // rows and columns of the largest tile that one call fills
	KC     int // k values of a weight panel worth keeping in a cache while rows pass by
	MC     int // rows of A worth keeping in a cache while weight panels pass by
	Alias  int // rows of A at a stride of a multiple of this evict each other from a cache; 0: at none

	// Tile fills a tile of C; see TileArgs.
	Tile func(*TileArgs)
}

// TileArgs asks for a tile of C = A·B: for r < Rows and j < Cols,
//
//	c := Init[r*InitStride+j]                     // 0 where Init is nil
//	for s := range Segments {
//		for k := range K {
//			c = fma(A[s*MR+r][k], B[(s*K+k)*NR+j], c)
//		}
//	}
//	Dst[r*DstStride+j] = c + Add[r*AddStride+j]   // c where Add is nil
//
// in this order for every element, whatever Rows and Cols are: one chain of fused
// multiply-adds in rising k. A row of A is given by a pointer for each segment, so that a
// matrix at any stride, the taps of a convolution, padding (a pointer to zeros) and gathered rows
// are all the same to the kernel.
//
// Dst may overlap Init or Add where they are the same elements; otherwise it overlaps nothing.
// Elements of Init and Add at columns from Cols on are not read, and Dst is not written there; B
// is read at all NR columns. An InitStride of 0 starts all rows from one vector: a bias.
//
// Ahead is memory that will be wanted soon, such as the panel that follows B. For every k, NR/4
// values of it are asked into the second-level cache, which hides their way from memory behind
// the arithmetic. It is a hint: nothing of it is read, nor need it be as long.
type TileArgs struct {
	Rows, Cols  int // 1..MR and 1..NR
	Segments, K int
	A           []*float32 // Segments×MR pointers to K values each; those of rows from Rows on are not read
	B           []float32  // Segments·K rows of NR values: a packed panel
	Init        []float32
	InitStride  int
	Add         []float32
	AddStride   int
	Dst         []float32
	DstStride   int
	Ahead       []float32
}

const genericMR, genericNR = 4, 8

// tileGeneric is the contract of TileArgs in Go.
func tileGeneric(t *TileArgs) {
	var acc [genericMR][genericNR]float32
	for r := range t.Rows {
		if t.Init != nil {
			copy(acc[r][:t.Cols], t.Init[r*t.InitStride:][:t.Cols])
		}
	}
	for s := range t.Segments {
		for r := range t.Rows {
			a := unsafe.Slice(t.A[s*genericMR+r], t.K)
			chain(&acc[r], a, 1, t.K, t.B[s*t.K*genericNR:])
		}
	}
	for r := range t.Rows {
		dst := t.Dst[r*t.DstStride:][:t.Cols]
		if t.Add == nil {
			copy(dst, acc[r][:])
			continue
		}
		for j, add := range t.Add[r*t.AddStride:][:t.Cols] {
			dst[j] = acc[r][j] + add
		}
	}
}

// chain runs NR chains of n multiply-adds side by side: c[j] = fma(a[k*step], b[k*NR+j], c[j]) in
// rising k. The accumulators are variables, not an array, so that they stay in registers.
func chain(c *[genericNR]float32, a []float32, step, n int, b []float32) {
	c0, c1, c2, c3, c4, c5, c6, c7 := c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]
	for k := range n {
		a, b := a[k*step], (*[genericNR]float32)(b[k*genericNR:])
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
