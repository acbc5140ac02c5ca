package arm64

import (
	"math"

	"github.com/lanewise/lanewise/gen/approx"
	"github.com/lanewise/lanewise/gen/layout"
)

// Registers of Score: a pointer to each key of the group from R0 on, which are indexed by columns, in bytes.
var (
	scoreNext, scoreHere  = R(14), R(15) // the next round's columns, and what is loaded for it
	scoreWhole, scoreCols = R(20), R(21) // columns in whole rounds, and all
)

// mostKeys is how many keys a group has at most: as many as there are accumulators for, and a factor each.
func mostKeys(vectors int) int { return (32 - panelHeld) / (vectors + 1) }

// score emits Score: rows are keys, whose factors are four columns in a vector, and the panel is Q.
func score(e *emitter) {
	e.function("Score", 0, layout.Score, R(19), "Score is kernels.Set.Score; args points to a kernels.ScoreArgs.")
	e.get("Keys", productRows)
	e.get("K", productFactors)
	e.get("S", productDst)
	e.stride("Cols", scoreCols)
	e.AND(-perRound*4, scoreCols, scoreWhole)
	e.products(mostKeys, func(p product) {
		s := scoring{p}
		s.begin()
		s.sum()
		s.bias()
		s.mask()
		s.store()
	})
}

// scoring is the body of Score.
type scoring struct{ product }

func (s scoring) key(r int) R { return R(r) }

// begin finds the group's keys and sets the accumulators to 0.
func (s scoring) begin() {
	stride := productPanel
	s.stride("KStride", stride)
	s.MOVD(productFactors, s.key(0))
	for r := 1; r < s.rows; r++ {
		s.ADD(stride, s.key(r-1), s.key(r))
	}
	s.ADD(stride, s.key(s.rows-1), productFactors)
	s.get("Q", productPanel)
	acc := s.accumulators()
	each(s.VEOR, acc, acc, acc)
}

// sum runs the chains over the columns.
func (s scoring) sum() {
	load := func(r int) { s.LDRQ(s.key(r), scoreHere, s.factor(r)) }
	s.MOVD(0, scoreNext)
	s.CBZ(scoreWhole, s.label("rest"))
	s.MOVD(0, scoreHere)
	for r := range s.rows {
		load(r)
	}
	s.first()
	s.align(32)
	s.mark("cols")
	s.ADD(4*perRound, scoreNext)
	s.CMP(scoreWhole, scoreNext)
	s.CSEL("LT", scoreNext, scoreHere, scoreHere)
	s.ahead("LT")
	s.round(func(u, r int) (V, Lane) { return s.factor(r), Lane(u) }, func(u, r int) {
		if u == perRound-1 {
			load(r)
		}
	})
	s.BLT(s.label("cols"))
	s.mark("rest")
	s.CMP(scoreCols, scoreNext)
	s.BGE(s.label("summed"))
	for r := range s.rows {
		s.FMOVS(indexed(s.key(r), scoreNext), s.factor(r))
	}
	s.step(func(r int) (V, Lane) { return s.factor(r), 0 })
	s.ADD(4, scoreNext)
	s.B(s.label("rest"))
	s.mark("summed")
}

// bias adds Bias, where there is any.
func (s scoring) bias() {
	bias, keys := R(0), R(1)
	s.get("Bias", bias)
	s.CBZ(bias, s.label("biased"))
	s.get("Keys", keys)
	s.SUB(productRows, keys)
	s.ADD(shifted{keys, 2}, bias, bias) // behind the group's
	for r := range s.rows {
		s.FMOVS(at(bias, 4*(r-s.rows)), s.factor(r))
	}
	for r := range s.rows {
		s.VDUP(s.factor(r), 0, s.factor(r))
		for j := range s.vectors {
			s.FADD(s.factor(r), s.acc(r, j), s.acc(r, j))
		}
	}
	s.mark("biased")
}

// mask adds base2 of Mask, where there is any, which lies as S does.
func (s scoring) mask() {
	mask, first := R(0), R(1)
	log2e, highest, lowest := s.panel(0), s.panel(1), s.panel(2)
	s.get("Mask", mask)
	s.CBZ(mask, s.label("masked"))
	s.get("S", first)
	s.SUB(first, productDst, first)
	s.ADD(first, mask)
	s.constants(tables)
	s.FMOVQ(s.constant(tables, approx.Log2E), log2e)
	s.FMOVQ(s.constant(tables, math.MaxFloat32), highest)
	s.FMOVQ(s.constant(tables, -math.MaxFloat32), lowest)
	for i := range V(s.rows * s.vectors) {
		set := s.factor(0) + i%2*3 // by turns
		m, v, infinite := set, set+1, set+2
		s.FMOVQ(at(mask, int(i)*bytesV), m)
		s.FMUL(log2e, m, v)
		s.FABS(m, infinite)
		s.FMAX(lowest, v, v)
		s.FCMGT(highest, infinite, infinite)
		s.FMIN(highest, v, v)
		s.VBIT(infinite, m, v)
		s.FADD(v, i, i)
	}
	s.mark("masked")
}
