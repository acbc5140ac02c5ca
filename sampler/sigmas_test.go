package sampler_test

import (
	"math"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/sampler"
)

// sigma returns how much stronger the noise is than the sample.
func sigma(p sampler.Point) float64 { return p.Sigma / p.Alpha }

// Sigmas against the formulas, over the range of the times, the whole one, and one that is given.
func TestSigmas(t *testing.T) {
	const n = 11
	levels := sd(sampler.Schedule{}).Levels
	lowest, highest := sigma(levels.At(0)), sigma(levels.At(999))
	for _, ends := range []struct {
		name     string
		schedule sampler.Schedule
		a, b     float64
	}{
		{"times", sampler.Schedule{Spacing: sampler.Leading, Offset: 1}, sigma(levels.At(901)), sigma(levels.At(1))},
		{"whole", sampler.Schedule{Spacing: sampler.Leading, Offset: 1, FullRange: true}, highest, lowest},
		{"given", sampler.Schedule{MinSigma: 0.2, MaxSigma: 8}, 8, 0.2},
		{"given, whole", sampler.Schedule{MinSigma: 0.2, MaxSigma: 8, FullRange: true}, 8, 0.2},
	} {
		for sigmas, formula := range map[sampler.Sigmas]func(a, b, share float64) float64{
			sampler.Karras: func(a, b, share float64) float64 {
				return math.Pow(math.Pow(a, 1./7)+share*(math.Pow(b, 1./7)-math.Pow(a, 1./7)), 7)
			},
			sampler.Exponential: func(a, b, share float64) float64 { return a * math.Pow(b/a, share) },
			sampler.Beta:        func(a, b, share float64) float64 { return b + (a-b)*betaQuantile(1-share) },
			sampler.Lu:          func(_, _, share float64) float64 { return highest * math.Pow(lowest/highest, share) },
			sampler.LogLinear:   func(_, _, share float64) float64 { return highest * math.Pow(lowest/highest, share*(n-1)/n) },
		} {
			for _, fractional := range []bool{false, true} {
				s := ends.schedule
				s.Levels, s.Sigmas, s.Fractional = levels, sigmas, fractional
				points, err := s.Points(n)
				if err != nil {
					t.Fatal(err)
				}
				for i, p := range points[:n] {
					want := formula(ends.a, ends.b, float64(i)/(n-1))
					if got := sigma(p); math.Abs(got-want) > 1e-7*want {
						t.Errorf("%v over %s: sigma %d is %v, want %v", sigmas, ends.name, i, got, want)
					}
					if sigmas != sampler.LogLinear {
						checkTime(t, levels, p, fractional)
					}
				}
				end := sampler.Point{Alpha: 1}
				if sigmas == sampler.LogLinear {
					end = levels.At(0)
				}
				if len(points) != n+1 || points[n] != end {
					t.Errorf("%v over %s: %d points, the last %v", sigmas, ends.name, len(points), points[len(points)-1])
				}
			}
		}
	}
}

// checkTime checks that a point's time is where the levels have its sigma: by interpolation of log sigma,
// rounded if times are whole, and at an end if it is beyond.
func checkTime(t *testing.T, levels sampler.Levels, p sampler.Point, fractional bool) {
	t.Helper()
	want := 0.
	for i := range levels[1:] {
		low, high := math.Log(sigma(levels.At(i))), math.Log(sigma(levels.At(i+1)))
		want += min(max((math.Log(sigma(p))-low)/(high-low), 0), 1)
	}
	if !fractional {
		want = math.RoundToEven(want)
	}
	if math.Abs(p.T-want) > 1e-4 { // the levels' logarithms are float32
		t.Errorf("sigma %v is at time %v, want %v", sigma(p), p.T, want)
	}
}

