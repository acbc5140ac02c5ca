package arm64

import (
	"fmt"
	"slices"

	"github.com/lanewise/lanewise/internal/winograd"
)

// axis emits the transforms of a fast convolution along one axis, in the order of operations that package
// kernels has in its contract, for wide vectors at a time. All chains of a transform advance together, so
// that a core which runs in order finds as many independent operations as there are.
//
// Register plan: coefficients from V31 down, four to a register, and values, wide registers each, from V0 up.
type axis struct {
	*emitter
	*winograd.Transform
	coefficients []float32
	wide         int
}

// widest is the most vectors at a time that there are registers for.
const widest = 2

// of is a for so many vectors at a time.
func (a axis) of(wide int) axis {
	a.wide = wide
	return a
}

// steps are instructions to be written later. They stay in order.
type steps []func()

func (s steps) emit() {
	for _, step := range s {
		step()
	}
}

// weave writes arithmetic with loads spread evenly among it, which cores that run in order issue
// together.
func weave(arithmetic, loads steps) {
	done := 0
	for i, step := range arithmetic {
		step()
		upTo := (i + 1) * len(loads) / len(arithmetic)
		loads[done:upTo].emit()
		done = upTo
	}
	loads[done:].emit()
}

// loader returns the steps that read the k-th value, into each of some places.
type loader func(k int, into ...vectors) steps

// value is the i-th place for a value.
func (a axis) value(i int) vectors { return registers(V(i*a.wide), a.wide) }

// values are the n places from the i-th on.
func (a axis) values(i, n int) []vectors {
	all := make([]vectors, n)
	for k := range all {
		all[k] = a.value(i + k)
	}
	return all
}

// factors adds what accumulate multiplies by to the coefficients: of c and −c, one is enough.
func (a *axis) factors(c ...float32) {
	for _, c := range c {
		if c != 1 && c != -1 && !slices.Contains(a.coefficients, -c) {
			a.exactly(c)
		}
	}
}

// exactly adds what multiply multiplies by.
func (a *axis) exactly(c ...float32) {
	for _, c := range c {
		if c != 1 && !slices.Contains(a.coefficients, c) {
			a.coefficients = append(a.coefficients, c)
		}
	}
}

// hold loads the coefficients, base being what constants has loaded; it panics where they and so many
// values are more than there are registers.
func (a axis) hold(base R, values int) {
	rows := (len(a.coefficients) + vector - 1) / vector
	if 32-rows < values*widest {
		panic(fmt.Sprintf("%d points: %d values and %d coefficients at once", a.Points, values*widest, len(a.coefficients)))
	}
	for i := range rows {
		var row [vector]float32
		copy(row[:], a.coefficients[i*vector:])
		a.FMOVQ(a.constantRow(base, row), V(31-i))
	}
}

// coefficient is where c lies.
func (a axis) coefficient(c float32) (v V, i Lane, ok bool) {
	at := slices.Index(a.coefficients, c)
	return V(31 - at/vector), Lane(at % vector), at >= 0
}

// accumulate is d = fma(c, x, d).
func (a axis) accumulate(c float32, x, d vectors) (s steps) {
	for j := range d {
		s = append(s, func() {
			switch c {
			case 1:
				a.FADD(x[j], d[j], d[j])
				return
			case -1:
				a.FSUB(x[j], d[j], d[j])
				return
			}
			if v, i, ok := a.coefficient(c); ok {
				a.FMLALane(v, i, x[j], d[j])
			} else if v, i, ok := a.coefficient(-c); ok {
				a.FMLSLane(v, i, x[j], d[j])
			} else {
				panic(fmt.Sprintf("no coefficient %g", c))
			}
		})
	}
	return s
}

// multiply is d = c·x.
func (a axis) multiply(c float32, x, d vectors) (s steps) {
	for j := range d {
		s = append(s, func() {
			if c == 1 {
				a.VMOV(x[j], d[j])
				return
			}
			v, i, ok := a.coefficient(c)
			if !ok {
				panic(fmt.Sprintf("no coefficient %g", c))
			}
			a.FMULLane(v, i, x[j], d[j])
		})
	}
	return s
}

// plusMinus is plus = fma(p, o, e) and minus = fma(−p, o, e), for each pair; minus takes the place of e.
func (a axis) plusMinus(p []float32, o, e, plus []vectors) {
	var s steps
	for i, p := range p {
		if p == 1 {
			continue
		}
		for j := range a.wide {
			s = append(s, func() { a.VMOV(e[i][j], plus[i][j]) })
		}
	}
	for i, p := range p {
		if p != 1 {
			s = append(s, a.accumulate(p, o[i], plus[i])...)
			continue
		}
		for j := range a.wide {
			s = append(s, func() { a.FADD(o[i][j], e[i][j], plus[i][j]) })
		}
	}
	for i, p := range p {
		s = append(s, a.accumulate(-p, o[i], e[i])...)
	}
	s.emit()
}

// inPairs puts values in the order of points.
func inPairs(zero vectors, plus, minus []vectors, infinity vectors) []vectors {
	all := []vectors{zero}
	for i := range plus {
		all = append(all, plus[i], minus[i])
	}
	return append(all, infinity)
}

// inputAxis prepares for input: it loads the coefficients.
func (e *emitter) inputAxis(x *winograd.Transform, base R) axis {
	a := axis{emitter: e, Transform: x}
	n := len(x.Pairs)
	a.factors(x.C[:n]...)
	for i := range x.Pairs {
		a.factors(x.Q[i][:n-1]...)
	}
	a.factors(a.pairs()...)
	a.hold(base, 4*n+1)
	return a
}

