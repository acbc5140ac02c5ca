package sampler_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

func TestGuide(t *testing.T) {
	const h, w, c = 2, 3, 4
	for _, n := range []int{1, 3} {
		x := tensor.Make(n, h, w, 6).Channels(1, 1+c)
		sampler.Noise(x, 1)
		point := sampler.Point{T: 500, Alpha: 0.6, Sigma: 0.8}
		calls := 0
		// Under the negative condition the model says 2x, under the positive one 3x + the image's number.
		p := func(_ context.Context, out, in tensor.NHWC, q sampler.Point) error {
			calls++
			if in.N != 2*n || !out.SameShape(in) || q != point {
				t.Errorf("the model sees %s at %v for %d images", in.Shape(), q, n)
			}
			for i := range in.N {
				for y := range h {
					for u := range w {
						for k, v := range in.Pixel(i, y, u) {
							if v != x.Pixel(i%n, y, u)[k] {
								t.Fatalf("image %d of the batch is not image %d", i, i%n)
							}
							if out.Pixel(i, y, u)[k] = 2 * v; i >= n {
								out.Pixel(i, y, u)[k] = 3*v + float32(i-n)
							}
						}
					}
				}
			}
			return nil
		}
		for _, scale := range []float64{1, 0, 7.5, -1} {
			out := tensor.Make(n, h, w, 5).Channels(0, c)
			if err := sampler.Guide(p, scale)(context.Background(), out, x, point); err != nil {
				t.Fatal(err)
			}
			for i := range n {
				for k, v := range x.Pixel(i, 1, 2) {
					negative, positive := float64(2*v), float64(3*v+float32(i))
					want := float32(negative + scale*(positive-negative))
					if got := out.Pixel(i, 1, 2)[k]; got != want {
						t.Errorf("scale %g: %v, want %v", scale, got, want)
					}
				}
			}
		}
		if calls != 4 {
			t.Errorf("%d calls for 4 predictions", calls)
		}
	}
}

func TestGuideErrors(t *testing.T) {
	broken := errors.New("broken")
	p := sampler.Guide(func(context.Context, tensor.NHWC, tensor.NHWC, sampler.Point) error { return broken }, 2)
	x := tensor.Make(1, 2, 2, 1)
	if err := p(context.Background(), tensor.Make(1, 2, 2, 1), x, sampler.Point{}); !errors.Is(err, broken) {
		t.Errorf("%v, want the model's error", err)
	}
}

// speaker is a model of several conditions: under condition i it says i's own mixture of x and noise
// that is always the same, in as many channels as out has.
type speaker struct {
	t      *testing.T
	conds  []int // that it is bound to
	asked  int
	images int // of the last batch
}

func (s *speaker) predict(_ context.Context, out, in tensor.NHWC, _ sampler.Point) error {
	s.asked++
	s.images = in.N
	if in.N%len(s.conds) != 0 {
		s.t.Fatalf("a batch of %d images for %d conditions", in.N, len(s.conds))
	}
	n := in.N / len(s.conds)
	for i := range in.N {
		spoken(out.Images(i, i+1), in.Images(i, i+1), s.conds[i/n])
	}
	return nil
}

// spoken writes what a speaker says of one image under a condition.
func spoken(out, x tensor.NHWC, cond int) {
	noise := tensor.Make(1, out.H, out.W, out.C)
	sampler.Noise(noise, uint64(100+cond))
	for y := range out.H {
		for u := range out.W {
			for c := range out.C {
				out.Pixel(0, y, u)[c] = float32(1+cond)*noise.Pixel(0, y, u)[c] + 0.5*x.Pixel(0, y, u)[c%x.C] + float32(cond)
			}
		}
	}
}

