package arm64

import "github.com/lanewise/lanewise/gen/layout"

// Registers of Weigh.
var (
	weighStride = R(20) // bytes from key to key
	weighKeys   = R(21)
	weighValue  = R(2) // the values of this round's first key
	weighNext   = R(3) // those that are loaded next
	weighAgain  = R(4) // those of the next round's first key, or of this one's again
	weighLeft   = R(5) // keys after the round, less those of a round
)

// mostRows is how many rows of O a group has at most: as many as there are accumulators for, and factors of
// two keys, four to a register.
func mostRows(vectors int) int {
	rows := 2 * vector
	for 2*rows*vectors+2*(2*rows/vector)+panelHeld <= 32 {
		rows *= 2
	}
	return rows
}

// weigh emits Weigh: rows are those of O, whose factors are some values of a key side by side, and the panel
// is P.
func weigh(e *emitter) {
	e.function("Weigh", 0, layout.Weigh, R(19), "Weigh is kernels.Set.Weigh; args points to a kernels.WeighArgs.")
	e.get("Rows", productRows)
	e.get("V", productFactors)
	e.get("O", productDst)
	e.stride("VStride", weighStride)
	e.get("Keys", weighKeys)
	e.products(mostRows, func(p product) {
		w := weighing{p}
		w.begin()
		w.sum()
		w.ADD(4*w.rows, productFactors)
		w.store()
	})
}

// weighing is the body of Weigh.
type weighing struct{ product }

// begin sets the accumulators to Alpha·O, or to 0.
func (w weighing) begin() {
	alpha := R(2)
	w.get("Alpha", alpha)
	w.CBZ(alpha, w.label("zero"))
	by, o := registers(panelFirst, w.vectors), w.accumulators()
	w.loadAll(alpha, by)
	w.loadAll(productDst, o)
	each(w.FMUL, cycle(by, len(o)), o, o)
	w.B(w.label("sum"))
	w.mark("zero")
	each(w.VEOR, o, o, o)
	w.mark("sum")
}

// parts is how many vectors hold a key's values, four each. Where the last has fewer, it is read so that it
// ends with the last value and begins with some of the vector before; three values are two and one.
func (w weighing) parts() int {
	if w.rows == 3 {
		return 2
	}
	return (w.rows + vector - 1) / vector
}

// value is where that of row r is, of one of two keys by turns.
func (w weighing) value(key, r int) (V, Lane) {
	part, lane := r/vector, r%vector
	switch last := w.parts() - 1; {
	case w.rows == 3:
		part, lane = r/2, r%2
	case part == last && w.rows > vector:
		lane = r - (w.rows - vector)
	}
	return w.factor(key*w.parts() + part), Lane(lane)
}

// load reads a key's values at from, one of two keys by turns.
func (w weighing) load(from R, key int) {
	part := registers(w.factor(key*w.parts()), w.parts())
	switch whole := w.rows / vector; {
	case whole > 0:
		w.loadAll(from, part[:whole])
		if w.rows%vector != 0 {
			w.FMOVQ(at(from, 4*(w.rows-vector)), part[whole])
		}
	case w.rows == 1:
		w.FMOVS(at(from, 0), part[0])
	default:
		w.FMOVD(at(from, 0), part[0])
		if w.rows == 3 {
			w.FMOVS(at(from, 8), part[1])
		}
	}
}

// sum runs the chains over the keys.
func (w weighing) sum() {
	w.get("P", productPanel)
	w.MOVD(productFactors, weighValue)
	w.SUBS(perRound, weighKeys, weighLeft)
	w.BLT(w.label("rest"))
	w.MOVD(weighValue, weighNext)
	for key := range 2 {
		w.load(weighNext, key)
		w.ADD(weighStride, weighNext)
	}
	w.first()
	w.align(32)
	w.mark("keys")
	w.SUBS(perRound, weighLeft)
	w.ADD(shifted{weighStride, 2}, weighValue, weighAgain)
	w.CSEL("GE", weighAgain, weighValue, weighAgain)
	w.ahead("GE")
	w.round(func(u, r int) (V, Lane) { return w.value(u%2, r) }, func(u, r int) {
		if r < w.rows-1 {
			return
		}
		w.load(weighNext, u%2)
		if u == 1 {
			w.MOVD(weighAgain, weighNext)
		} else {
			w.ADD(weighStride, weighNext)
		}
	})
	w.ADD(shifted{weighStride, 2}, weighValue)
	w.BGE(w.label("keys"))
	w.mark("rest")
	w.ADDS(perRound, weighLeft)
	w.BEQ(w.label("summed"))
	w.mark("key")
	w.load(weighValue, 0)
	w.step(func(r int) (V, Lane) { return w.value(0, r) })
	w.ADD(weighStride, weighValue)
	w.SUBS(1, weighLeft)
	w.BNE(w.label("key"))
	w.mark("summed")
}
