package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/sampler"
	"github.com/lanewise/lanewise/tensor"
)

const docs = "../../docs"

// The figures of docs are what draw makes of this tree and of the table there, each time the same, and XML.
func TestFigures(t *testing.T) {
	drawn, err := figures(docs)
	if err != nil {
		t.Fatal(err)
	}
	again, err := figures(docs)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range drawn {
		if !bytes.Equal(content, again[name]) {
			t.Errorf("%s is not the same when drawn again", name)
		}
		committed, err := os.ReadFile(filepath.Join(docs, name))
		if err != nil || !bytes.Equal(content, committed) {
			t.Errorf("docs/%s is not what is drawn (%v): run go run . draw", name, err)
		}
		for decoder := xml.NewDecoder(bytes.NewReader(content)); ; {
			if _, err := decoder.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}

// Every panel's lines go through points within its axes, or else a figure would not show them.
func TestLinesShow(t *testing.T) {
	sigmas, err := sigmasPanel()
	if err != nil {
		t.Fatal(err)
	}
	all, err := tableOf(t)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []panel{sigmas, levelsPanel(),
		distancePanel(all, "own", onOwnTimes), distancePanel(all, "karras", onKarras),
		distancePanel(all, "schedules", onSchedules), distancePanel(all, "clipping", clipping),
	} {
		if len(p.lines) < 3 {
			t.Errorf("%s: %d lines", p.title, len(p.lines))
		}
		for _, l := range p.lines {
			shown := 0
			for _, at := range l.points {
				if at.X >= p.xAxis.low && at.X <= p.xAxis.high && at.Y >= p.yAxis.low && at.Y <= p.yAxis.high {
					shown++
				}
			}
			if shown < 2 {
				t.Errorf("%s: %q shows %d of %d points", p.title, l.name, shown, len(l.points))
			}
		}
	}
}

// The table has what is measured, in its order, and comes out of reading as it went in.
func TestTable(t *testing.T) {
	all, err := tableOf(t)
	if err != nil {
		t.Fatal(err)
	}
	var want []distance
	for _, c := range curves() {
		for _, n := range c.steps {
			want = append(want, distance{Panel: c.panel, Curve: c.name, Steps: n})
		}
	}
	for i := range all {
		d := all[i]
		d.Calls, d.RMS, d.Worst = 0, 0, 0
		all[i] = d
	}
	if !slices.Equal(all, want) {
		t.Errorf("docs/%s has other rows than curves", distanceTable)
	}
	var table strings.Builder
	want[0].RMS = 0.25
	if err := writeDistances(&table, want); err != nil {
		t.Fatal(err)
	}
	if got, err := readDistances(strings.NewReader(table.String())); err != nil || !slices.Equal(got, want) {
		t.Errorf("written and read: %v, %v", got, err)
	}
	for _, bad := range []string{"", "a,b\n", strings.Replace(table.String(), "0.25", "near", 1)} {
		if got, err := readDistances(strings.NewReader(bad)); err == nil {
			t.Errorf("%.40q: read as %v", bad, got)
		}
	}
}

func tableOf(t *testing.T) ([]distance, error) {
	f, err := os.Open(filepath.Join(docs, distanceTable))
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { f.Close() })
	return readDistances(f)
}

// The model runs: a picture by every curve in few steps, which take as many calls as the sheet counts
// on, and a distance that is 0 to itself.
func TestMeasure(t *testing.T) {
	e, err := engine.New(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	p, err := newPainter(e, 0, "red heart")
	if err != nil {
		t.Fatal(err)
	}
	short := curves()
	for i := range short {
		short[i].steps = []int{4}
	}
	all, err := p.measure(short, reference, 4, func(distance) {})
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range all {
		want := 4
		switch short[i].sampler {
		case "heun":
			want = 7
		case "pndm":
			want = 5
		}
		if d.Calls != want || short[i].within(want) != 4 {
			t.Errorf("%s: 4 steps in %d calls, want %d", d.Curve, d.Calls, want)
		}
		same := short[i].sampler == "ddim" && short[i].options == nil // the reference itself
		if same != (d.RMS == 0) || d.Worst < d.RMS {
			t.Errorf("%s: distance %g, at worst %g", d.Curve, d.RMS, d.Worst)
		}
	}
}

func TestDifference(t *testing.T) {
	a, b := tensor.Make(2, 1, 2, 1), tensor.Make(2, 1, 2, 1)
	copy(a.Data, []float32{1, 2, 3, 4})
	copy(b.Data, []float32{1, 2, 3, 0})
	if all, worst := difference(a, b); all != 2 || worst != math.Sqrt(8) {
		t.Errorf("difference %g, worst %g, want 2 and √8", all, worst)
	}
}

// The sheet leaves out none of the samplers but those of distilled models.
func TestSheetRows(t *testing.T) {
	if got, want := len(sheetRows()), len(sampler.Names())-2; got != want {
		t.Errorf("%d rows, want %d", got, want)
	}
}