// pairs are the points pᵢ.
func (a axis) pairs() []float32 {
	p := make([]float32, len(a.Pairs))
	for i := range p {
		p[i] = float32(a.Pairs[i])
	}
	return p
}

// input emits the transform of an input d to v, and returns where that lies.
//
// Values from the first: v₀, v_∞, the n even parts, the n odd ones, d₀ d₂ … d₂ₙ₋₂, d₁ d₃ … d₂ₙ₋₃. What
// several sums start from is loaded as often, instead of copied.
func (a axis) input(load loader) []vectors {
	n := len(a.Pairs)
	zero, infinity := a.value(0), a.value(1)
	e, o := a.values(2, n), a.values(2+n, n)
	even, odd := a.values(2+2*n, n), append(a.values(2+3*n, n-1), o[0])
	// before returns the loads that step k waits for.
	before := func(k int) (s steps) {
		if k >= 0 {
			s = append(s, load(2*k, even[k])...)
		}
		if k >= 1 {
			s = append(s, load(2*k-1, odd[k-1])...)
		}
		return s
	}
	load(2*n-1, o...).emit()
	load(2*n+1, infinity).emit()
	load(2*n, append([]vectors{zero}, e...)...).emit()
	before(n - 1).emit()
	for k := n - 1; k >= 0; k-- {
		// In the first step d₂ₙ₋₁ is o[0], which changes after v_∞ has read it.
		s := append(a.accumulate(a.C[k], odd[k], infinity), a.accumulate(a.C[k], even[k], zero)...)
		for i := 0; i < n && k > 0; i++ {
			s = append(s, a.accumulate(a.Q[i][k-1], even[k], e[i])...)
			s = append(s, a.accumulate(a.Q[i][k-1], odd[k-1], o[i])...)
		}
		weave(s, before(k-1))
	}
	a.plusMinus(a.pairs(), o, e, even)
	return inPairs(zero, even, e, infinity)
}

// outputAxis prepares for output: it loads the coefficients.
func (e *emitter) outputAxis(x *winograd.Transform, base R) axis {
	a := axis{emitter: e, Transform: x}
	n := len(x.Pairs)
	a.exactly(x.Power[0][1:]...)
	for _, p := range x.Power[1:] {
		a.factors(p...)
	}
	a.hold(base, x.Points+n+max(0, x.Outputs-n-1))
	return a
}

// output emits the transform of products μ, which it loads in order, to an output y. It returns where
// that lies, and two places that are free.
//
// Values from the first: μ, where the sums s take the places of μ₊ᵢ and then outputs that of μ₀ and those
// of μ₋ᵢ; the differences δ; the other outputs.
func (a axis) output(load loader) (y []vectors, free [2]vectors) {
	n, t := len(a.Pairs), a.Points
	mu, delta := a.values(0, t), a.values(t, n)
	y = []vectors{mu[0]}
	for i := range n {
		y = append(y, mu[2*i+2])
	}
	y = append(y, a.values(t+n, max(0, a.Outputs-n-1))...)[:a.Outputs]

	load(0, mu[0]).emit()
	load(1, mu[1]).emit()
	load(2, mu[2]).emit()
	var s steps
	for i := range n {
		plus, minus := mu[2*i+1], mu[2*i+2]
		var parts steps
		for j := range a.wide {
			parts = append(parts, func() { a.FSUB(minus[j], plus[j], delta[i][j]) })
		}
		for j := range a.wide {
			parts = append(parts, func() { a.FADD(minus[j], plus[j], plus[j]) })
		}
		next := load(2*i+3, mu[2*i+3])
		if i+1 < n {
			next = append(next, load(2*i+4, mu[2*i+4])...)
		}
		weave(parts, next)
		for j, y := range y {
			part := [2]vectors{plus, delta[i]}[j%2]
			if i == 0 && j > 0 {
				s = append(s, a.multiply(a.Power[i][j], part, y)...)
			} else {
				s = append(s, a.accumulate(a.Power[i][j], part, y)...)
			}
		}
	}
	s = append(s, a.accumulate(1, mu[t-1], y[len(y)-1])...)
	s.emit()
	return y, [2]vectors{mu[1], delta[0]}
}

// weightsAxis prepares for weights: it loads the coefficients.
func (e *emitter) weightsAxis(x *winograd.Transform, base R) axis {
	a := axis{emitter: e, Transform: x}
	a.exactly(x.Zero)
	for _, c := range x.Weight {
		a.exactly(c[0])
		a.factors(c[1:]...)
	}
	a.hold(base, x.Taps+1+2*len(x.Pairs))
	return a
}

// weights emits the transform of taps g, which it loads in order, to u, and returns where that lies.
//
// Values from the first: g, u₀, the n even parts, as many u₊ᵢ.
func (a axis) weights(load loader) []vectors {
	n, r := len(a.Pairs), a.Taps
	g, zero, e, plus := a.values(0, r), a.value(r), a.values(r+1, n), a.values(r+1+n, n)
	var rest, s steps
	load(0, g[0]).emit()
	for k := 1; k < r; k++ {
		rest = append(rest, load(k, g[k])...)
	}
	odd := make([]vectors, n)
	factors := make([]float32, n)
	for i, c := range a.Weight {
		s = append(s, a.multiply(c[0], g[0], e[i])...)
		odd[i], factors[i] = g[1], c[1]
	}
	weave(append(s, a.multiply(a.Zero, g[0], zero)...), rest)
	if r == 3 {
		for i, c := range a.Weight {
			a.accumulate(c[2], g[2], e[i]).emit()
		}
	}
	a.plusMinus(factors, odd, e, plus)
	return inPairs(zero, plus, e, g[r-1])
}
