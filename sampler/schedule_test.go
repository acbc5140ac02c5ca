package sampler_test

import (
	"fmt"
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

// The times of the schedules of multistep methods, which leave out one more and those of the noisiest levels,
// as hashes of what numpy gives for 1 to 200 steps. Times before the first training step are left out.
func TestClippedTimes(t *testing.T) {
	for _, test := range []struct {
		clipped int
		spacing sampler.Spacing
		want    string
	}{
		{0, sampler.Leading, "42409b89f780fdc9"},
		{0, sampler.Linspace, "f7ec7a0c537b5060"},
		{0, sampler.Trailing, "a0c0bc74ed2d54a8"},
		{50, sampler.Leading, "16a1fd35953b4f66"},
		{50, sampler.Linspace, "410a28e8c5146827"},
		{50, sampler.Trailing, "4e7654b39f08a633"},
		{500, sampler.Leading, "7547f1c7c043918d"},
		{500, sampler.Linspace, "beed18c2ffe72c44"},
		{500, sampler.Trailing, "d244dcecd7dee45c"},
	} {
		s := sd(sampler.Schedule{Spacing: test.spacing, SkipLast: true, Clipped: test.clipped})
		if test.spacing == sampler.Leading {
			s.Offset = 1
		}
		var times []float32
		for n := 1; n <= 200; n++ {
			points, err := s.Points(n)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range points[:len(points)-1] {
				times = append(times, float32(p.T))
			}
		}
		if got := hash(times); got != test.want {
			t.Errorf("%v without the %d last: hash %s, want %s", test.spacing, test.clipped, got, test.want)
		}
	}
}

// The times of consistency models at all numbers of steps, as hashes of what numpy gives.
func TestDistilledTimes(t *testing.T) {
	for _, test := range []struct {
		distilled int
		strength  float64
		most      int
		want      string
	}{
		{50, 1, 50, "5770cf885ce8946e"},
		{50, 0, 50, "5770cf885ce8946e"},
		{50, 0.5, 25, "5473afe772018cf2"},
		{50, 0.3, 15, "076787a9d6d2e864"},
		{100, 1, 100, "60499847c6e114df"},
		{100, 0.5, 50, "6d46a6368568881f"},
		{100, 0.3, 30, "9a47c75dc7c06371"},
		{7, 1, 7, "127ab9329ee027cd"},
		{7, 0.5, 3, "6648655eba3c0d14"},
		{7, 0.3, 2, "07c6818ba99af0f9"},
	} {
		s := sd(sampler.Schedule{Distilled: test.distilled, Strength: test.strength, Spacing: sampler.Trailing})
		var times []float32
		for n := 1; n <= test.most; n++ {
			points, err := s.Points(n)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range points[:n] {
				times = append(times, float32(p.T))
			}
		}
		if got := hash(times); got != test.want {
			t.Errorf("%d steps of distillation, strength %v: hash %s, want %s", test.distilled, test.strength, got, test.want)
		}
		if _, err := s.Points(test.most + 1); err == nil {
			t.Errorf("%d steps of distillation, strength %v: no error for %d steps", test.distilled, test.strength, test.most+1)
		}
	}
}

// Points at given times are those of the levels, between them where times may be.
func TestPointsAt(t *testing.T) {
	s := sd(sampler.Schedule{FinalNoise: true})
	points, err := s.PointsAt([]float64{999, 500, 0})
	if err != nil {
		t.Fatal(err)
	}
	if want := []sampler.Point{s.Levels.At(999), s.Levels.At(500), s.Levels.At(0), s.Levels.At(0)}; !slices.Equal(points, want) {
		t.Errorf("%v, want %v", points, want)
	}
	s.Fractional, s.FinalNoise = true, false
	if points, err = s.PointsAt([]float64{500.25}); err != nil {
		t.Fatal(err)
	}
	a, b := s.Levels.At(500), s.Levels.At(501)
	if want := 0.75*a.Sigma/a.Alpha + 0.25*b.Sigma/b.Alpha; math.Abs(points[0].Sigma/points[0].Alpha-want) > 1e-7 || points[0].T != 500.25 || points[1] != (sampler.Point{Alpha: 1}) {
		t.Errorf("%v, want sigma %v", points, want)
	}
	for _, test := range []struct {
		schedule sampler.Schedule
		times    []float64
		want     string
	}{
		{sd(sampler.Schedule{}), nil, "no times"},
		{sd(sampler.Schedule{}), []float64{5, 5}, "time 5 after 5, want falling times"},
		{sd(sampler.Schedule{}), []float64{5, 6}, "time 6 after 5, want falling times"},
		{sd(sampler.Schedule{}), []float64{5.5}, "time 5.5, want a training step"},
		{sd(sampler.Schedule{}), []float64{math.NaN()}, "time NaN, want a training step"},
		{sd(sampler.Schedule{Fractional: true}), []float64{math.NaN()}, "step 1 of 1 is at time NaN of 1000"},
		{sd(sampler.Schedule{}), []float64{1000, 1}, "step 1 of 2 is at time 1000 of 1000"},
		{sd(sampler.Schedule{}), []float64{7, -1}, "step 2 of 2 is at time -1"},
		{sd(sampler.Schedule{Sigmas: sampler.Beta}), []float64{7, 1}, "given times with sigmas spread as beta"},
		{sd(sampler.Schedule{LogTimes: true}), []float64{7, 1}, "told the logarithm"},
		{sampler.Schedule{}, []float64{7, 1}, "a schedule of 0 levels"},
	} {
		if _, err := test.schedule.PointsAt(test.times); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v, want %q", test.times, err, test.want)
		}
	}
}