// betaQuantile returns where the beta distribution with both parameters 0.6 has so much of itself below:
// by bisection of its integral. With x = u^(5/3) near 0 the density is smooth.
//
//	∫ x^-0.4·(1-x)^-0.4 dx = 5/3·∫ (1-u^(5/3))^-0.4 du
func betaQuantile(p float64) float64 {
	below := func(x float64) float64 { // for x ≤ 1/2, by Simpson's rule
		const n = 400
		end, sum := math.Pow(x, 0.6), 0.
		for i := range n + 1 {
			weight := []float64{2, 4}[i%2]
			if i == 0 || i == n {
				weight = 1
			}
			sum += weight * math.Pow(1-math.Pow(end*float64(i)/n, 5./3), -0.4)
		}
		return sum * end / n / 3 * 5 / 3
	}
	if p > 0.5 {
		return 1 - betaQuantile(1-p)
	}
	low, high, all := 0., 0.5, 2*below(0.5)
	for range 60 {
		if middle := (low + high) / 2; below(middle) < p*all {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// The last point of LogLinear's is the level of the first training step, where all of its sigmas end; if
// the model is told log sigma, that is a point to ask at too.
func TestLogTimes(t *testing.T) {
	s := sd(sampler.Schedule{Spacing: sampler.Linspace, Fractional: true, LogTimes: true})
	for _, sigmas := range []sampler.Sigmas{sampler.AsSpaced, sampler.Karras, sampler.LogLinear} {
		s.Sigmas = sigmas
		points, err := s.Points(5)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{false: 6, true: 7}[sigmas == sampler.LogLinear]; len(points) != want {
			t.Errorf("%v: %d points, want %d", sigmas, len(points), want)
		}
		for i, p := range points[:len(points)-1] {
			if want := math.Log(sigma(p)) / 4; math.Abs(p.T-want) > 1e-12 {
				t.Errorf("%v: the model is told %v at point %d, want %v", sigmas, p.T, i, want)
			}
		}
	}
	points, err := s.PointsOf([]float64{10, 1, 0.1})
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(points[0].T-math.Log(10)/4) > 1e-12 || points[1].T != 0 {
		t.Errorf("the model is told %v and %v at sigmas 10 and 1", points[0].T, points[1].T)
	}
}

// Names of schedules do what they say.
func TestScheduleNames(t *testing.T) {
	want := "leading linspace trailing karras exponential beta lu log-linear"
	if got := strings.Join(sampler.ScheduleNames(), " "); got != want {
		t.Errorf("schedules are %s, want %s", got, want)
	}
	for _, name := range append(sampler.ScheduleNames(), "other") {
		if about := sampler.AboutSchedule(name); (about == "") != (name == "other") {
			t.Errorf("%s: %q", name, about)
		}
	}
	c, err := read("", `_class_name: "DPMSolverMultistepScheduler"`, "use_karras_sigmas: true")
	if err != nil {
		t.Fatal(err)
	}
	for name, check := range map[string]func(s sampler.Schedule) bool{
		"leading":     func(s sampler.Schedule) bool { return s.Spacing == sampler.Leading && s.Sigmas == sampler.AsSpaced },
		"Linspace":    func(s sampler.Schedule) bool { return s.Spacing == sampler.Linspace && s.Sigmas == sampler.AsSpaced },
		"trailing":    func(s sampler.Schedule) bool { return s.Spacing == sampler.Trailing && s.Sigmas == sampler.AsSpaced },
		"KARRAS":      func(s sampler.Schedule) bool { return s.Spacing == sampler.Linspace && s.Sigmas == sampler.Karras },
		"exponential": func(s sampler.Schedule) bool { return s.Sigmas == sampler.Exponential },
		"beta":        func(s sampler.Schedule) bool { return s.Sigmas == sampler.Beta },
		"lu":          func(s sampler.Schedule) bool { return s.Sigmas == sampler.Lu },
		"log-linear":  func(s sampler.Schedule) bool { return s.Sigmas == sampler.LogLinear },
	} {
		with, err := c.With(name)
		if err != nil || !check(with.Schedule) || c.Schedule.Sigmas != sampler.Karras {
			t.Errorf("%s: %v, %+v", name, err, with)
		}
	}
	for sampler, test := range map[string]struct{ schedule, want string }{
		"dpm++": {"cosine", `sampler: unknown schedule "cosine"; there are leading, linspace, trailing, karras, exponential, beta, lu, log-linear`},
		"pndm":  {"Karras", `sampler: pndm has no schedule "Karras"; it has leading, linspace, trailing`},
		"lcm":   {"trailing", `sampler: lcm has no schedules: its steps are among those that the model was distilled at`},
	} {
		c, err := read(sampler, ddim)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.With(test.schedule); err == nil || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", sampler, err, test.want)
		}
	}
}

// What is begun with is as strong as the noise of the first point, where samples are kept at x/Alpha and
// the steps begin at the last training step.
func TestWithChangesTheBeginning(t *testing.T) {
	c, err := read("", euler, `timestep_spacing: "leading"`)
	if err != nil {
		t.Fatal(err)
	}
	for name, scaled := range map[string]bool{"leading": false, "linspace": true, "trailing": true, "karras": false} {
		with, err := c.With(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := with.Plan(5)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]float64{false: 1, true: p.Points[0].Sigma}[scaled]; p.NoiseScale != want {
			t.Errorf("%s: noise is scaled by %v, want %v", name, p.NoiseScale, want)
		}
	}
}