// wanted is what guidance makes of one image, by the formulas of its documentation: all that conditions
// say at first, in float64, then sums over them.
func wanted(g sampler.Guidance, x tensor.NHWC, channels int, within bool, scales []float64) []float64 {
	n := x.H * x.W * channels
	said := make([][]float64, 1+len(scales))
	for i := range said {
		out := tensor.Make(1, x.H, x.W, channels)
		spoken(out, x, i)
		for _, v := range out.Data {
			said[i] = append(said[i], float64(v))
		}
	}
	total, plain := 0.0, make([]float64, n)
	for i, s := range g.Scales {
		if s > 0 {
			total += s
			for j := range plain {
				plain[j] += s * said[1+i][j]
			}
		}
	}
	for j := range plain {
		if plain[j] /= total; total == 0 {
			plain[j] = said[0][j]
		}
	}
	if !within {
		return plain
	}
	led := make([]float64, n)
	var wide, narrow []float64
	for j := range led {
		if j%channels >= x.C {
			led[j] = plain[j]
			continue
		}
		led[j] = said[0][j]
		for i, s := range scales {
			led[j] += s * (said[1+i][j] - said[0][j])
		}
		wide, narrow = append(wide, led[j]), append(narrow, plain[j])
	}
	for j := range led {
		if j%channels < x.C {
			led[j] = g.Rescale*led[j]*deviation(narrow)/deviation(wide) + (1-g.Rescale)*led[j]
		}
	}
	return led
}

// deviation is torch.std.
func deviation(v []float64) float64 {
	mean, squares := 0.0, 0.0
	for _, x := range v {
		mean += x / float64(len(v))
	}
	for _, x := range v {
		squares += (x - mean) * (x - mean)
	}
	return math.Sqrt(squares / float64(len(v)-1))
}

func TestGuidance(t *testing.T) {
	const h, w, c = 3, 4, 3
	at := sampler.Point{T: 500, Alpha: 0.5, Sigma: 0.75} // a noise level of 1.5
	halved := func(scales []float64, p sampler.Point) {
		for i := range scales {
			scales[i] *= p.T / 1000
		}
	}
	for _, test := range []struct {
		name     string
		g        sampler.Guidance
		channels int
		within   bool
		scales   []float64 // in effect
		plain    []int     // conditions of the plain prediction
	}{
		{"one", sampler.Guidance{Scales: []float64{7.5}}, c, true, []float64{7.5}, []int{1}},
		{"none", sampler.Guidance{}, c, true, nil, []int{0}},
		{"two", sampler.Guidance{Scales: []float64{0.9, 0.6}}, c, true, []float64{0.9, 0.6}, []int{1, 2}},
		{"towards and away", sampler.Guidance{Scales: []float64{4, -1.5, 0, 2}}, c, true, []float64{4, -1.5, 0, 2}, []int{1, 4}},
		{"rescaled", sampler.Guidance{Scales: []float64{7.5}, Rescale: 0.7}, c, true, []float64{7.5}, []int{1}},
		{"rescaled wholly", sampler.Guidance{Scales: []float64{3, 5}, Rescale: 1}, c, true, []float64{3, 5}, []int{1, 2}},
		{"away alone", sampler.Guidance{Scales: []float64{-2}, Rescale: 0.5}, c, true, []float64{-2}, []int{0}},
		{"varied", sampler.Guidance{Scales: []float64{6, 4}, Vary: halved}, c, true, []float64{3, 2}, []int{1, 2}},
		{"within", sampler.Guidance{Scales: []float64{3}, Interval: sampler.Interval{From: 1, To: 2}}, c, true, []float64{3}, []int{1}},
		{"at an end", sampler.Guidance{Scales: []float64{3}, Interval: sampler.Interval{To: 1.5}}, c, true, []float64{3}, []int{1}},
		{"above", sampler.Guidance{Scales: []float64{3}, Interval: sampler.Interval{From: 0.1, To: 1.2}}, c, false, []float64{3}, []int{1}},
		{"below", sampler.Guidance{Scales: []float64{3, -1, 1}, Rescale: 0.5, Interval: sampler.Interval{From: 1.6}}, c, false, []float64{3, -1, 1}, []int{1, 3}},
		{"outside without a condition", sampler.Guidance{Scales: []float64{-1}, Interval: sampler.Interval{From: 2}}, c, false, []float64{-1}, []int{0}},
		{"variance", sampler.Guidance{Scales: []float64{4}, Rescale: 0.3}, 2 * c, true, []float64{4}, []int{1}},
		{"variance of two", sampler.Guidance{Scales: []float64{4, 1}}, 2 * c, true, []float64{4, 1}, []int{1, 2}},
		{"variance outside", sampler.Guidance{Scales: []float64{4}, Interval: sampler.Interval{To: 1}}, 2 * c, false, []float64{4}, []int{1}},
		{"fewer channels", sampler.Guidance{Scales: []float64{4}}, c - 1, true, []float64{4}, []int{1}},
	} {
		for _, n := range []int{1, 3} {
			x := tensor.Make(n, h, w, c+2).Channels(1, 1+c)
			sampler.Noise(x, 5)
			all := &speaker{t: t}
			for i := range 1 + len(test.g.Scales) {
				all.conds = append(all.conds, i)
			}
			alone := &speaker{t: t, conds: test.plain}
			for _, plain := range []sampler.Predictor{nil, alone.predict} {
				all.asked, alone.asked = 0, 0
				g := test.g
				g.Plain = plain
				p := g.Predictor(all.predict)
				out := tensor.Make(n, h, w, test.channels+2).Channels(2, 2+test.channels)
				for range 2 {
					if err := p(context.Background(), out, x, at); err != nil {
						t.Fatalf("%s: %v", test.name, err)
					}
				}
				for i := range n {
					got := tensor.Make(1, h, w, test.channels)
					tensor.Copy(got, out.Images(i, i+1))
					for j, want := range wanted(g, x.Images(i, i+1), test.channels, test.within, test.scales) {
						// Two roundings to float32: of the guided value, and of the rescaled one.
						if math.Abs(float64(got.Data[j])-want) > 0x1.8p-23*math.Abs(want)+1e-12 {
							t.Fatalf("%s: image %d of %d, value %d is %v, want %v", test.name, i, n, j, got.Data[j], want)
						}
					}
				}
				if plain != nil && !test.within {
					if all.asked != 0 || alone.asked != 2 || alone.images != n*len(test.plain) {
						t.Errorf("%s: asked %d times under all conditions and %d times under %d, the last time for %d images",
							test.name, all.asked, alone.asked, len(test.plain), alone.images)
					}
				} else if all.asked != 2 || alone.asked != 0 {
					t.Errorf("%s: asked %d times under all conditions and %d times plainly", test.name, all.asked, alone.asked)
				}
			}
		}
	}
}