// Points of given sigmas have them, and the times that go with them.
func TestPointsOf(t *testing.T) {
	s := sd(sampler.Schedule{})
	for _, fractional := range []bool{false, true} {
		s.Fractional = fractional
		sigmas := []float64{100, 14, 3, 0.5, 0.01, 0}
		points, err := s.PointsOf(sigmas)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range points {
			if math.Abs(sigma(p)-sigmas[i]) > 1e-12*sigmas[i] || math.Abs(p.Alpha*p.Alpha+p.Sigma*p.Sigma-1) > 1e-12 {
				t.Errorf("point %d is %v, want sigma %v", i, p, sigmas[i])
			}
			if i < 5 {
				checkTime(t, s.Levels, p, fractional)
			}
		}
	}
	points, err := s.PointsOf([]float64{5, 1})
	if err != nil || len(points) != 2 || math.Abs(sigma(points[1])-1) > 1e-12 {
		t.Errorf("%v, %v: want an end at sigma 1", points, err)
	}
	for _, test := range []struct {
		sigmas []float64
		want   string
	}{
		{nil, "0 sigmas, want at least 2"},
		{[]float64{3}, "1 sigmas, want at least 2"},
		{[]float64{3, 3}, "sigma 3 is the 2. of 2, want falling ones"},
		{[]float64{3, 4}, "sigma 4 is the 2. of 2"},
		{[]float64{3, 0, 0}, "sigma 0 is the 2. of 3"},
		{[]float64{3, -1}, "sigma -1 is the 2. of 2"},
		{[]float64{3, 1e-40, 0}, "sigma 1e-40 is the 2. of 3, want falling ones from 2⁶⁴ to 2⁻⁶⁴"},
		{[]float64{math.Inf(1), 1}, "sigma +Inf is the 1. of 2"},
		{[]float64{math.NaN(), 1}, "sigma NaN is the 1. of 2"},
	} {
		if _, err := s.PointsOf(test.sigmas); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v, want %q", test.sigmas, err, test.want)
		}
	}
}

