package sampler

import (
	"fmt"
	"math"

	"github.com/lanewise/lanewise/internal/portable"
	"github.com/lanewise/lanewise/tensor"
)

// What the multistep methods DPMSolver and UniPC share.

// logRatio returns λ = log(Alpha/Sigma), half the logarithm of the signal-to-noise ratio.
func (p Point) logRatio() float64 { return portable.Log(p.Alpha / p.Sigma) }

// span returns the length h of a step over λ = log(Alpha/Sigma), infinite to where there is no noise,
// and e^-h. A step between points at one level stands still.
func span(from, to Point) (h, gone float64, stands bool) {
	gone = to.ratio() / from.ratio()
	switch {
	case math.Abs(gone-1) < sameLevel:
		return 0, 1, true
	case gone == 0:
		return math.Inf(1), 0, false
	}
	return to.logRatio() - from.logRatio(), gone, false
}

// endless is the error of a method in terms of the noise for a last point without any.
func endless(method string) error {
	return fmt.Errorf("sampler: %s in terms of the noise cannot end without noise: lambda is infinite there", method)
}

// form sets dst to what a method integrates of the answer about x: x0, or the noise that goes with it.
func (m *model) form(dst, x, x0 tensor.NHWC, p Point, ofNoise bool) {
	if ofNoise {
		m.noise(dst, x, x0, p)
		return
	}
	set(dst, x0)
}

// answers are the last that a model gave, and where.
type answers struct {
	ring   []tensor.NHWC // the last is newest
	lambda []float64     // of each
	count  int           // that there are
	points []Point
}

// newAnswers has room for the last n of a run.
func newAnswers(x tensor.NHWC, points []Point, n int) *answers {
	a := &answers{ring: make([]tensor.NHWC, n), lambda: make([]float64, n), points: points}
	for i := range a.ring {
		a.ring[i] = like(x)
	}
	return a
}

// next forgets the oldest answer, and returns the place for that at points[i]. One at the level of the
// newest takes its place: differences of the two over λ would be nothing by nothing.
func (a *answers) next(i int) tensor.NHWC {
	oldest, last, lambda := a.ring[0], len(a.ring)-1, a.points[i].logRatio()
	if a.count > 0 && math.Abs(lambda-a.lambda[last]) < sameLevel {
		return a.ring[last]
	}
	copy(a.ring, a.ring[1:])
	copy(a.lambda, a.lambda[1:])
	a.ring[last], a.lambda[last] = oldest, lambda
	a.count = min(a.count+1, len(a.ring))
	return oldest
}

// back returns the k-th answer before the newest, and where it was.
func (a *answers) back(k int) (tensor.NHWC, float64) {
	i := len(a.ring) - 1 - k
	return a.ring[i], a.lambda[i]
}

// differences appends d[0]·D0 + d[1]·D1 + d[2]·D2 as a sum of the answers themselves: D0 is the
// newest, D1 and D2 are the differences by Newton's interpolation at it, times h and h².
func (a *answers) differences(in []part, h float64, d ...float64) []part {
	m0, l0 := a.back(0)
	if len(d) == 1 {
		return append(in, part{d[0], m0})
	}
	m1, l1 := a.back(1)
	r0 := (l0 - l1) / h
	if len(d) == 2 {
		return append(in, part{d[0] + d[1]/r0, m0}, part{-d[1] / r0, m1})
	}
	// With E0 = (m0-m1)/r0 and E1 = (m1-m2)/r1, D2 = (E0-E1)/(r0+r1) and D1 = E0 + r0·D2.
	m2, l2 := a.back(2)
	r1 := (l1 - l2) / h
	second := (float64(d[1]*r0) + d[2]) / (r0 + r1)
	e0, e1 := (d[1]+second)/r0, -second/r1
	return append(in, part{d[0] + e0, m0}, part{e1 - e0, m1}, part{-e1, m2})
}
