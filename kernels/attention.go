package kernels

import "math"

// Attention works on tiles of up to Set.Queries queries that lie side by side in W vector lanes, so
// that every reduction over keys runs down a column and none across a vector:
//
//	Qᵀ = ToLanes(Q)·scale          d × W
//	for each block of keys:
//		S = K·Qᵀ + mask            keys × W, by Score with K's rows in place
//		P, max, sum, alpha = Softmax(S)
//		Oᵀ = alpha·Oᵀ + Vᵀ·P       d × W, by Weigh with V's rows in place
//	O = FromLanes(Oᵀ)/sum
//
// (Rabe & Staats 2021, "Self-attention does not need O(n²) memory"; Dao et al. 2022,
// "FlashAttention"). W is the Lanes of a call: a multiple of GEMM.Lanes, at most Set.Queries. What
// comes out for a query depends neither on W nor on its lane.

// ToLanesArgs asks for rows to be laid into lanes, which is a transposition: for c < Cols and
// r < Lanes,
//
//	Dst[c*DstStride+r] = Scale * Src[r*SrcStride+c]      // 0 where r ≥ Rows
type ToLanesArgs struct {
	Rows, Cols int // Rows ≤ Lanes
	Lanes      int // at most Set.Queries, and a multiple of GEMM.Lanes
	Src        []float32
	SrcStride  int
	Scale      float32
	Dst        []float32
	DstStride  int
}

// ScoreArgs asks for the scores of a block of keys: for k < Keys and q < W = Lanes,
//
//	s := 0
//	for c := range Cols {
//		s = fma(K[k*KStride+c], Q[c*W+q], s)
//	}
//	if Bias != nil { s = s + Bias[k] }
//	if Mask != nil { s = s + base2(Mask[k*W+q]) }
//	S[k*W+q] = s
//
// Q holds queries in lanes, scaled for a softmax to base 2. So is Bias, a value for each key; Mask, a
// value for each key and query, is not yet: base2(m) is m·log2 e, infinite where m is and nowhere
// else, since what overflows becomes ±math.MaxFloat32. Both come last since a value of large magnitude
// would round each step of the sum.
type ScoreArgs struct {
	Keys, Cols, Lanes int
	K                 []float32
	KStride           int
	Q, Bias, Mask, S  []float32

	// FetchRows rows of FetchCols values will be wanted soon: a maker may fetch their cache lines while
	// it works, some with each group of its own rows. Nothing is read or written there.
	FetchRows, FetchCols int
	Fetch                []float32
	FetchStride          int
}

// SoftmaxArgs asks for one block of an online softmax to base 2 over the keys, for W queries in
// lanes: for q < W = Lanes,
//
//	m := max(Max[q], S[0*W+q], …, S[(Keys-1)*W+q])
//	Alpha[q] = exp2(Max[q] − m)
//	Max[q] = m
//	sum := Sum[q] * Alpha[q]
//	block := 0
//	for k := range Keys {
//		S[k*W+q] = exp2(S[k*W+q] − m)
//		block += S[k*W+q]                        // in rising k
//	}
//	Sum[q] = sum + block
//
// A NaN is never the maximum. Max starts at −math.MaxFloat32, not at −Inf, so that a key masked by
// −Inf weighs nothing even before any other was seen, and keys that are all masked by −MaxFloat32
// weigh the same. A score of NaN or +Inf makes Sum NaN. exp2 is that of exp.go.
type SoftmaxArgs struct {
	Keys, Lanes     int // Keys at least 1
	S               []float32
	Max, Sum, Alpha []float32 // a value for each query
}

// WeighArgs asks for values weighed by a block of probabilities, added to what was weighed
// before: for r < Rows and q < W = Lanes,
//
//	o := Alpha[q] * O[r*W+q]                 // 0 where Alpha is nil: O is not read
//	for k := range Keys {
//		o = fma(V[k*VStride+r], P[k*W+q], o)
//	}
//	O[r*W+q] = o
//
// Rows of any number are taken, tile by tile.
type WeighArgs struct {
	Rows, Keys, Lanes int
	V                 []float32
	VStride           int
	P                 []float32
	O                 []float32
	Alpha             []float32

	FetchRows, FetchCols int // as in ScoreArgs
	Fetch                []float32
	FetchStride          int
}

