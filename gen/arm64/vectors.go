package arm64

// vectors are registers that go through the same steps, whose chains then overlap.
type vectors []V

// registers returns n vectors from the first on.
func registers(first V, n int) vectors {
	v := make(vectors, n)
	for i := range v {
		v[i] = first + V(i)
	}
	return v
}

// all repeats a register, for one operand that is the same for all.
func all(v V, n int) vectors {
	vs := make(vectors, n)
	for i := range vs {
		vs[i] = v
	}
	return vs
}

// each emits d = n op m for every vector of d, in the order of Go's assembler: m, n, d.
func each(op func(m, n, d V), m, n, d vectors) {
	for i := range d {
		op(m[i], n[i], d[i])
	}
}

// each2 emits d = op n for every vector of d.
func each2(op func(n, d V), n, d vectors) {
	for i := range d {
		op(n[i], d[i])
	}
}

// fill sets all of v to a constant.
func (e *emitter) fill(c float32, v vectors) {
	for _, v := range v {
		e.FMOVQ(e.constant(tables, c), v)
	}
}

// hold loads a constant into the first of tmp and returns it as an operand for all.
func (e *emitter) hold(c float32, tmp vectors) vectors {
	e.FMOVQ(e.constant(tables, c), tmp[0])
	return all(tmp[0], len(tmp))
}

// holdBits is hold of a constant's bits.
func (e *emitter) holdBits(bits uint32, tmp vectors) vectors {
	e.FMOVQ(e.constantBits(tables, bits), tmp[0])
	return all(tmp[0], len(tmp))
}

// horner sets p = Σ c[k]·vᵏ; q is clobbered.
func (e *emitter) horner(c []float32, v, p, q vectors) { e.polynomial(e.FMLA, c, v, p, q) }

// hornerMinus sets p = Σ c[k]·(−v)ᵏ; q is clobbered.
func (e *emitter) hornerMinus(c []float32, v, p, q vectors) { e.polynomial(e.FMLS, c, v, p, q) }

// polynomial sets p by op, which adds to a coefficient in its place.
func (e *emitter) polynomial(op func(m, n, d V), c []float32, v, p, q vectors) {
	top := len(c) - 1
	if top%2 == 1 {
		p, q = q, p
	}
	e.fill(c[top], p)
	e.extend(op, p, c[:top], v, p, q)
}

// hornerFrom sets p = Σ c[k]·vᵏ + top·vⁿ for n coefficients, an even number; q is clobbered.
func (e *emitter) hornerFrom(top vectors, c []float32, v, p, q vectors) {
	e.extend(e.FMLA, top, c, v, p, q)
}

// extend goes on from a sum with the coefficients, the last one first: the sum moves from p to q and back.
func (e *emitter) extend(op func(m, n, d V), sum vectors, c []float32, v, p, q vectors) {
	for k := len(c) - 1; k >= 0; k-- {
		e.fill(c[k], q)
		each(op, v, sum, q)
		sum, p, q = q, q, p
	}
}

// cycle returns n vectors: v over and over.
func cycle(v vectors, n int) vectors {
	c := make(vectors, n)
	for i := range c {
		c[i] = v[i%len(v)]
	}
	return c
}

// loadAll reads vectors that lie side by side at base, and storeAll writes them.
func (e *emitter) loadAll(base R, v vectors) {
	for i := 0; i+1 < len(v); i += 2 {
		e.FLDPQ(at(base, i*bytesV), v[i], v[i+1])
	}
	if last := len(v) - 1; last%2 == 0 {
		e.FMOVQ(at(base, last*bytesV), v[last])
	}
}

func (e *emitter) storeAll(v vectors, base R) {
	for i := 0; i+1 < len(v); i += 2 {
		e.FSTPQ(v[i], v[i+1], at(base, i*bytesV))
	}
	if last := len(v) - 1; last%2 == 0 {
		e.FMOVQ(v[last], at(base, last*bytesV))
	}
}
