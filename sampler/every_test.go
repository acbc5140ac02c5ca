package sampler_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

// What holds for all methods alike.

// A listed method, with options that have it do all that it can.
type listed struct {
	name   string
	method sampler.Method
}

// points returns n steps of Stable Diffusion's schedule, as the method wants them. They have the same
// bits everywhere, and end with a little noise.
func (l listed) points(n int) []sampler.Point {
	s := sd(sampler.Schedule{Spacing: sampler.Trailing, FinalNoise: true})
	points, err := s.Points(n)
	if err == nil {
		if m, ok := l.method.(sampler.PNDM); ok {
			points, err = sampler.PNDMPoints(points, m.RungeKutta, 1000/n, s.Levels.At)
		}
	}
	if err != nil {
		panic(err)
	}
	return points
}

// every returns all methods. Those that add noise take it from s.
func every(s sampler.Source) []listed {
	bounded := sampler.Reading{Clip: 1}
	velocity := sampler.Reading{Prediction: sampler.Velocity}
	threshold := sampler.Reading{Prediction: sampler.Sample, Threshold: sampler.Threshold{Quantile: 0.9, Max: 2}}
	level := sd(sampler.Schedule{}).Levels.At
	rows := []listed{
		{name: "DDIM", method: sampler.DDIM{Reading: bounded, FitNoise: true}},
		{name: "DDIM, eta", method: sampler.DDIM{Reading: threshold, Eta: 0.5}},
		{name: "DDPM, small", method: sampler.DDPM{Reading: threshold}},
		{name: "DDPM, large", method: sampler.DDPM{Reading: velocity, Variance: sampler.FixedLarge}},
		{name: "DDPM, learned", method: sampler.DDPM{Reading: bounded, Variance: sampler.Learned}},
		{name: "DDPM, range", method: sampler.DDPM{Variance: sampler.LearnedRange}},
		{name: "PNDM", method: sampler.PNDM{Reading: velocity}},
		{name: "PNDM, Runge-Kutta", method: sampler.PNDM{RungeKutta: true}},
		{name: "Euler", method: sampler.Euler{Reading: velocity}},
		{name: "Euler, churn", method: sampler.Euler{Churn: 0.2}},
		{name: "Euler ancestral", method: sampler.EulerAncestral{Reading: velocity}},
		{name: "Heun", method: sampler.Heun{Reading: bounded}},
	}
	for _, noise := range []bool{false, true} {
		for order := 1; order <= 3; order++ {
			d := sampler.DPMSolver{Reading: threshold, Order: order, OfNoise: noise}
			rows = append(rows, listed{name: fmt.Sprintf("DPMSolver, noise %v, order %d", noise, order), method: d})
			if order == 2 {
				d.Heun = true
				rows = append(rows, listed{name: fmt.Sprintf("DPMSolver, noise %v, heun", noise), method: d})
			}
			if order < 3 {
				d.SDE = true
				rows = append(rows, listed{name: fmt.Sprintf("DPMSolver, noise %v, order %d, SDE", noise, order), method: d})
			}
		}
		for order := 1; order <= 4; order++ {
			u := sampler.UniPC{Reading: velocity, Order: order, OfNoise: noise, Linear: order%2 == 1, Uncorrected: []int{0}}
			rows = append(rows, listed{name: fmt.Sprintf("UniPC, noise %v, order %d", noise, order), method: u})
		}
	}
	rows = append(rows,
		listed{name: "LCM", method: sampler.LCM{Reading: bounded, Scaling: 0.01}},
		listed{name: "TCD", method: sampler.TCD{Reading: velocity, Eta: 0.3, Level: level}})
	for i := range rows {
		rows[i].method = sampler.WithNoise(rows[i].method, s)
	}
	return rows
}

// half is a model that says half of what it sees, and of a variance, where it is asked for one, the square
// of that, up to 1. It has the same bits on every machine.
func half(_ context.Context, out, x tensor.NHWC, _ sampler.Point) error {
	for r, rows := 0, x.Tokens(); r < rows.Rows; r++ {
		o := out.Tokens().Row(r)
		for c, v := range rows.Row(r) {
			o[c] = v * 0.5
			if x.C+c < len(o) {
				o[x.C+c] = min(v*v/4, 1)
			}
		}
	}
	return nil
}