// The plain prediction has the same bits from either predictor, those of the condition where there is one.
func TestGuidancePlainBits(t *testing.T) {
	x, at := tensor.Make(2, 4, 4, 3), sampler.Point{Alpha: 0.6, Sigma: 0.8}
	sampler.Noise(x, 1)
	for _, scales := range [][]float64{{0.3}, {0.3, -1, 0.7}} {
		g := sampler.Guidance{Scales: scales, Interval: sampler.Interval{From: 9}}
		from, alone := tensor.Make(2, 4, 4, 3), tensor.Make(2, 4, 4, 3)
		if err := g.Predictor((&speaker{t: t, conds: []int{0, 1, 2, 3}[:1+len(scales)]}).predict)(t.Context(), from, x, at); err != nil {
			t.Fatal(err)
		}
		g.Plain = (&speaker{t: t, conds: []int{1, 3}[:(1+len(scales))/2]}).predict
		if err := g.Predictor(nil)(t.Context(), alone, x, at); err != nil {
			t.Fatal(err)
		}
		for i, v := range from.Data {
			if math.Float32bits(v) != math.Float32bits(alone.Data[i]) {
				t.Fatalf("scales %v: value %d is %v and %v", scales, i, v, alone.Data[i])
			}
		}
	}
}

// A prediction without any spread is not rescaled: there is nothing to divide by.
func TestGuidanceRescaleFlat(t *testing.T) {
	x := tensor.Make(1, 2, 2, 1)
	p := func(_ context.Context, out, _ tensor.NHWC, _ sampler.Point) error {
		for i := range out.Data {
			out.Data[i] = 3
		}
		return nil
	}
	if err := (sampler.Guidance{Scales: []float64{5}, Rescale: 1}).Predictor(p)(t.Context(), x, x, sampler.Point{Sigma: 1}); err != nil || x.Data[0] != 3 {
		t.Errorf("%v (%v), want 3", x.Data[0], err)
	}
}

