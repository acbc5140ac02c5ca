package sampler_test

import (
	"math"
	"slices"
	"testing"

	"github.com/lanewise/lanewise/sampler"
)

// A pseudo is PNDM as diffusers writes it down: by times, of which a step takes ratio.
type pseudo struct {
	velocity bool
	ratio    int
	level    func(t int) sampler.Point // the final one for times below 0
	counter  int
	ets      []float64
	begin    float64 // cur_sample
	mean     float64 // cur_model_output
}

// previous is _get_prev_sample: equation 9 of the paper.
func (d *pseudo) previous(x float64, t, prev int, m float64) float64 {
	p, q := d.level(t), d.level(prev)
	at, ap := p.Alpha*p.Alpha, q.Alpha*q.Alpha
	if d.velocity {
		m = math.Sqrt(at)*m + math.Sqrt(1-at)*x
	}
	denominator := at*math.Sqrt(1-ap) + math.Sqrt(at*(1-at)*ap)
	return math.Sqrt(ap/at)*x - (ap-at)*m/denominator
}

// plms is step_plms.
func (d *pseudo) plms(x, m float64, t int) float64 {
	prev := t - d.ratio
	if d.counter != 1 {
		d.ets = append(d.ets, m)
	} else {
		prev, t = t, t+d.ratio
	}
	e := func(k int) float64 { return d.ets[len(d.ets)-k] }
	switch n := len(d.ets); {
	case n == 1 && d.counter == 0:
		d.begin = x
	case n == 1 && d.counter == 1:
		m, x = (m+e(1))/2, d.begin
	case n == 2:
		m = (3*e(1) - e(2)) / 2
	case n == 3:
		m = (23*e(1) - 16*e(2) + 5*e(3)) / 12
	default:
		m = (55*e(1) - 59*e(2) + 37*e(3) - 9*e(4)) / 24
	}
	d.counter++
	return d.previous(x, t, prev, m)
}

// prk is step_prk; first is the time of the first of its four stages.
func (d *pseudo) prk(x, m float64, t, first int) float64 {
	prev := t - d.ratio/2
	if d.counter%2 == 1 {
		prev = t
	}
	switch d.counter % 4 {
	case 0:
		d.mean += m / 6
		d.ets = append(d.ets, m)
		d.begin = x
	case 1, 2:
		d.mean += m / 3
	case 3:
		m, d.mean = d.mean+m/6, 0
	}
	d.counter++
	return d.previous(d.begin, first, prev, m)
}

// Every call of PNDM by hand, in both modes and for both predictions, with steps that lead to the next
// point and with those by times.
func TestPNDMSteps(t *testing.T) {
	const n, spacing = 7, 6
	level := func(t int) sampler.Point {
		if t < 0 {
			return sampler.Point{Alpha: 1}
		}
		return at(float64(t), 0.1*math.Pow(1.1, float64(t)))
	}
	var points []sampler.Point
	for i := range n {
		points = append(points, level((n-1-i)*spacing+1))
	}
	points = append(points, level(-1))
	var answers []float32
	for i := range 3*n + 1 {
		answers = append(answers, float32(math.Cos(float64(2*i))))
	}
	for _, k := range []sampler.Prediction{sampler.Epsilon, sampler.Velocity} {
		for _, rungeKutta := range []bool{false, true} {
			for _, byTimes := range []bool{false, true} {
				m := sampler.PNDM{RungeKutta: rungeKutta}
				m.Prediction = k
				ratio := spacing
				if byTimes {
					ratio = 4
					m.Stride, m.Level = ratio, level
				}
				calls, err := sampler.PNDMPoints(points, rungeKutta, ratio, level)
				if err != nil {
					t.Fatal(err)
				}
				if want := map[bool]int{false: n + 1, true: n + 9}[rungeKutta]; len(calls)-1 != want {
					t.Fatalf("%d calls of %d steps, want %d", len(calls)-1, n, want)
				}
				xs := trace(t, m, calls, 1.5, answers...)
				d := pseudo{velocity: k == sampler.Velocity, ratio: ratio, level: level}
				for i := range xs[1:] {
					var want float64
					if now := int(calls[i].T); rungeKutta && i < 12 {
						want = d.prk(xs[i], float64(answers[i]), now, int(calls[i/4*4].T))
					} else {
						want = d.plms(xs[i], float64(answers[i]), now)
					}
					if !near(xs[i+1], want) {
						t.Errorf("%v, Runge-Kutta %v, by times %v: call %d leads to %v, want %v", k, rungeKutta, byTimes, i, xs[i+1], want)
					}
				}
			}
		}
	}
}

// Few steps: one or two are made, and Runge-Kutta wants four.
func TestPNDMPoints(t *testing.T) {
	level := func(t int) sampler.Point { return at(float64(t), 1+float64(t)) }
	times := func(points []sampler.Point) (times []float64) {
		for _, p := range points {
			times = append(times, p.T)
		}
		return times
	}
	points := []sampler.Point{level(8), level(6), level(4), level(2), level(0)}
	for _, test := range []struct {
		points     []sampler.Point
		rungeKutta bool
		want       []float64
	}{
		{points[3:], false, []float64{2, 0}},
		{points[2:], false, []float64{4, 2, 2, 0}},
		{points[1:], false, []float64{6, 4, 4, 2, 0}},
		{points, false, []float64{8, 6, 6, 4, 2, 0}},
		{points, true, []float64{8, 7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 0}},
	} {
		got, err := sampler.PNDMPoints(test.points, test.rungeKutta, 2, level)
		if err != nil {
			t.Error(err)
		}
		if !slices.Equal(times(got), test.want) {
			t.Errorf("calls at %v, want %v", times(got), test.want)
		}
	}
	if _, err := sampler.PNDMPoints(points[1:], true, 2, level); err == nil || err.Error() != "sampler: 3 steps of PNDM, want at least 4 with those of Runge-Kutta" {
		t.Errorf("3 steps with Runge-Kutta: %v", err)
	}
}
