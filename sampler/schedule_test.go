package sampler_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/sampler"
)

// sd is the schedule of Stable Diffusion.
func sd(s sampler.Schedule) sampler.Schedule {
	s.Levels = sampler.NewLevels(sampler.ScaledLinearBetas(1000, 0.00085, 0.012))
	return s
}

// The times that numpy gives by diffusers' formulas.
func TestTimes(t *testing.T) {
	for _, test := range []struct {
		schedule sampler.Schedule
		n        int
		want     []float64
	}{
		{sampler.Schedule{Spacing: sampler.Leading, Offset: 1}, 1, []float64{1}},
		{sampler.Schedule{Spacing: sampler.Leading, Offset: 1}, 3, []float64{667, 334, 1}},
		{sampler.Schedule{Spacing: sampler.Leading}, 7, []float64{852, 710, 568, 426, 284, 142, 0}},
		{sampler.Schedule{Spacing: sampler.Trailing}, 1, []float64{999}},
		{sampler.Schedule{Spacing: sampler.Trailing}, 3, []float64{999, 666, 332}},
		{sampler.Schedule{Spacing: sampler.Trailing}, 16,
			[]float64{999, 937, 874, 811, 749, 687, 624, 561, 499, 437, 374, 311, 249, 187, 124, 61}}, // halves to even
		{sampler.Schedule{Spacing: sampler.Linspace}, 1, []float64{0}},
		{sampler.Schedule{Spacing: sampler.Linspace}, 3, []float64{999, 500, 0}},
		{sampler.Schedule{Spacing: sampler.Linspace}, 7, []float64{999, 832, 666, 500, 333, 166, 0}},
		{sampler.Schedule{Spacing: sampler.Linspace, Fractional: true}, 3, []float64{999, 499.5, 0}},
		{sampler.Schedule{Spacing: sampler.Linspace, Fractional: true}, 1, []float64{0}},
	} {
		s := sd(test.schedule)
		points, err := s.Points(test.n)
		if err != nil {
			t.Fatal(err)
		}
		var times []float64
		for _, p := range points[:test.n] {
			times = append(times, p.T)
		}
		if !slices.Equal(times, test.want) {
			t.Errorf("%v, %d steps: %v, want %v", s.Spacing, test.n, times, test.want)
		}
	}
}

// The times of all numbers of steps from 1 to 1000, as hashes of those that numpy gives.
func TestAllTimes(t *testing.T) {
	for spacing, want := range map[sampler.Spacing]string{
		sampler.Leading: "9fec5e36b61e15a1", sampler.Linspace: "2e4fee8cc26304d2", sampler.Trailing: "4fb00db49a69aa4b",
	} {
		s := sd(sampler.Schedule{Spacing: spacing})
		var times []float32
		for n := 1; n <= 1000; n++ {
			points, err := s.Points(n)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range points[:n] {
				times = append(times, float32(p.T))
			}
		}
		if got := hash(times); got != want {
			t.Errorf("%v: hash %s, want %s", spacing, got, want)
		}
	}
}

// At every number of steps, points fall from noise to none and keep Alpha² + Sigma² = 1.
func TestPointsFall(t *testing.T) {
	for _, s := range []sampler.Schedule{
		{Spacing: sampler.Leading}, {Spacing: sampler.Trailing}, {Spacing: sampler.Linspace},
		{Spacing: sampler.Linspace, Fractional: true}, {Spacing: sampler.Linspace, Fractional: true, Sigmas: sampler.Karras},
	} {
		s := sd(s)
		for n := 1; n <= 1000; n = n*5/4 + 1 {
			points, err := s.Points(n)
			if err != nil {
				t.Fatal(err)
			}
			if len(points) != n+1 || points[n] != (sampler.Point{Alpha: 1}) {
				t.Fatalf("%d points for %d steps, the last %v", len(points), n, points[len(points)-1])
			}
			for i, p := range points {
				if math.Abs(p.Alpha*p.Alpha+p.Sigma*p.Sigma-1) > 1e-12 {
					t.Fatalf("%v: point %d of %d: %v", s.Spacing, i, n, p)
				}
				if i > 0 && !(p.Sigma < points[i-1].Sigma && p.T <= points[i-1].T) {
					t.Fatalf("%v: points %d and %d of %d do not fall: %v, %v", s.Spacing, i-1, i, n, points[i-1], p)
				}
			}
		}
	}
}