// FromLanesArgs asks for lanes to be laid back into rows: for r < Rows, c < Cols and W = Lanes,
//
//	Dst[r*DstStride+c] = Scale[r] * Src[c*W+r]
type FromLanesArgs struct {
	Rows, Cols int // Rows ≤ Lanes
	Lanes      int
	Src        []float32
	Scale      []float32 // Lanes values
	Dst        []float32
	DstStride  int
}

// toLanesGeneric is the contract of ToLanesArgs in Go.
func toLanesGeneric(a *ToLanesArgs) {
	for c := range a.Cols {
		clear(a.Dst[c*a.DstStride:][:a.Lanes])
	}
	for r := range a.Rows {
		for c, v := range a.Src[r*a.SrcStride:][:a.Cols] {
			a.Dst[c*a.DstStride+r] = a.Scale * v
		}
	}
}

// scoreGeneric is the contract of ScoreArgs in Go.
func scoreGeneric(a *ScoreArgs) {
	for k := range a.Keys {
		s := a.S[k*a.Lanes:][:a.Lanes]
		clear(s)
		if a.Cols > 0 {
			chains(s, a.K[k*a.KStride:], 1, a.Cols, a.Q)
		}
		if a.Bias != nil {
			for q := range s {
				s[q] += a.Bias[k]
			}
		}
		if a.Mask != nil {
			for q, mask := range a.Mask[k*a.Lanes:][:a.Lanes] {
				s[q] += base2(mask)
			}
		}
	}
}

// chains runs a chain of n multiply-adds for each value of c, as chain does, over rows of b as long as
// c.
func chains(c, a []float32, step, n int, b []float32) {
	j := 0
	for ; j+genericNR <= len(c); j += genericNR {
		chain((*[genericNR]float32)(c[j:]), a, step, n, b[j:], len(c))
	}
	for ; j < len(c); j++ {
		for k := range n {
			c[j] = fma(a[k*step], b[k*len(c)+j], c[j])
		}
	}
}

// base2 returns m·log2 e, finite where m is.
func base2(m float32) float32 {
	if v := float32(m * log2e); v-v == 0 || m-m != 0 {
		return v
	}
	return float32(math.Copysign(math.MaxFloat32, float64(m)))
}

// softmaxGeneric is the contract of SoftmaxArgs in Go.
func softmaxGeneric(a *SoftmaxArgs) {
	for q := range a.Lanes {
		before := a.Max[q]
		top := before
		for k := range a.Keys {
			if s := a.S[k*a.Lanes+q]; s > top {
				top = s
			}
		}
		var block float32
		for k := range a.Keys {
			s := &a.S[k*a.Lanes+q]
			*s = float32(exp2(*s - top))
			block += *s
		}
		alpha := exp2(before - top)
		a.Max[q], a.Alpha[q] = top, alpha
		a.Sum[q] = float32(a.Sum[q]*alpha) + block
	}
}

// weighGeneric is the contract of WeighArgs in Go.
func weighGeneric(a *WeighArgs) {
	for r := range a.Rows {
		o := a.O[r*a.Lanes:][:a.Lanes]
		if a.Alpha == nil {
			clear(o)
		} else {
			for q, alpha := range a.Alpha[:a.Lanes] {
				o[q] *= alpha
			}
		}
		if a.Keys > 0 {
			chains(o, a.V[r:], a.VStride, a.Keys, a.P)
		}
	}
}

// fromLanesGeneric is the contract of FromLanesArgs in Go.
func fromLanesGeneric(a *FromLanesArgs) {
	for r := range a.Rows {
		scale, dst := a.Scale[r], a.Dst[r*a.DstStride:][:a.Cols]
		for c := range dst {
			dst[c] = scale * a.Src[c*a.Lanes+r]
		}
	}
}