// Spacings and ways to spread that there are not have no names, and cannot be had.
func TestUnknownSpacings(t *testing.T) {
	if got := fmt.Sprint(sampler.Spacing(9), sampler.Sigmas(9), sampler.Prediction(9)); got != "Spacing(9) Sigmas(9) Prediction(9)" {
		t.Error(got)
	}
	s := sd(sampler.Schedule{Sigmas: 9})
	if _, err := s.Points(5); err == nil || !strings.Contains(err.Error(), "unknown Sigmas(9)") {
		t.Error(err)
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

// Values that PyTorch gives.
func TestSigmoidBetas(t *testing.T) {
	betas := sampler.SigmoidBetas(1000, 0.0001, 0.02)
	for step, want := range map[int]float64{
		0: 0.00014920519606675953, 1: 0.00014979831757955253, 250: 0.001046478282660246, 500: 0.010079879313707352,
		750: 0.019064290449023247, 999: 0.01995079591870308,
	} {
		if math.Abs(betas[step]-want) > 1e-6*want {
			t.Errorf("beta %d is %v, want %v", step, betas[step], want)
		}
	}
}

// The betas of the exponential schedule are all one: ᾱ falls by the same share.
func TestExponentialBetas(t *testing.T) {
	for step, beta := range sampler.ExponentialBetas(1000) {
		if want := 1 - math.Exp(-0.012); math.Abs(beta-want) > 1e-12 {
			t.Fatalf("beta %d is %v, want %v", step, beta, want)
		}
	}
	if betas := sampler.ExponentialBetas(1); betas[0] != 0.999 {
		t.Errorf("%v of a single step, want the cap", betas)
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
		{sd(sampler.Schedule{Clipped: 999}), 10, "a schedule of 1000 levels, of which 999 are left out"},
		{sd(sampler.Schedule{Clipped: -1}), 10, "of which -1 are left out"},
		{sd(sampler.Schedule{SkipLast: true}), 1000, "1000 steps with leading spacing, want 1 to 999"},
		{sd(sampler.Schedule{Clipped: 900}), 101, "101 steps with leading spacing, want 1 to 100"},
		{sd(sampler.Schedule{Distilled: 50}), 51, "51 steps, want 1 to 50: strength 1 of the 50 that the model was distilled at"},
		{sd(sampler.Schedule{Distilled: 50, Strength: 0.5}), 26, "26 steps, want 1 to 25: strength 0.5 of the 50 that the model was distilled at"},
		{sd(sampler.Schedule{Distilled: 50, Strength: 1.5}), 2, "strength 1.5 of 50 steps of distillation"},
		{sd(sampler.Schedule{Distilled: 50, Strength: math.NaN()}), 2, "strength NaN"},
		{sd(sampler.Schedule{Distilled: 1001}), 2, "want a share of at most 1000"},
		{sd(sampler.Schedule{Sigmas: sampler.Karras, MinSigma: 3, MaxSigma: 2}), 5, "sigmas from 2 to 3, spread as karras"},
	} {
		if _, err := test.schedule.Points(test.n); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
}

// Where sigma is infinite there are errors.
func TestPointsAtTheNoisyEnd(t *testing.T) {
	zero := sd(sampler.Schedule{Spacing: sampler.Linspace, Fractional: true})
	zero.Levels = zero.Levels.ZeroTerminal()
	if _, err := zero.PointsAt([]float64{998.5, 3}); err == nil || !strings.Contains(err.Error(), "step 1 of 2 is at time 998.5, just before there is nothing but noise") {
		t.Errorf("a step between the last two levels: %v", err)
	}
	zero.LogTimes = true
	if _, err := zero.Points(5); err == nil || !strings.Contains(err.Error(), "told the logarithm of sigma, and a first step from nothing but noise") {
		t.Errorf("the logarithm of infinity: %v", err)
	}
	// ᾱ of the last levels is the least float32 above 0, each, and sigma is infinite in float32.
	same := sampler.Schedule{Levels: sampler.NewLevels(sampler.LinearBetas(1092, 0.081, 0.1)), Sigmas: sampler.Karras, FullRange: true}
	if _, err := same.Points(5); err == nil || !strings.Contains(err.Error(), "sigmas from +Inf") {
		t.Errorf("sigmas from infinity: %v", err)
	}
}
