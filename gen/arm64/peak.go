package arm64

import "github.com/lanewise/lanewise/gen/layout"

// peaks emits what this core can do: Peak and Triad.
func peaks(e *emitter) {
	peak(e)
	triad(e)
}

// peak emits Peak: chains of multiply-adds in registers, as many as there are accumulators in a
// GEMM tile, by the instruction that it uses. All values are zero, so nothing ever overflows or turns denormal.
func peak(e *emitter) {
	e.function("Peak", 0, layout.Peak, R(19), "Peak is kernels.Set.Peak; args points to a kernels.PeakArgs.")
	const chains = mr * nr / vector
	count, flop := R(0), R(1)
	e.get("Iterations", count)
	e.MOVD(2*chains*vector, flop)
	e.MUL(count, flop, flop)
	e.MOVD(flop, e.field("FLOP"))
	a, b := V(chains), V(chains+1)
	for v := range V(chains + 2) {
		e.zero(v)
	}
	e.CBZ(count, "done")
	e.align(32)
	e.label("loop")
	for i := range V(chains) {
		e.FMLALane(a, 0, b, i)
	}
	e.SUBS(1, count)
	e.BNE("loop")
	e.label("done")
	e.RET()
}

// triad emits Triad: four vectors at a time.
func triad(e *emitter) {
	e.function("Triad", 0, layout.Triad, R(19), "Triad is kernels.Set.Triad; args points to a kernels.TriadArgs.")
	dst, b, c, count := R(0), R(1), R(2), R(3)
	const together = 4
	s := V(2 * together)
	e.get("Dst", dst)
	e.get("B", b)
	e.get("C", c)
	e.MOVD(e.length("Dst"), count)
	e.FMOVS(e.field("S"), s)
	e.VDUP(s, 0, s)
	e.CBZ(count, "done")
	e.align(32)
	e.label("loop")
	for i := V(0); i < together; i += 2 {
		e.FLDPQ(at(b, int(i)*bytesV), i, i+1)
		e.FLDPQ(at(c, int(i)*bytesV), together+i, together+i+1)
	}
	for i := range V(together) {
		e.FMLA(s, together+i, i)
	}
	for i := V(0); i < together; i += 2 {
		e.FSTPQ(i, i+1, at(dst, int(i)*bytesV))
	}
	for _, p := range []R{dst, b, c} {
		e.ADD(together*bytesV, p)
	}
	e.SUBS(together*vector, count)
	e.BGT("loop")
	e.label("done")
	e.RET()
}
