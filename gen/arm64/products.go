package arm64

import "fmt"

// A product is the body of Score or Weigh for one number of rows and of vectors in a row. Both share a
// plan: a group of rows of the result stays in registers while one step after the other is added to it, a
// step being a row of the panel (of Q or P) times a factor for each row of the group, by element. Factors
// are read where the projections left them.
//
// Register plan: accumulators from V0 on, then factors; the panel passes through V28 to V31, two vectors at a
// time. A register is loaded anew as soon as it was used for the last time, well before it is needed, from
// one round of steps to the next too: cores that run in order do not wait. In the last round, which has
// nothing to load for, what is there is read once more.
//
//	Score, 7×12: 21 + 7 + 4 registers; 84 FMA for 13 loads
//	Weigh, 8×12: 24 + 4 + 4 registers; 96 FMA for 10 loads
type product struct {
	*emitter
	rows, vectors int
}

const (
	perRound   = vector // steps
	panelHeld  = 4      // registers that the panel passes through
	panelFirst = V(32 - panelHeld)
)

// Registers of both products. R19 points to the arguments, R2 to R15, R20 and R21 are a kernel's own.
var (
	groupSize, groupTmp = R(0), R(1) // while a group is chosen; then a kernel's own
	productPanel        = R(16)      // the panel at this round
	productAhead        = R(17)      // and at the next, or at this one again
	productRows         = R(22)      // rows of the result after this group
	productFactors      = R(23)      // what this group's factors are read from
	productDst          = R(24)      // this group's rows of the result
	productFetch        = R(25)      // the next row to ask for
	productFetches      = R(26)      // how many rows to ask for are left
)

func (p product) acc(r, j int) V           { return V(r*p.vectors + j) }
func (p product) factor(i int) V           { return V(p.rows*p.vectors + i) }
func (p product) panel(i int) V            { return panelFirst + V(i%panelHeld) }
func (p product) label(name string) string { return fmt.Sprintf("%s%dx%d", name, p.rows, p.vectors) }
func (p product) mark(name string)         { p.emitter.label(p.label(name)) }

// byVectors emits body for every number of vectors that a tile of queries can have, and a jump to the one for
// Lanes. body ends where its code does.
func (e *emitter) byVectors(tmp R, body func(vectors int)) {
	const most = queries / vector
	name := func(v int) string { return fmt.Sprintf("lanes%d", v*vector) }
	e.get("Lanes", tmp)
	for v := 1; v < most; v++ {
		e.CMP(v*vector, tmp)
		e.BEQ(name(v))
	}
	for v := most; v > 0; v-- {
		e.label(name(v))
		body(v)
	}
}

// products emits a loop over groups of rows for every number of vectors, and body for each size that a group
// can have, at most most(vectors). It is that large while more than twice as many rows are left; then the rest
// goes in two halves, so that none is too small to keep the multipliers busy.
func (e *emitter) products(most func(vectors int) int, body func(p product)) {
	e.CBZ(productRows, "end")
	e.get("Fetch", productFetch)
	e.get("FetchRows", productFetches)
	e.byVectors(groupTmp, func(v int) {
		group, choose, most := e.unique("group"), e.unique("choose"), most(v)
		e.label(group)
		e.MOVD(most, groupSize)
		e.CMP(2*most, productRows)
		e.BGT(choose)
		e.ADD(1, productRows, groupSize)
		e.LSR(1, groupSize, groupSize)
		e.CMP(most, productRows)
		e.CSEL("LE", productRows, groupSize, groupSize)
		e.label(choose)
		e.fetch()
		e.SUB(groupSize, productRows)
		for r := most; r > 1; r-- {
			e.CMP(r, groupSize)
			e.BEQ(product{e, r, v}.label("rows"))
		}
		for r := 1; r <= most; r++ {
			p := product{e, r, v}
			p.mark("rows")
			body(p)
			e.CBNZ(productRows, group)
			e.RET()
		}
	})
	e.label("end")
	e.RET()
}

// fetch asks for the cache lines of some rows of Fetch: as large a part of those that are left as the group is
// of the rows of the result.
func (e *emitter) fetch() {
	var (
		count     = groupTmp
		line, end = R(2), R(3) // of a row
		cols, by  = R(4), R(5) // bytes of a row, and from row to row
	)
	row, again, done := e.unique("fetch"), e.unique("line"), e.unique("fetched")
	e.MUL(groupSize, productFetches, count)
	e.UDIV(productRows, count, count)
	e.CBZ(count, done)
	e.SUB(count, productFetches)
	e.stride("FetchCols", cols)
	e.stride("FetchStride", by)
	e.label(row)
	e.ADD(cols, productFetch, end)
	e.AND(-cacheLine, productFetch, line)
	e.label(again)
	e.PRFM(at(line, 0), "PLDL2KEEP")
	e.ADD(cacheLine, line)
	e.CMP(end, line)
	e.BLO(again)
	e.ADD(by, productFetch)
	e.SUBS(1, count)
	e.BNE(row)
	e.label(done)
}

// first loads the panel's vectors of the first round that there are registers for.
func (p product) first() {
	p.loadAll(productPanel, registers(panelFirst, panelHeld))
}

// ahead sets productAhead to the next round's vectors where the flags say by cond that there is one.
func (p product) ahead(cond string) {
	p.ADD(p.roundBytes(), productPanel, productAhead)
	p.CSEL(cond, productAhead, productPanel, productAhead)
}

// roundBytes is how long a round's part of the panel is.
func (p product) roundBytes() int { return perRound * p.vectors * bytesV }

// round adds a round of steps. factor says where that of row r is in step u; used is called where it was used
// for the last time in that step.
func (p product) round(factor func(u, r int) (V, Lane), used func(u, r int)) {
	n := perRound * p.vectors
	for i := range n {
		u, j := i/p.vectors, i%p.vectors
		for r := range p.rows {
			f, lane := factor(u, r)
			p.FMLALane(f, lane, p.panel(i), p.acc(r, j))
			if j == p.vectors-1 {
				used(u, r)
			}
		}
		if i%2 == 1 {
			base, next := productPanel, i-1+panelHeld
			if next >= n {
				base, next = productAhead, next-n
			}
			p.FLDPQ(at(base, next*bytesV), p.panel(next), p.panel(next+1))
		}
	}
	p.ADD(p.roundBytes(), productPanel)
}

// step adds one step, whose factors are there, and goes on to the next.
func (p product) step(factor func(r int) (V, Lane)) {
	p.loadAll(productPanel, registers(panelFirst, p.vectors))
	p.ADD(p.vectors*bytesV, productPanel)
	for r := range p.rows {
		f, lane := factor(r)
		for j := range p.vectors {
			p.FMLALane(f, lane, p.panel(j), p.acc(r, j))
		}
	}
}

// rowsBytes is how long the group's rows of the result are.
func (p product) rowsBytes() int { return p.rows * p.vectors * bytesV }

// accumulators are all of them, row by row.
func (p product) accumulators() vectors { return registers(0, p.rows*p.vectors) }

// store writes the rows to productDst and goes on to the next group's.
func (p product) store() {
	p.storeAll(p.accumulators(), productDst)
	p.ADD(p.rowsBytes(), productDst)
}
