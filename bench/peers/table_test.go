package main

import (
	"bytes"
	"encoding/csv"
	"os"
	"testing"

	"github.com/lanewise/lanewise/bench/shapes"
)

// TestShapes holds every kind's file to have shapes of its size.
func TestShapes(t *testing.T) {
	for _, k := range kinds {
		for _, s := range k.sheets {
			all, err := shapes.Read(os.DirFS("../shapes"), s.file, s.numbers)
			if err != nil || len(all) == 0 {
				t.Errorf("%s: %d shapes, %v", s.file, len(all), err)
			}
		}
	}
}

// ran is a race with figures, of two libraries one of which has two ways, and one that is missing.
func ran(t *testing.T) (*race, []*peer) {
	o := generic(t)
	peaks := []float64{200, 100, 200}
	c, pure, missing := &peer{name: "C"}, &peer{name: "Go", pureGo: true}, &peer{name: "none"}
	return &race{
		row:     row{kind: "gemm", shape: "1×2×3", unit: "GFLOP/s"},
		workers: 2,
		ours:    []*ours{o},
		entries: []*entry{
			{lanewise: o, rates: []float64{100, 50, 100}, peaks: peaks},
			{peer: c, variant: "slow", rates: []float64{10, 500, 10}, peaks: peaks},
			{peer: c, variant: "fast", kernel: "jit:x", rates: []float64{80, 40, 81}, peaks: peaks},
			{peer: pure, rates: []float64{20, 10, 21}, peaks: peaks},
			{peer: missing, variant: "x", note: "not implemented"},
		},
	}, []*peer{c, pure, missing}
}

func TestTable(t *testing.T) {
	r, columns := ran(t)
	var b bytes.Buffer
	newTable(&b, 8, []string{"generic"}, libraries(columns), r.unit).add(r)
	want := `| shape    | workers | Lanewise generic | % peak |     C | % peak |    Go | % peak |  none | % peak | × best | × best Go |
| -------- | ------: | ---------------: | -----: | ----: | -----: | ----: | -----: | ----: | -----: | -----: | --------: |
| 1×2×3    |       2 |            100.0 |     50 |  80.0 |     40 |  20.0 |     10 |     – |      – |   1.25 |      5.00 |
`
	if b.String() != want {
		t.Errorf("\n%swant\n%s", b.String(), want)
	}
}

// TestWays is a table of two ways of Lanewise, one of which is compared with the other, on two
// instruction sets.
func TestWays(t *testing.T) {
	r, _ := ran(t)
	first, second := r.ours[0], &ours{}
	r.ours = append(r.ours, second)
	r.entries[0].variant = "plain"
	add := func(o *ours, variant string, rates ...float64) {
		r.entries = append(r.entries, &entry{lanewise: o, variant: variant, rates: rates, peaks: []float64{100, 100, 100}})
	}
	add(first, "clever", 250, 125, 250)
	add(second, "plain", 20, 20, 20)
	add(second, "clever", 30, 30, 30)
	l := layout{ways: []string{"clever", "plain"}, quotients: []quotient{
		{"clever × plain", "clever", func(o *ours, e *entry) bool { return e.lanewise == o && e.variant == "plain" }},
		{"plain × C", "plain", func(_ *ours, e *entry) bool { return e.peer != nil && e.peer.name == "C" }},
	}}
	var b bytes.Buffer
	want := `| shape | workers | Lanewise a clever | % triad | Lanewise a plain | % triad | Lanewise b clever | % triad | Lanewise b plain | % triad | a clever × plain | a plain × C | b clever × plain | b plain × C |
| ----- | ------: | ----------------: | ------: | ---------------: | ------: | ----------------: | ------: | ---------------: | ------: | ---------------: | ----------: | ---------------: | ----------: |
| 1×2×3 |       2 |             250.0 |     250 |            100.0 |      50 |              30.0 |      30 |             20.0 |      20 |             2.50 |        1.25 |             1.50 |        0.25 |
`
	r.unit = "GB/s"
	b.Reset()
	newTable(&b, 5, []string{"a", "b"}, l, r.unit).add(r)
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
	want := `gemm,1×2×3,2,Lanewise generic,,GFLOP/s,100,50,100,1,0.5,,
gemm,1×2×3,2,C,slow,GFLOP/s,10,10,500,10,0.05,,
gemm,1×2×3,2,C,fast,GFLOP/s,80,40,81,1.25,0.4,jit:x,
gemm,1×2×3,2,Go,,GFLOP/s,20,10,21,5,0.1,,
gemm,1×2×3,2,none,x,GFLOP/s,,,,,,,not implemented
`
	if b.String() != want {
		t.Errorf("\n%swant\n%s", b.String(), want)
	}
}
