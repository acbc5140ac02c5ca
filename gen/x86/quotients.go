package x86

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// quotients are the results of the vectors before, still to be divided and stored: that is done between
// the steps of the vectors that follow. AVX-512 begins a division in ten cycles, during which the other
// arithmetic of a vector could be done, but where four vectors come to their divisions at once, these and
// what waits for them take up the scheduler, and little is left of it for anything else. Affine with SiLU takes
// 12.9 cycles a vector when it divides at the end, 12.4 when vectors are a few steps behind one another,
// and 11.4 so (Sapphire Rapids).
type quotients struct {
	x, d []reg.VecPhysical // x/d
	to   reg.GPPhysical    // where they go, or 0 where there are none
	next reg.GPPhysical    // where those of the vectors in work go
}

// newQuotients prepares for no quotients. Those that are computed all the same before there are any go where
// the first will go, and are ones.
func (a *activation) newQuotients(registers []reg.VecPhysical, to, next reg.GPPhysical) *quotients {
	q := &quotients{registers[:a.together], registers[a.together:][:a.together], to, next}
	for i := range q.x {
		a.VMOVUPS(a.constant(1), q.x[i])
		a.VMOVUPS(a.constant(1), q.d[i])
	}
	a.XORQ(to, to)
	return q
}

// over takes in the step x /= d that ends a function, or leaves it to behind.
func (a *activation) over(d []reg.VecPhysical) {
	if a.behind == nil {
		a.each(func(i int) { a.VDIVPS(d[i], a.x[i], a.x[i]) })
		return
	}
	a.divisor = d
}

// runBefore emits the steps that were taken in, the first of which are loads, then puts their quotients in
// the place of q, which are divided and stored meanwhile. at is where the new ones will go.
func (a *activation) runBefore(q *quotients, at Mem) {
	a.LEAQ(at, q.next)
	a.TESTQ(q.to, q.to)
	a.CMOVQEQ(q.next, q.to)
	const loads = 2
	done := 0
	for n, step := range a.steps {
		for i := range a.x {
			step(i)
		}
		if done < len(q.x) && n >= loads+done*len(a.steps)/len(q.x) {
			a.divide(q, done)
			done++
		}
	}
	for ; done < len(q.x); done++ {
		a.divide(q, done)
	}
	a.steps = nil
	for i := range q.x {
		a.VMOVAPS(a.x[i], q.x[i])
		a.VMOVAPS(a.divisor[i], q.d[i])
	}
	a.MOVQ(q.next, q.to)
}

func (a *activation) divide(q *quotients, i int) {
	a.VDIVPS(q.d[i], q.x[i], q.x[i])
	a.VMOVUPS(q.x[i], a.vector(q.to, i))
}

// finish divides and stores the last quotients.
func (a *activation) finish(q *quotients) {
	none := a.unique("none")
	a.TESTQ(q.to, q.to)
	a.JZ(LabelRef(none))
	for i := range q.x {
		a.divide(q, i)
	}
	a.Label(none)
}