func TestIntervalContains(t *testing.T) {
	for _, c := range []struct {
		v    sampler.Interval
		p    sampler.Point
		want bool
	}{
		{sampler.Interval{}, sampler.Point{Alpha: 0, Sigma: 1}, true},
		{sampler.Interval{}, sampler.Point{Alpha: 1}, true},
		{sampler.Interval{From: 5}, sampler.Point{Alpha: 0, Sigma: 1}, true}, // nothing but noise
		{sampler.Interval{From: 5, To: 1e6}, sampler.Point{Alpha: 0, Sigma: 1}, false},
		{sampler.Interval{From: 0.5}, sampler.Point{Alpha: 0.8, Sigma: 0.4}, true},
		{sampler.Interval{From: 0.5}, sampler.Point{Alpha: 0.8, Sigma: 0.399}, false},
		{sampler.Interval{To: 0.5}, sampler.Point{Alpha: 0.8, Sigma: 0.4}, true},
		{sampler.Interval{To: 0.5}, sampler.Point{Alpha: 0.8, Sigma: 0.401}, false},
	} {
		if got := c.v.Contains(c.p); got != c.want {
			t.Errorf("%+v contains %+v: %v", c.v, c.p, got)
		}
	}
}

func TestGuidanceErrors(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	x := tensor.Make(1, 1, 1, 1)
	for _, c := range []struct {
		g    sampler.Guidance
		want string
	}{
		{sampler.Guidance{Scales: []float64{1, nan}}, "scale NaN for condition 2"},
		{sampler.Guidance{Scales: []float64{inf}}, "scale +Inf for condition 1"},
		{sampler.Guidance{Rescale: -0.1}, "rescaled by -0.1"},
		{sampler.Guidance{Rescale: 1.5}, "rescaled by 1.5"},
		{sampler.Guidance{Rescale: nan}, "rescaled by NaN"},
		{sampler.Guidance{Interval: sampler.Interval{From: 2, To: 1}}, "noise level 2 to 1"},
		{sampler.Guidance{Interval: sampler.Interval{From: -1}}, "noise level -1 to 0"},
		{sampler.Guidance{Interval: sampler.Interval{To: nan}}, "noise level 0 to NaN"},
		{sampler.Guidance{Interval: sampler.Interval{From: inf}}, "noise level +Inf"},
	} {
		if err := c.g.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
		p := c.g.Predictor(says(1))
		for range 2 {
			if err := p(t.Context(), x, x, sampler.Point{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("prediction: %v, want %q", err, c.want)
			}
		}
	}
	if err := (sampler.Guidance{Scales: []float64{-3, 0, 8}, Rescale: 1, Interval: sampler.Interval{From: 1, To: inf}}).Validate(); err != nil {
		t.Error(err)
	}
	g := sampler.Guidance{Scales: []float64{1}, Vary: func(s []float64, _ sampler.Point) { s[0] = nan }}
	if err := g.Predictor(says(1))(t.Context(), x, x, sampler.Point{}); err == nil || !strings.Contains(err.Error(), "scale NaN for condition 1") {
		t.Errorf("%v, want that the scale is NaN", err)
	}
	broken := errors.New("broken")
	fails := func(context.Context, tensor.NHWC, tensor.NHWC, sampler.Point) error { return broken }
	for _, scales := range [][]float64{{1}, {1, 2}} {
		g := sampler.Guidance{Scales: scales, Plain: fails, Interval: sampler.Interval{From: 9}}
		if err := g.Predictor(nil)(t.Context(), x, x, sampler.Point{Alpha: 1}); !errors.Is(err, broken) {
			t.Errorf("%v, want the model's error", err)
		}
	}
}

// Buffers are kept from call to call, and made anew for another shape.
func TestGuideAllocates(t *testing.T) {
	g := sampler.Guidance{Scales: []float64{2, -1, 1}, Rescale: 0.5, Interval: sampler.Interval{From: 1}, Plain: gaussian(0),
		Vary: func(scales []float64, p sampler.Point) { scales[0] *= p.Sigma }}
	p := g.Predictor(gaussian(0))
	call := func(n int) func() {
		x, out := tensor.Make(n, 4, 4, 2), tensor.Make(n, 4, 4, 2)
		return func() {
			for _, point := range []sampler.Point{{Alpha: 0.6, Sigma: 0.8}, {Alpha: 0.8, Sigma: 0.6}} {
				if err := p(context.Background(), out, x, point); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, n := range []int{1, 2, 1} {
		if allocs := testing.AllocsPerRun(10, call(n)); allocs != 0 {
			t.Errorf("%v allocations a call", allocs)
		}
	}
}
