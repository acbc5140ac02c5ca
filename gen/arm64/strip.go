package arm64

// strip is how many columns a body takes: those of one or two vectors, or fewer than a vector has.
type strip struct {
	*emitter
	wide int  // vectors
	some bool // the first left mod 4 values of one
	left R
	tmp  R // clobbered by loads and stores
}

// byStrips emits the walk over left columns, which it counts down: body for strips of the widest that there
// are as long as possible, then for one vector, and for the rest, each going on by as much. tmp is clobbered.
func (e *emitter) byStrips(left, tmp R, body func(s strip)) {
	two, one, some, none := e.unique("two"), e.unique("one"), e.unique("some"), e.unique("none")
	e.SUBS(widest*vector, left)
	e.BLT(one)
	e.label(two)
	body(strip{e, widest, false, left, tmp})
	e.SUBS(widest*vector, left)
	e.BGE(two)
	e.label(one)
	e.ADD(widest*vector, left)
	e.CMP(vector, left)
	e.BLT(some)
	body(strip{e, 1, false, left, tmp})
	e.SUB(vector, left)
	e.label(some)
	e.CBZ(left, none)
	body(strip{e, 1, true, left, tmp})
	e.label(none)
}

// bytes is how many the strip's vectors have.
func (s strip) bytes() int { return s.wide * bytesV }

// load returns the steps that read the strip's columns at base, into each of some places.
func (s strip) load(base R, into ...vectors) (loads steps) {
	for i, v := range into {
		loads = append(loads, func() {
			switch {
			case s.some && i > 0:
				s.VMOV(into[0][0], v[0])
			case s.some:
				s.loadSome(s.left, base, s.tmp, v[0])
			default:
				s.read(at(base, 0), v)
			}
		})
	}
	return loads
}

// store writes the strip's columns to base.
func (s strip) store(v vectors, base R) {
	if s.some {
		s.storeSome(v[0], s.left, base, s.tmp)
		return
	}
	s.keep(v, at(base, 0))
}

// walk loads the values at base one by one; each moves base on by step.
func (s strip) walk(base, step R) loader {
	return func(_ int, into ...vectors) steps {
		return append(s.load(base, into...), func() { s.ADD(step, base) })
	}
}

// keep writes whole vectors.
func (s strip) keep(v vectors, m Mem) {
	if len(v) == 2 {
		s.FSTPQ(v[0], v[1], m)
		return
	}
	s.FMOVQ(v[0], m)
}

// read reads whole vectors.
func (s strip) read(m Mem, v vectors) {
	if len(v) == 2 {
		s.FLDPQ(m, v[0], v[1])
		return
	}
	s.FMOVQ(m, v[0])
}

// kept loads whole vectors that lie step bytes apart, the first of them at base: further than a load of
// two reaches.
func (s strip) kept(base R, step int) loader {
	return func(k int, into ...vectors) (loads steps) {
		for _, v := range into {
			for j, v := range v {
				loads = append(loads, func() { s.FMOVQ(at(base, k*step+j*bytesV), v) })
			}
		}
		return loads
	}
}
