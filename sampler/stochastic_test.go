package sampler_test

import (
	"context"
	"math"
	"testing"

	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

// Methods that add noise, on the Gaussian. There the model is linear, and so is every step: a run's
// sample is a constant and a sum of independent normal values, that of the beginning and those of the
// steps, each with a weight. A form holds them, so that a method written down for forms, by the
// formulas of the papers and of diffusers, has a mean and a variance that are exact. Samples of the
// method itself must have these, within what so many values may be off by chance; and with more and
// more steps they must be those of the true Gaussian.

// A form is form[0] + Σ form[i]·z[i], i > 0, with independent standard normal z.
type form []float64

// combined returns a·f + b·g.
func combined(a float64, f form, b float64, g form) form {
	sum := make(form, len(f))
	for i := range f {
		sum[i] = a*f[i] + b*g[i]
	}
	return sum
}

// fresh returns the form with another normal value added that comes with step i.
func (f form) fresh(i int, scale float64) form {
	sum := combined(1, f, 0, f)
	sum[2+i] += scale
	return sum
}

func (f form) moments() (mean, variance float64) {
	for _, w := range f[1:] {
		variance += w * w
	}
	return f[0], variance
}

// x0 returns the mean of the clean sample given that at p, and noise that of the noise.
func (f form) x0(p sampler.Point) form {
	gain := p.Alpha * spread * spread / (p.Alpha*p.Alpha*spread*spread + p.Sigma*p.Sigma)
	estimate := combined(gain, f, 0, f)
	estimate[0] += middle - gain*p.Alpha*middle
	return estimate
}

func (f form) noise(p sampler.Point) form {
	return combined(1/p.Sigma, f, -p.Alpha/p.Sigma, f.x0(p))
}

// A formula returns x after step i from one point to another; before is x at the points up to i.
type formula func(before []form, points []sampler.Point, i int) form

// ddimForm is equation 16 of the paper, with ᾱ as they have it.
func ddimForm(eta float64) formula {
	return func(before []form, points []sampler.Point, i int) form {
		x, p, q := before[i], points[i], points[i+1]
		a, a2 := p.Alpha*p.Alpha, q.Alpha*q.Alpha
		s := eta * math.Sqrt((1-a2)/(1-a)*(1-a/a2))
		return combined(q.Alpha, x.x0(p), math.Sqrt(1-a2-s*s), x.noise(p)).fresh(i, s)
	}
}

// ddpmForm is equation 7 of the paper, with a variance made of β and β̃.
func ddpmForm(variance func(beta, small float64) float64) formula {
	return func(before []form, points []sampler.Point, i int) form {
		x, p, q := before[i], points[i], points[i+1]
		a, a2 := p.Alpha*p.Alpha, q.Alpha*q.Alpha
		beta := 1 - a/a2
		mean := combined(math.Sqrt(a2)*beta/(1-a), x.x0(p), math.Sqrt(1-beta)*(1-a2)/(1-a), x)
		return mean.fresh(i, math.Sqrt(variance(beta, beta*(1-a2)/(1-a))))
	}
}

// ancestralForm is k-diffusion's, over y = x/Alpha.
func ancestralForm(before []form, points []sampler.Point, i int) form {
	x, p, q := before[i], points[i], points[i+1]
	s, s2 := p.Sigma/p.Alpha, q.Sigma/q.Alpha
	up := math.Sqrt(s2 * s2 * (s*s - s2*s2) / (s * s))
	down := math.Sqrt(s2*s2 - up*up)
	y := combined(1/p.Alpha, x, 0, x)
	d := combined(1/s, y, -1/s, x.x0(p))
	return combined(q.Alpha, combined(1, y, down-s, d).fresh(i, up), 0, y)
}

// churnForm is algorithm 2 of Karras et al. with S_churn 2, but that the model is asked before noise is
// added.
func churnForm(before []form, points []sampler.Point, i int) form {
	x, p, q := before[i], points[i], points[i+1]
	s, s2 := p.Sigma/p.Alpha, q.Sigma/q.Alpha
	hat := s * (1 + 2/float64(len(points)-1))
	y := combined(1/p.Alpha, x, 0, x).fresh(i, math.Sqrt(hat*hat-s*s))
	return combined(q.Alpha, combined(1, y, s2-hat, x.noise(p)), 0, y)
}

// sdeForm is SDE-DPM-Solver++, or SDE-DPM-Solver of the noise, as diffusers has them.
func sdeForm(order int, heun, ofNoise bool) formula {
	return func(before []form, points []sampler.Point, i int) form {
		lambda := func(i int) float64 { return math.Log(points[i].Alpha / points[i].Sigma) }
		said := func(i int) form {
			if ofNoise {
				return before[i].noise(points[i])
			}
			return before[i].x0(points[i])
		}
		x, p, q := before[i], points[i], points[i+1]
		h := lambda(i+1) - lambda(i)
		var first, second, scale float64
		if ofNoise {
			x, scale = combined(q.Alpha/p.Alpha, x, 0, x), math.Sqrt(math.Exp(2*h)-1)
			first, second = -2*q.Sigma*(math.Exp(h)-1), -q.Sigma*(math.Exp(h)-1)
			if heun {
				second = -2 * q.Sigma * ((math.Exp(h)-1)/h - 1)
			}
		} else {
			x, scale = combined(q.Sigma/p.Sigma*math.Exp(-h), x, 0, x), math.Sqrt(1-math.Exp(-2*h))
			first, second = q.Alpha*(1-math.Exp(-2*h)), q.Alpha*(1-math.Exp(-2*h))/2
			if heun {
				second = q.Alpha * ((1-math.Exp(-2*h))/(-2*h) + 1)
			}
		}
		x = combined(1, x, first, said(i))
		if order == 2 && i > 0 {
			r := (lambda(i) - lambda(i-1)) / h
			x = combined(1, x, second/r, combined(1, said(i), -1, said(i-1)))
		}
		return x.fresh(i, q.Sigma*scale)
	}
}

// lcmForm is algorithm 3 of the paper, for the consistency function itself.
func lcmForm(before []form, points []sampler.Point, i int) form {
	x, p, q := before[i], points[i], points[i+1]
	tau := p.T * 10
	skip, out := 0.25/(tau*tau+0.25), tau/math.Sqrt(tau*tau+0.25)
	f := combined(skip, x, out, x.clean(p))
	if i == len(points)-2 {
		return f
	}
	return combined(q.Alpha, f, 0, f).fresh(i, q.Sigma)
}

// clean returns where the probability flow ends.
func (f form) clean(p sampler.Point) form {
	gain := spread / math.Sqrt(p.Alpha*p.Alpha*spread*spread+p.Sigma*p.Sigma)
	end := combined(gain, f, 0, f)
	end[0] += middle - gain*p.Alpha*middle
	return end
}

// consistent is a model that says where the flow ends.
func consistent(_ context.Context, out, x tensor.NHWC, p sampler.Point) error {
	for i, v := range x.Data {
		out.Data[i] = float32(flow(float64(v), p, sampler.Point{Alpha: 1}))
	}
	return nil
}

// tcdForm is algorithm 4 of the paper.
func tcdForm(eta float64) formula {
	return func(before []form, points []sampler.Point, i int) form {
		x, p, q := before[i], points[i], points[i+1]
		s := smoothAt(math.Floor((1 - eta) * q.T))
		below := combined(s.Alpha, x.x0(p), s.Sigma, x.noise(p))
		if i == len(points)-2 {
			return below
		}
		ratio := q.Alpha / s.Alpha
		return combined(ratio, below, 0, below).fresh(i, math.Sqrt(1-ratio*ratio))
	}
}

// smoothAt returns the point of smooth at a time.
func smoothAt(t float64) sampler.Point { return at(t, 0.05*math.Pow(400, t/1000)) }

// deciding is the Gaussian for models that say the variance of a step too: always v.
func deciding(v float32) sampler.Predictor {
	model := gaussian(sampler.Epsilon)
	return func(ctx context.Context, out, x tensor.NHWC, p sampler.Point) error {
		second := out.Channels(x.C, 2*x.C).Tokens()
		for r := range second.Rows {
			for c := range second.Row(r) {
				second.Row(r)[c] = v
			}
		}
		return model(ctx, out.Channels(0, x.C), x, p)
	}
}

// beginning returns the form of a sample at p: a normal value of the true mean and variance there.
func beginning(p sampler.Point, steps int) form {
	f := make(form, 2+steps)
	f[0], f[1] = p.Alpha*middle, math.Sqrt(p.Alpha*p.Alpha*spread*spread+p.Sigma*p.Sigma)
	return f
}

// follow returns the form of a run's sample at its end.
func follow(points []sampler.Point, step formula) form {
	x := []form{beginning(points[0], len(points)-1)}
	for i := range points[1:] {
		x = append(x, step(x, points, i))
	}
	return x[len(x)-1]
}

// stochastic are the methods that add noise. order is the weak one: that of the mean and the variance.
var stochastic = []struct {
	name   string
	method sampler.Method
	model  sampler.Predictor
	step   formula
	order  float64 // 0: not a method for more and more steps with this model
}{
	{"DDPM, small variance", sampler.DDPM{}, gaussian(0), ddpmForm(func(_, small float64) float64 { return small }), 1},
	{"DDPM, large variance", sampler.DDPM{Variance: sampler.FixedLarge}, gaussian(0), ddpmForm(func(beta, _ float64) float64 { return beta }), 1},
	{"DDPM, learned range", sampler.DDPM{Variance: sampler.LearnedRange}, deciding(0.5),
		ddpmForm(func(beta, small float64) float64 { return math.Exp(0.75*math.Log(beta) + 0.25*math.Log(small)) }), 1},
	{"DDPM, learned", sampler.DDPM{Variance: sampler.Learned}, deciding(0.0625), ddpmForm(func(_, _ float64) float64 { return 0.0625 }), 0},
	{"DDIM, eta 1/2", sampler.DDIM{Eta: 0.5}, gaussian(0), ddimForm(0.5), 1},
	{"DDIM, eta 1", sampler.DDIM{Eta: 1}, gaussian(0), ddimForm(1), 1},
	{"Euler ancestral", sampler.EulerAncestral{}, gaussian(0), ancestralForm, 1},
	{"Euler, churn", sampler.Euler{Churn: 2. / 6}, gaussian(0), churnForm, 1},
	{"SDE-DPM-Solver++, order 1", sampler.DPMSolver{SDE: true, Order: 1}, gaussian(0), sdeForm(1, false, false), 1},
	{"SDE-DPM-Solver++, order 2, midpoint", sampler.DPMSolver{SDE: true}, gaussian(0), sdeForm(2, false, false), 2},
	{"SDE-DPM-Solver++, order 2, heun", sampler.DPMSolver{SDE: true, Heun: true}, gaussian(0), sdeForm(2, true, false), 2},
	{"SDE-DPM-Solver, order 1", sampler.DPMSolver{SDE: true, OfNoise: true, Order: 1}, gaussian(0), sdeForm(1, false, true), 1},
	{"SDE-DPM-Solver, order 2, midpoint", sampler.DPMSolver{SDE: true, OfNoise: true}, gaussian(0), sdeForm(2, false, true), 2},
	{"SDE-DPM-Solver, order 2, heun", sampler.DPMSolver{SDE: true, OfNoise: true, Heun: true}, gaussian(0), sdeForm(2, true, true), 2},
	{"LCM", sampler.LCM{Reading: sampler.Reading{Prediction: sampler.Sample}}, consistent, lcmForm, 0},
	{"TCD, eta 0.3", sampler.TCD{Eta: 0.3, Level: func(t int) sampler.Point { return smoothAt(float64(t)) }}, gaussian(0), tcdForm(0.3), 0},
	{"TCD, eta 1", sampler.TCD{Eta: 1, Level: func(t int) sampler.Point { return smoothAt(float64(t)) }}, gaussian(0), tcdForm(1), 0},
}

// Samples have the mean and the variance of the form, within 4 standard errors: with M values these
// are s/√M and s²·√(2/M). A method whose samples have a standard deviation that is 1 in 60 too large fails.
func TestMomentsOfStochasticMethods(t *testing.T) {
	const steps = 6
	points := smooth(steps)
	for _, test := range stochastic {
		mean, variance := follow(points, test.step).moments()
		x := tensor.Make(1, 8, 8, 512)
		sampler.Noise(x, 1)
		begin, deviation := beginning(points[0], 0)[0], beginning(points[0], 0)[1]
		for i, z := range x.Data {
			x.Data[i] = float32(begin + deviation*float64(z))
		}
		finish(t, test.model, x, points, sampler.WithNoise(test.method, sampler.NewGenerator(2)))
		m := float64(len(x.Data))
		var sum, squares float64
		for _, v := range x.Data {
			sum += float64(v)
			squares += (float64(v) - mean) * (float64(v) - mean)
		}
		offMean := (sum/m - mean) / math.Sqrt(variance/m)
		offVariance := (squares/m - variance) / (variance * math.Sqrt(2/m))
		t.Logf("%-36s mean %.5f, deviation %.5f: samples are off by %.1f and %.1f standard errors", test.name, mean, math.Sqrt(variance), offMean, offVariance)
		if !(math.Abs(offMean) < 4 && math.Abs(offVariance) < 4) {
			t.Errorf("%s: mean %.5f and variance %.5f, want %.5f and %.5f", test.name, sum/m, squares/m, mean, variance)
		}
	}
}

// With more steps the distribution becomes the true one, with the weak order of the method. The means
// are right at any number of steps, since what a step makes of the true mean is the true one.
//
// One step of order 1 at the start does not bound the order as it does for single samples, since
// there the distribution is all but that of the noise.
func TestWeakOrder(t *testing.T) {
	for _, test := range stochastic {
		if test.order == 0 {
			continue
		}
		var ns, errors []float64
		for _, n := range []int{128, 256, 512, 1024} {
			points := smooth(n)
			end := points[n]
			mean, variance := follow(points, test.step).moments()
			if math.Abs(mean-end.Alpha*middle) > 1e-12 {
				t.Errorf("%s: mean %v after %d steps, want %v", test.name, mean, n, end.Alpha*middle)
			}
			ns = append(ns, float64(n))
			errors = append(errors, math.Abs(variance-(end.Alpha*end.Alpha*spread*spread+end.Sigma*end.Sigma)))
		}
		order := -slope(ns, errors)
		t.Logf("%-36s order %g in theory: %.2f, errors %.1e", test.name, test.order, order, errors)
		if math.Abs(order-test.order) > 0.3 || errors[3] > 2e-3 {
			t.Errorf("%s: order %.2f with errors %.2g at %v steps, want %g", test.name, order, errors, ns, test.order)
		}
	}
}
