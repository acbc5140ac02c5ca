package main

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/lanewise/lanewise/pipeline"
)

// The way between styles meets each of them, and goes in equal steps.
func TestInterpolate(t *testing.T) {
	known := []string{"a", "b", "c"}
	for _, c := range []struct {
		stops  string
		frames int
		want   []string
	}{
		{"a,b", 2, []string{"a", "b"}},
		{"a,b", 3, []string{"a", "a:0.5,b:0.5", "b"}},
		{"a,B,none", 5, []string{"a", "a:0.5,b:0.5", "b", "b:0.5,none:0.5", "none"}},
		{"a,b,c,a", 4, []string{"a", "b", "c", "a"}},
		{"a,a", 3, []string{"a", "a:0.5,a:0.5", "a"}},
		{"c,a", 5, []string{"c", "c:0.75,a:0.25", "c:0.5,a:0.5", "c:0.25,a:0.75", "a"}},
	} {
		looks, err := interpolate(c.stops, c.frames, known)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range looks {
			got = append(got, l.flag())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s in %d: %q, want %q", c.stops, c.frames, got, c.want)
		}
	}
	looks, err := interpolate("a,b,c", 8, known)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range looks {
		place, total := 0.0, 0.0
		for _, p := range l {
			place += p.Weight * float64(slices.Index(known, p.Text))
			total += p.Weight
		}
		if math.Abs(total-1) > 1e-12 || math.Abs(place-2*float64(i)/7) > 1e-12 {
			t.Errorf("frame %d of 8: %v", i, l)
		}
	}
}

func TestParsePart(t *testing.T) {
	for s, want := range map[string]pipeline.Part{
		"cat:0.6":         {Text: "cat", Weight: 0.6},
		" red cat : -2 ":  {Text: "red cat", Weight: -2},
		"at 12:30 sun:.5": {Text: "at 12:30 sun", Weight: 0.5},
		"12:30":           {Text: "12", Weight: 30},
		"a:b:+1e-3":       {Text: "a:b", Weight: 1e-3},
	} {
		got, err := parsePart(s)
		if err != nil || got != want {
			t.Errorf("%q: %v (%v), want %v", s, got, err, want)
		}
		again, err := parsePart(formatPart(got))
		if err != nil || again != got {
			t.Errorf("%q is written as %q", s, formatPart(got))
		}
	}
}

func TestLookNames(t *testing.T) {
	for _, c := range []struct {
		l          look
		name, flag string
	}{
		{look{{Text: "noto", Weight: 1}}, "style noto [noto]", "noto"},
		{look{{Weight: 1}}, "no style [no style]", "none"},
		{look{{Text: "noto", Weight: 0.5}}, "50% noto [50% noto]", "noto:0.5"},
		{look{{Text: "noto", Weight: 2. / 3}, {Weight: 1. / 3}}, "66.7% noto 33.3% none [66.7% noto 33.3% none]", "noto:0.6666666666666666,none:0.3333333333333333"},
	} {
		if got := fmt.Sprint(c.l, " ", c.l.caption()); got != c.name || c.l.flag() != c.flag {
			t.Errorf("%q and %q, want %q and %q", got, c.l.flag(), c.name, c.flag)
		}
	}
}
