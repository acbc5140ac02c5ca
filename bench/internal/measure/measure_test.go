package measure

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/lanewise/lanewise/engine"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		v    []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 100}, 3}} {
		before := slices.Clone(c.v)
		if got := Median(c.v); got != c.want {
			t.Errorf("median of %v: %v, want %v", before, got, c.want)
		}
		if !slices.Equal(c.v, before) {
			t.Fatalf("median changed %v to %v", before, c.v)
		}
	}
}

// TestRatioIsOfRounds has a clock that halves in the second of three rounds: the ratio of the
// rounds stays.
func TestRatioIsOfRounds(t *testing.T) {
	if got := Ratio([]float64{100, 50, 101}, []float64{80, 40, 80.8}); math.Abs(got-1.25) > 1e-9 {
		t.Errorf("ratio %v, want 1.25", got)
	}
}

// TestRoundsRotate holds the order of the bursts to change from round to round, and times to be of one run.
func TestRoundsRotate(t *testing.T) {
	const rounds = 3
	var order []int
	run := func() { time.Sleep(200 * time.Microsecond) }
	times := Rounds(rounds, time.Millisecond, []func(){run, run, run}, func(i int) { order = append(order, i) })
	if want := []int{0, 1, 2, 1, 2, 0, 2, 0, 1}; !slices.Equal(order, want) {
		t.Errorf("bursts of %v, want %v", order, want)
	}
	for i, of := range times {
		if len(of) != rounds {
			t.Errorf("runner %d: %d rounds", i, len(of))
		}
		for _, ns := range of {
			if ns < 200e3 {
				t.Errorf("a run of 200 µs is said to take %.0f ns", ns)
			}
		}
	}
}

func TestDistance(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		got, want []float32
		d         float64
	}{
		{[]float32{1, -4}, []float32{1, -4}, 0},
		{[]float32{2, -4}, []float32{1, -4}, 0.25},
		{[]float32{1}, []float32{1, -4}, math.Inf(1)},
	} {
		if d := Distance(c.got, c.want); d != c.d {
			t.Errorf("%v beside %v: %v, want %v", c.got, c.want, d, c.d)
		}
	}
	if d := Distance([]float32{nan, 1}, []float32{1, 1}); !math.IsNaN(d) {
		t.Errorf("beside NaN: %v", d)
	}
}

// TestTriad holds the triad to compute what STREAM's does, over arrays of the size that is asked for.
func TestTriad(t *testing.T) {
	e, err := engine.New(engine.Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, bytes := range []int{1, 1000, 1 << 20} {
		a := NewTriad(e, bytes)
		if got := a.Bytes(); got < bytes || got > bytes+bytes/8+3*4*64*8 {
			t.Errorf("%d bytes for %d", got, bytes)
		}
		if rate := a.Rate(); !(rate > 0) || math.IsInf(rate, 0) {
			t.Errorf("%v GB/s", rate)
		}
		for i, got := range a.dst {
			if want := a.b[i] + a.c[i]/2; math.Abs(float64(got-want)) > 1e-7 {
				t.Fatalf("%d bytes, value %d: %v, want %v", bytes, i, got, want)
			}
		}
	}
}
