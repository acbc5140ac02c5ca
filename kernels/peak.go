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

// peakGeneric is the contract of PeakArgs in Go: what a core does without vectors.
func peakGeneric(p *PeakArgs) {
	const chains = 4
	var acc [chains]float32
	a, b := acc[0], acc[1] // zero, so that nothing overflows or turns denormal
	for range p.Iterations {
		for i := range acc {
			acc[i] = fma(a, b, acc[i])
		}
	}
	a = acc[0] + acc[1] + acc[2] + acc[3]
	p.FLOP = 2 * chains * p.Iterations
}

// triadGeneric is the contract of TriadArgs in Go.
func triadGeneric(t *TriadArgs) {
	b, c := t.B[:len(t.Dst)], t.C[:len(t.Dst)]
	for i := range t.Dst {
		t.Dst[i] = fma(t.S, c[i], b[i])
	}
}
