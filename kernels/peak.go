package kernels

// PeakArgs asks for Iterations rounds of independent fused multiply-adds in registers. FLOP is
// set to how many floating-point operations that was.
type PeakArgs struct {
	Iterations int
	FLOP       int
}

// TriadArgs asks for Dst[i] = fma(S, C[i], B[i]) over len(Dst) values, a multiple of 64: the
// triad of the STREAM benchmark.
type TriadArgs struct {
	Dst, B, C []float32
	S         float32
}
