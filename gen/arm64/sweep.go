package arm64

// A sweep walks over Rows × Cols values of several operands at once, a few vectors at a time, then one
// by one, the last of a row whole or not. All operands of a row are indexed by the same offset.
type sweep struct {
	*emitter
	n int // vectors at the current place
}

// General registers of a sweep. Kernels own R6 to R15.
var (
	sweepRows = R(0)
	sweepCols = R(1)
	sweepAt   = R(2)       // offset in the row, in bytes
	sweepLeft = R(3)       // values left in the row: besides the vectors at hand, where there are several
	sweepTmp  = [2]R{4, 5} // clobbered by load and store
	tables    = R(17)      // where constants lie
)

// newSweep reads the sizes.
func (e *emitter) newSweep() *sweep {
	e.get("Rows", sweepRows)
	e.get("Cols", sweepCols)
	return &sweep{emitter: e}
}

// rows emits the walk and a return: body for the vectors at sweepAt of each row, together of them or
// one, and next to step the operands to the next row.
func (s *sweep) rows(together int, body func(n int), next func()) {
	row, some, ones, one, end, done := s.unique("row"), s.unique("some"), s.unique("ones"), s.unique("one"), s.unique("end"), s.unique("done")
	s.CBZ(sweepRows, done)
	s.label(row)
	s.MOVD(0, sweepAt)
	s.SUBS(together*vector, sweepCols, sweepLeft)
	s.BLT(ones)
	s.align(32)
	s.label(some)
	s.n = together
	body(together)
	s.ADD(together*bytesV, sweepAt)
	s.SUBS(together*vector, sweepLeft)
	s.BGE(some)
	s.label(ones)
	s.ADD(together*vector, sweepLeft)
	s.CBZ(sweepLeft, end)
	s.label(one)
	s.n = 1
	body(1)
	s.ADD(bytesV, sweepAt)
	s.SUBS(vector, sweepLeft)
	s.BGT(one)
	s.label(end)
	next()
	s.SUBS(1, sweepRows)
	s.BNE(row)
	s.label(done)
	s.RET()
}

// load reads an operand's vectors at the current place.
func (s *sweep) load(operand R, v vectors) {
	s.ADD(sweepAt, operand, sweepTmp[0])
	s.whole(func() { s.loadAll(sweepTmp[0], v) }, func() { s.loadSome(sweepLeft, sweepTmp[0], sweepTmp[1], v[0]) })
}

// store writes an operand's vectors at the current place.
func (s *sweep) store(v vectors, operand R) {
	s.ADD(sweepAt, operand, sweepTmp[0])
	s.whole(func() { s.storeAll(v, sweepTmp[0]) }, func() { s.storeSome(v[0], sweepLeft, sweepTmp[0], sweepTmp[1]) })
}

// whole emits what is done with whole vectors, and with one that is not.
func (s *sweep) whole(whole, some func()) {
	if s.n > 1 {
		whole()
		return
	}
	less, done := s.unique("less"), s.unique("both")
	s.CMP(vector, sweepLeft)
	s.BLT(less)
	whole()
	s.B(done)
	s.label(less)
	some()
	s.label(done)
}
