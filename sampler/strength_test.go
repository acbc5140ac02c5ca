package sampler_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

// Image to image makes the share of the steps, and takes a noisy sample where the probability flow
// goes from there.
func TestPlanFrom(t *testing.T) {
	const clip = "clip_sample: false"
	const first, higher = 0.1, 0.005 // what 25 steps of methods of the first order, and above, are off by at most
	for _, test := range []struct {
		name     string
		keys     []string
		n        int
		strength float64
		count    int     // steps that are made
		within   float64 // of the exact end; 0 where noise is added
	}{
		{"ddim", []string{clip}, 50, 0.5, 25, first},
		{"ddim", []string{clip}, 50, 1, 50, first},
		{"ddim", []string{clip}, 50, 0.039, 1, first},
		{"euler", nil, 50, 0.5, 25, first},
		{"heun", nil, 50, 0.5, 25, higher},
		{"dpm++", nil, 50, 0.5, 25, higher},
		{"unipc", nil, 50, 0.5, 25, higher},
		{"pndm", nil, 50, 1, 50 + 9, higher},
		{"pndm", nil, 50, 0.5, 25 + 9, higher},
		{"pndm", nil, 50, 0.08, 4 + 9, higher},
		{"pndm", nil, 50, 0.06, 3 + 1, higher}, // too few for Runge-Kutta
		{"pndm", nil, 50, 0.02, 1, first},
		{"pndm", []string{"skip_prk_steps: true"}, 50, 0.5, 25 + 1, first},
		{"pndm", []string{"skip_prk_steps: true"}, 50, 1, 50 + 1, higher},
		{"ddpm", []string{clip}, 50, 0.5, 25, 0},
		{"lcm", []string{clip}, 8, 0.5, 8, 0},
		{"tcd", []string{clip}, 8, 0.5, 8, 0},
	} {
		c, err := read(test.name, append(test.keys, ddim)...)
		if err != nil {
			t.Fatal(err)
		}
		p, first, err := c.PlanFrom(test.n, test.strength)
		if err != nil {
			t.Fatal(err)
		}
		from, to := p.Points[first], p.Points[len(p.Points)-1]
		if most := test.strength * 1000; from.T > most || from.T < most-1000/float64(test.n)-20 {
			t.Errorf("%s, strength %g: begins at time %g", test.name, test.strength, from.T)
		}
		x, clean := tensor.Make(1, 4, 4, 1), tensor.Make(1, 4, 4, 1)
		noise := sampler.NewGenerator(1)
		noise.Noise(clean)
		noise.Noise(x)
		sampler.AddNoise(x, clean, x, from)
		var wants []float64
		for _, v := range x.Data {
			wants = append(wants, flow(float64(v), from, to))
		}
		count := 0
		for step, err := range sampler.StepsFrom(context.Background(), gaussian(sampler.Epsilon), x, p.Points, first, sampler.WithNoise(p.Method, noise)) {
			if err != nil {
				t.Fatal(err)
			}
			if count++; step.Count != test.count {
				t.Fatalf("%s, strength %g: %d steps, want %d", test.name, test.strength, step.Count, test.count)
			}
		}
		if count != test.count {
			t.Errorf("%s, strength %g: %d steps made, want %d", test.name, test.strength, count, test.count)
		}
		for i, v := range x.Data {
			if off := math.Abs(float64(v) - wants[i]); test.within > 0 && !(off <= test.within) {
				t.Errorf("%s, strength %g: ends at %.4f, off by %.4f", test.name, test.strength, v, off)
				break
			}
		}
	}
}

func TestPlanFromErrors(t *testing.T) {
	for _, test := range []struct {
		name     string
		n        int
		strength float64
		want     string
	}{
		{"ddim", 10, 0, "strength 0, want above 0 and up to 1"},
		{"ddim", 10, 1.1, "strength 1.1, want"},
		{"ddim", 10, math.NaN(), "strength NaN, want"},
		{"ddim", 10, 0.09, "strength 0.09 of 10 steps is no step"},
		{"ddim", 1001, 0.5, "1001 steps, want 1 to 1000"},
		{"pndm", 3, 0.5, "3 steps of PNDM, want at least 4"},
		{"lcm", 8, 0.1, "8 steps, want 1 to 5: strength 0.1 of the 50 that the model was distilled at"},
		{"tcd", 51, 1, "51 steps, want 1 to 50"},
	} {
		c, err := read(test.name, ddim)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.PlanFrom(test.n, test.strength); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}
