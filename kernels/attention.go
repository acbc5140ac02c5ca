package kernels

// Attention works on tiles of up to NR queries (GEMM.NR) that lie side by side in vector lanes,
// so that every reduction over keys runs down a column and none across a vector:
//
//	Qᵀ = ToLanes(Q)·scale          d × NR
//	for each block of keys:
//		S = K·Qᵀ                   keys × NR, by GEMM.Tile with K's rows in place
//		P, max, sum, alpha = Softmax(S)
//		Oᵀ = alpha·Oᵀ + Vᵀ·P       d × NR, by Weigh with V's rows in place
//	O = FromLanes(Oᵀ)/sum
//
// (Rabe & Staats 2021, "Self-attention does not need O(n²) memory"; Dao et al. 2022,
// "FlashAttention").

// ToLanesArgs asks for rows to be laid into lanes: for c < Cols and r < NR,
//
//	Dst[c*NR+r] = Scale * Src[r*SrcStride+c]      // 0 where r ≥ Rows
type ToLanesArgs struct {
	Rows, Cols int // Rows ≤ NR
	Src        []float32
	SrcStride  int
	Scale      float32
	Dst        []float32
}

// SoftmaxArgs asks for one block of an online softmax to base 2 over the keys, for NR queries in
// lanes: for q < NR,
//
//	m := max(Max[q], S[0*NR+q], …, S[(Keys-1)*NR+q])
//	Alpha[q] = exp2(Max[q] − m)
//	Max[q] = m
//	sum := Sum[q] * Alpha[q]
//	block := 0
//	for k := range Keys {
//		S[k*NR+q] = exp2(S[k*NR+q] − m)
//		block += S[k*NR+q]                        // in rising k
//	}
//	Sum[q] = sum + block
//
// Max starts at −math.MaxFloat32, not at −Inf, so that a key masked by −Inf weighs nothing even
// before any other was seen, and keys that are all masked by −MaxFloat32 weigh the same. A score of
// NaN or +Inf makes Sum NaN. exp2 is within 1.1 ulp, flushes nothing, and is exp2Poly's arithmetic.
type SoftmaxArgs struct {
	Keys            int // at least 1
	S               []float32
	Max, Sum, Alpha []float32 // NR each
}

// WeighArgs asks for values weighed by a block of probabilities, added to what was weighed
// before: for r < Rows and q < NR,
//
//	o := Alpha[q] * O[r*NR+q]
//	for k := range Keys {
//		o = fma(V[k*VStride+r], P[k*NR+q], o)
//	}
//	O[r*NR+q] = o
//
// Rows of any number are taken, tile by tile.
type WeighArgs struct {
	Rows, Keys int
	V          []float32
	VStride    int
	P          []float32
	O          []float32
	Alpha      []float32
}

// FromLanesArgs asks for lanes to be laid back into rows: for r < Rows and c < Cols,
//
//	Dst[r*DstStride+c] = Scale[r] * Src[c*NR+r]                          // Add is false
//	Dst[r*DstStride+c] = fma(Scale[r], Src[c*NR+r], Dst[r*DstStride+c])  // Add is true
type FromLanesArgs struct {
	Rows, Cols int // Rows ≤ NR
	Src        []float32
	Scale      []float32 // NR values
	Add        bool
	Dst        []float32
	DstStride  int
}