// However x lies in memory, and whatever other images there are, an image's bits are the same.
func TestStridesAndBatches(t *testing.T) {
	for _, test := range every(constant(0.5)) {
		x := tensor.Make(2, 3, 5, 4)
		sampler.Noise(x, 1)
		wide := tensor.Make(2, 3, 5, 9).Channels(3, 7)
		tensor.Copy(wide, x)
		one := tensor.Make(1, 3, 5, 4)
		tensor.Copy(one, x.Images(1, 2))
		points := test.points(7)
		finish(t, half, x, points, test.method)
		finish(t, half, wide, points, test.method)
		finish(t, half, one, points, test.method)
		same := tensor.Make(2, 3, 5, 4)
		tensor.Copy(same, wide)
		if distance(same.Data, x.Data) != 0 || distance(one.Data, x.Images(1, 2).Data) != 0 {
			t.Errorf("%s: strides or batches change the result", test.name)
		}
	}
}

// What lies between the pixels of a strided sample stays.
func TestStridesKeep(t *testing.T) {
	for _, test := range every(constant(0.5)) {
		all := tensor.Make(1, 2, 3, 7)
		for i := range all.Data {
			all.Data[i] = 99
		}
		x := all.Channels(2, 5)
		sampler.Noise(x, 1)
		finish(t, half, x, test.points(4), test.method)
		for _, part := range []tensor.NHWC{all.Channels(0, 2), all.Channels(5, 7)} {
			for r := range part.Tokens().Rows {
				if slices.ContainsFunc(part.Tokens().Row(r), func(v float32) bool { return v != 99 }) {
					t.Fatalf("%s: wrote beside x", test.name)
				}
			}
		}
	}
}

// Memory is allocated at the start of a run, not by its steps.
func TestStepsAllocate(t *testing.T) {
	for _, test := range every(sampler.NewGenerator(1)) {
		x := tensor.Make(1, 8, 8, 3)
		run := func(n int) float64 {
			points := test.points(n)
			p := sampler.Guide(half, 2)
			finish(t, p, x, test.points(4), test.method)
			return testing.AllocsPerRun(3, func() {
				sampler.Noise(x, 1)
				finish(t, p, x, points, test.method)
			})
		}
		if few, many := run(4), run(24); many != few {
			t.Errorf("%s: %v allocations in 24 steps, %v in 4", test.name, many, few)
		}
	}
}

// Whichever call of the model fails, in whatever way, the run ends with its error, and x is what the
// step before left.
func TestErrorsKeepX(t *testing.T) {
	broken := errors.New("broken")
	for _, test := range every(constant(0.5)) {
		points := test.points(5)
		for at := 1; ; at++ {
			calls := 0
			model := func(ctx context.Context, out, x tensor.NHWC, p sampler.Point) error {
				err := half(ctx, out, x, p)
				if calls++; calls == at && at%2 == 0 {
					return broken
				} else if calls == at {
					out.Data[0] = float32(math.NaN())
				}
				return err
			}
			x := tensor.Make(1, 2, 2, 3)
			sampler.Noise(x, 1)
			before := slices.Clone(x.Data)
			var failed error
			for _, err := range sampler.Steps(context.Background(), model, x, points, test.method) {
				if failed = err; err == nil {
					copy(before, x.Data)
				}
			}
			if calls < at {
				if failed != nil {
					t.Errorf("%s: %v", test.name, failed)
				}
				break
			}
			if failed == nil || at%2 == 0 && !errors.Is(failed, broken) || calls != at {
				t.Errorf("%s: %v when call %d failed, and %d calls", test.name, failed, at, calls)
			}
			if !slices.Equal(before, x.Data) {
				t.Errorf("%s: the step that failed changed x (call %d)", test.name, at)
			}
		}
	}
}

// Methods that add noise say so when there is none to take, and WithNoise gives it to them; to the others it
// is nothing.
func TestWithNoise(t *testing.T) {
	x := tensor.Make(1, 2, 2, 3)
	for _, test := range every(nil) {
		var err error
		for _, err = range sampler.Steps(context.Background(), half, x, test.points(4), test.method) {
		}
		if err == nil {
			continue // adds none
		}
		if want := "needs a source of noise"; !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want that it %s", test.name, err, want)
		}
		a, b := tensor.Make(1, 2, 2, 3), tensor.Make(1, 2, 2, 3)
		sampler.Noise(a, 1)
		sampler.Noise(b, 1)
		finish(t, half, a, test.points(4), sampler.WithNoise(test.method, constant(1)))
		finish(t, half, b, test.points(4), sampler.WithNoise(test.method, constant(-1)))
		if distance(a.Data, b.Data) == 0 {
			t.Errorf("%s: the noise has no effect", test.name)
		}
	}
}

