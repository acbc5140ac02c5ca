package main

import (
	"bytes"
	"encoding/csv"
	"math"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/kernels"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		v    []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 100}, 3}} {
		before := append([]float64(nil), c.v...)
		if got := median(c.v); got != c.want {
			t.Errorf("median of %v: %v, want %v", before, got, c.want)
		}
		for i := range before {
			if c.v[i] != before[i] {
				t.Fatalf("median changed %v to %v", before, c.v)
			}
		}
	}
}

// TestRatioIsOfRounds has a clock that halves in the second of three rounds: the ratio of the
// rounds stays.
func TestRatioIsOfRounds(t *testing.T) {
	if got := ratio([]float64{100, 50, 101}, []float64{80, 40, 80.8}); math.Abs(got-1.25) > 1e-9 {
		t.Errorf("ratio %v, want 1.25", got)
	}
}

func TestParseShapes(t *testing.T) {
	got, err := parseShapes(strings.NewReader("# m n\n\n 3 4 # what for\n50 60\n"), 2)
	if err != nil || len(got) != 2 || got[0][0] != 3 || got[0][1] != 4 || got[1][0] != 50 || got[1][1] != 60 {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"1 2 3\n", "1\n", "1 x\n", "1 0\n", "1 -2\n"} {
		if got, err := parseShapes(strings.NewReader(bad), 2); err == nil {
			t.Errorf("%q: %v, want an error", bad, got)
		}
	}
	for _, k := range kinds {
		shapes, err := readShapes("../shapes", k.name, k.numbers)
		if err != nil || len(shapes) == 0 {
			t.Errorf("%s: %d shapes, %v", k.name, len(shapes), err)
		}
	}
}

// ran is a race with figures, of two libraries one of which has two ways, and one that is missing.
func ran(t *testing.T) (*race, []*peer) {
	o, err := newOurs(kernels.Generic, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	c, pure, missing := &peer{name: "C"}, &peer{name: "Go", pureGo: true}, &peer{name: "none"}
	return &race{
		row:     row{kind: "gemm", shape: "1×2×3", unit: "GFLOP/s"},
		workers: 2,
		peaks:   map[*ours][]float64{o: {200, 100, 200}},
		entries: []*entry{
			{lanewise: o, rates: []float64{100, 50, 100}},
			{peer: c, variant: "slow", rates: []float64{10, 500, 10}},
			{peer: c, variant: "fast", kernel: "jit:x", rates: []float64{80, 40, 81}},
			{peer: pure, rates: []float64{20, 10, 21}},
			{peer: missing, variant: "x", note: "not implemented"},
		},
	}, []*peer{c, pure, missing}
}

func TestTable(t *testing.T) {
	r, columns := ran(t)
	var b bytes.Buffer
	newTable(&b, 8, []string{"generic"}, columns, r.unit).add(r)
	want := `| shape    | workers | Lanewise generic | % peak |     C |    Go |  none | × best | × best Go |
| -------- | ------: | ---------------: | -----: | ----: | ----: | ----: | -----: | --------: |
| 1×2×3    |       2 |            100.0 |     50 |  80.0 |  20.0 |     – |   1.25 |      5.00 |
`
	if b.String() != want {
		t.Errorf("\n%swant\n%s", b.String(), want)
	}
}

func TestCSV(t *testing.T) {
	r, _ := ran(t)
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if err := writeCSV(w, r); err != nil {
		t.Fatal(err)
	}
	want := `gemm,1×2×3,2,Lanewise generic,,GFLOP/s,100,50,100,1,,
gemm,1×2×3,2,C,slow,GFLOP/s,10,10,500,10,,
gemm,1×2×3,2,C,fast,GFLOP/s,80,40,81,1.25,jit:x,
gemm,1×2×3,2,Go,,GFLOP/s,20,10,21,5,,
gemm,1×2×3,2,none,x,GFLOP/s,,,,,,not implemented
`
	if b.String() != want {
		t.Errorf("\n%swant\n%s", b.String(), want)
	}
}
