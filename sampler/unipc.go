package sampler

import (
	"context"
	"fmt"
	"slices"

	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/tensor"
)

// UniPC is the method of "UniPC: a unified predictor-corrector framework for fast sampling of
// diffusion models" (Zhao et al., 2023, algorithms 5 to 8). Like DPMSolver it integrates what the
// model says over λ = log(Alpha/Sigma) by its last answers m, here with
//
//	x' = Sigma'/Sigma·x + Alpha'·(h·φ_1(-h)·m0 - B·Σ ρ_k·(m_k-m0)/r_k),  r_k = (λ_k-λ)/h
//
// or, in terms of the noise (OfNoise), Alpha'/Alpha·x - Sigma'·(h·φ_1(h)·m0 + B·Σ ρ_k·(m_k-m0)/r_k).
// The ρ make it exact for polynomials. When the model has been asked at the end of a step, the
// corrector makes the step again with that answer too, at r = 1, which gains an order for no further
// call of the model.
//
// The zero value is of order 2 with B₂, and corrects.
type UniPC struct {
	Reading

	Order   int  // at least 1, 0 means 2; corrected, the method is of one more
	OfNoise bool // in terms of the noise rather than of x0
	Linear  bool // B₁(h) = h instead of B₂(h) = e^h - 1

	// KeepOrder leaves the orders of the last steps as they are, instead of at most as many as
	// there are steps left. Those to where there is no noise, where λ is infinite, are of the first.
	KeepOrder bool

	// Uncorrected are the steps that are not made again, by index: early ones, where strong
	// guidance has the model say something else of the corrected sample.
	Uncorrected []int
}

// Start implements Method.
func (u UniPC) Start(p Predictor, x tensor.NHWC, points []Point) (StepFunc, error) {
	m, err := u.startFinite("UniPC", p, x, points)
	if u.Order == 0 {
		u.Order = 2
	}
	switch {
	case err != nil:
		return nil, err
	case u.Order < 1 || u.Order > orderMost:
		return nil, fmt.Errorf("sampler: UniPC of order %d, want 1 to %d", u.Order, orderMost)
	case u.OfNoise && points[len(points)-1].Sigma == 0:
		return nil, endless("UniPC")
	}
	said := newAnswers(x, points, u.Order)
	last, now := like(x), like(x) // the sample where the last step began; what is said at its end
	order := 0                    // of the last step
	return func(ctx context.Context, x, x0 tensor.NHWC, i int) error {
		from, to := points[i], points[i+1]
		if err := m.ask(ctx, x, from); err != nil {
			return err
		}
		m.sample(x0, x, m.at(from))
		m.form(now, x, x0, from, u.OfNoise)
		var in [orderMost + 2]part
		if said.count > 0 && !slices.Contains(u.Uncorrected, i-1) {
			sum(x, u.step(in[:0], points[i-1], from, last, said, order, now)...)
		}
		set(said.next(i), now)
		set(last, x)
		order = min(u.order(i, points), said.count)
		sum(x, u.step(in[:0], from, to, last, said, order, tensor.NHWC{})...)
		return nil
	}, nil
}

// orderMost is the highest order: beyond some 5 the ρ grow without gain.
const orderMost = 9

// order returns the order of the step from points[i], if the run has been as long as that.
func (u UniPC) order(i int, points []Point) int {
	switch {
	case points[i+1].Sigma == 0:
		return 1
	case u.KeepOrder:
		return u.Order
	}
	return min(u.Order, len(points)-1-i)
}

// step appends the parts of a step from x. If there is an answer at its end, it corrects.
func (u UniPC) step(in []part, from, to Point, x tensor.NHWC, said *answers, order int, end tensor.NHWC) []part {
	h, gone, stands := span(from, to)
	if stands {
		return append(in, part{1, x})
	}
	// z is the paper's hh, kept what is left of x; scale multiplies the sum with B.
	z, kept, scale := -h, to.Sigma/from.Sigma, -to.Alpha
	growth := gone - 1 // e^z - 1 = z·φ_1(z)
	if u.OfNoise {
		z, kept, scale = h, to.Alpha/from.Alpha, -to.Sigma
		growth = 1/gone - 1
	}
	m0, lambda := said.back(0)
	in = append(in, part{kept, x})
	first := float64(scale * growth) // of m0
	// r are the places of the other answers, b the right hand side: Σ ρ_k·r_k^(i-1) = b_i.
	corrects := end.Data != nil
	var r, b [orderMost]float64
	n := order - 1
	for k := range n {
		_, at := said.back(k + 1)
		r[k] = (at - lambda) / h
	}
	if corrects {
		r[n] = 1
		n++
	}
	if n > 0 {
		bh := growth
		if u.Linear {
			bh = z
		}
		factorial := 1.0
		for i := range n {
			factorial *= float64(i + 1)
			b[i] = z * phi(i+2, z) * factorial / bh
		}
		if n == 1 {
			b[0] = 0.5 // as the authors have it: exact to the order that counts
		} else {
			vandermonde(b[:n], r[:n])
		}
		for k := range n {
			factor := scale * bh * b[k] / r[k]
			first -= factor
			of := end
			if !corrects || k < n-1 {
				of, _ = said.back(k + 1)
			}
			in = append(in, part{factor, of})
		}
	}
	return append(in, part{first, m0})
}

// vandermonde solves Σ_k ρ_k·r_k^i = b_i for i from 0, and leaves ρ in b: the algorithm of Björck
// and Pereyra (Golub and Van Loan, "Matrix computations", algorithm 4.6.2). No two r are equal.
func vandermonde(b, r []float64) {
	n := len(b)
	for k := range n - 1 {
		for i := n - 1; i > k; i-- {
			b[i] -= float64(r[k] * b[i-1])
		}
	}
	for k := n - 2; k >= 0; k-- {
		for i := k + 1; i < n; i++ {
			b[i] /= r[i] - r[i-k-1]
		}
		for i := k; i < n-1; i++ {
			b[i] -= b[i+1]
		}
	}
}

// readUniPC reads what is UniPCMultistepScheduler's own.
func readUniPC(c *config.Config, s *Schedule) planner {
	u := UniPC{Reading: Reading{Prediction: readPrediction(c)}, OfNoise: !c.Bool("predict_x0", true)}
	// In terms of the noise it is not thresholded.
	if t := readThreshold(c); !u.OfNoise {
		u.Threshold = t
	}
	if u.Order = c.Int("solver_order", 2); u.Order < 1 || u.Order > orderMost {
		c.Fail("solver_order", fmt.Sprintf("1 to %d", orderMost))
	}
	// A file may have been another multistep class's before: diffusers takes their names for bh2.
	u.Linear = c.String("solver_type", "bh2", "bh1", "bh2", "midpoint", "heun", "logrho") == "bh1"
	u.KeepOrder = !c.Bool("lower_order_final", true)
	u.Uncorrected = c.Indices("disable_corrector")
	c.Only("solver_p", nil)
	if s.FinalNoise = readFinal(c); u.OfNoise && !s.FinalNoise {
		c.Fail("final_sigmas_type", `"sigma_min" with predict_x0 false`)
	}
	s.SkipLast, s.FullRange = true, true
	return func(_ *Schedule, points []Point, _ bool) (Method, []Point, error) { return u, points, nil }
}