// A run that begins at a later point goes on as one from the start would, if the method remembers nothing;
// those that do begin anew. Either way steps count from 0, and the last is the last.
func TestStepsFrom(t *testing.T) {
	const n, first = 6, 2
	for _, test := range every(constant(0.5)) {
		points := test.points(n)
		x := tensor.Make(1, 2, 2, 3)
		sampler.Noise(x, 1)
		begin := tensor.Make(1, 2, 2, 3)
		for step, err := range sampler.Steps(context.Background(), half, x, points, test.method) {
			if err != nil {
				t.Fatal(err)
			}
			if step.Index == first-1 {
				tensor.Copy(begin, x)
			}
		}
		later, count := tensor.Make(1, 2, 2, 3), 0
		tensor.Copy(later, begin)
		for step, err := range sampler.StepsFrom(context.Background(), half, later, points, first, test.method) {
			if err != nil {
				t.Fatal(err)
			}
			if step.Index != count || step.Count != len(points)-1-first || step.From != points[first+count] || step.To != points[first+count+1] {
				t.Errorf("%s: step %d reports %+v", test.name, count, step)
			}
			count++
		}
		if count != len(points)-1-first {
			t.Errorf("%s: %d steps", test.name, count)
		}
		remembers := false
		switch m := test.method.(type) {
		case sampler.PNDM:
			remembers = true
		case sampler.DPMSolver:
			remembers = m.Order > 1
		case sampler.UniPC:
			remembers = true
		}
		if same := distance(later.Data, x.Data) == 0; same == remembers {
			t.Errorf("%s: same result %v, and remembers steps %v", test.name, same, remembers)
		}
		// Nothing but what is at first and behind counts.
		if u, ok := test.method.(sampler.UniPC); ok {
			u.Uncorrected = nil // by absolute index
			test.method = u
		} else if _, ok := test.method.(sampler.PNDM); ok {
			continue // has points that come twice
		}
		alone := tensor.Make(1, 2, 2, 3)
		tensor.Copy(alone, begin)
		finish(t, half, alone, points[first:], test.method)
		tensor.Copy(later, begin)
		for _, err := range sampler.StepsFrom(context.Background(), half, later, points, first, test.method) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if distance(alone.Data, later.Data) != 0 {
			t.Errorf("%s: the points before the first count", test.name)
		}
	}
	// UniPC's steps keep their indices.
	x, y := tensor.Make(1, 2, 2, 3), tensor.Make(1, 2, 2, 3)
	for _, v := range []struct {
		x           tensor.NHWC
		uncorrected int
	}{{x, 1}, {y, 3}} {
		sampler.Noise(v.x, 1)
		points := smooth(6)
		if v.uncorrected == 1 {
			points = points[2:]
			finish(t, half, v.x, points, sampler.UniPC{Uncorrected: []int{1}})
			continue
		}
		for _, err := range sampler.StepsFrom(context.Background(), half, v.x, points, 2, sampler.UniPC{Uncorrected: []int{3}}) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if distance(x.Data, y.Data) != 0 {
		t.Error("UniPC: uncorrected steps are not those of the whole run")
	}
	for _, first := range []int{-1, 6, 7} {
		steps := 0
		for _, err := range sampler.StepsFrom(context.Background(), half, x, smooth(6), first, sampler.DDIM{}) {
			if steps++; err == nil || first > 0 {
				t.Errorf("a step from %d: %v", first, err)
			}
		}
	}
}

// Methods without noise go to more noise too, which is how a picture is inverted: along the flow, as
// well as they go to less.
func TestInversion(t *testing.T) {
	points := smooth(100)
	slices.Reverse(points)
	for _, test := range []struct {
		method sampler.Method
		within float64
	}{
		{sampler.DDIM{}, 0.1},
		{sampler.Euler{}, 0.1},
		{sampler.Heun{}, 0.004},
		{sampler.DPMSolver{}, 0.002},
		{sampler.DPMSolver{OfNoise: true}, 0.002},
		{sampler.UniPC{}, 0.001},
	} {
		x := tensor.Make(1, 4, 4, 1)
		sampler.Noise(x, 1)
		want := make([]float32, len(x.Data))
		for i, v := range x.Data {
			want[i] = float32(flow(float64(v), points[0], points[len(points)-1]))
		}
		if off := distance(finish(t, gaussian(sampler.Epsilon), x, points, test.method).Data, want); !(off <= test.within) {
			t.Errorf("%T: off by %.4f, want at most %g", test.method, off, test.within)
		}
	}
}