func TestFinalNoise(t *testing.T) {
	s := sd(sampler.Schedule{FinalNoise: true})
	points, err := s.Points(2)
	if err != nil {
		t.Fatal(err)
	}
	if want := s.Levels.At(0); points[2] != want || want.Sigma == 0 {
		t.Errorf("the last point is %v, want %v", points[2], want)
	}
}

// Karras' sigmas are evenly spaced in the seventh root, and their times have those sigmas.
func TestKarras(t *testing.T) {
	s := sd(sampler.Schedule{Spacing: sampler.Linspace, Fractional: true, Sigmas: sampler.Karras, MinSigma: 0.1, MaxSigma: 10})
	const n = 9
	points, err := s.Points(n)
	if err != nil {
		t.Fatal(err)
	}
	a, b := math.Pow(10, 1./7), math.Pow(0.1, 1./7)
	for i, p := range points[:n] {
		want := math.Pow(a+float64(i)/(n-1)*(b-a), 7)
		if got := p.Sigma / p.Alpha; math.Abs(got-want) > 1e-12*want {
			t.Errorf("sigma %d is %v, want %v", i, got, want)
		}
		below, above := s.Levels.At(int(p.T)), s.Levels.At(int(p.T)+1)
		if below.Sigma/below.Alpha > want || above.Sigma/above.Alpha < want {
			t.Errorf("sigma %v is not at time %v", want, p.T)
		}
	}
}

func TestZeroTerminal(t *testing.T) {
	levels := sampler.NewLevels(sampler.ScaledLinearBetas(1000, 0.00085, 0.012))
	zero := levels.ZeroTerminal()
	if zero[999] != 0 || math.Abs(zero[0]-levels[0]) > 1e-7 {
		t.Errorf("levels from %v to %v, want from %v to 0", zero[0], zero[999], levels[0])
	}
	// In between the square roots are an affine function of what they were.
	ratio := (math.Sqrt(zero[300]) - math.Sqrt(zero[700])) / (math.Sqrt(levels[300]) - math.Sqrt(levels[700]))
	first := math.Sqrt(levels[0])
	if want := first / (first - math.Sqrt(levels[999])); math.Abs(ratio-want) > 1e-6 { // float32
		t.Errorf("stretched by %v, want %v", ratio, want)
	}
}

// ᾱ of the cosine schedule is cos² of time, until the last betas are capped.
func TestCosineBetas(t *testing.T) {
	levels := sampler.NewLevels(sampler.CosineBetas(1000))
	f := func(t float64) float64 { return math.Pow(math.Cos((t/1000+0.008)/1.008*math.Pi/2), 2) }
	for _, step := range []int{0, 1, 100, 500, 900, 990} {
		if want := f(float64(step+1)) / f(0); math.Abs(levels[step]-want) > 1e-4*want {
			t.Errorf("level %d is %v, want %v", step, levels[step], want)
		}
	}
	if ratio := levels[999] / levels[998]; math.Abs(ratio-0.001) > 1e-7 {
		t.Errorf("the last beta is %v, want 0.999", 1-ratio)
	}
}

func TestPointsErrors(t *testing.T) {
	for _, test := range []struct {
		schedule sampler.Schedule
		n        int
		want     string
	}{
		{sd(sampler.Schedule{}), 0, "0 steps, want 1 to 1000"},
		{sd(sampler.Schedule{}), 1001, "1001 steps, want 1 to 1000"},
		{sampler.Schedule{}, 10, "a schedule of 0 levels"},
		{sd(sampler.Schedule{Offset: 1}), 1000, "step 1 of 1000 is at time 1000 of 1000 training steps (leading spacing, offset 1)"},
		{sd(sampler.Schedule{Offset: -1}), 2, "step 2 of 2 is at time -1"},
		{sd(sampler.Schedule{Sigmas: sampler.Karras, MinSigma: 3, MaxSigma: 2}), 5, "sigmas from 2 to 3, spread as karras"},
	} {
		if _, err := test.schedule.Points(test.n); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
}
