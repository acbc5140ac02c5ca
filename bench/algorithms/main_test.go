package main

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/bench/internal/measure"
	"github.com/lanewise/lanewise/conv"
)

// TestTable measures two layers of small size, which also holds every algorithm to the direct one's
// result: a row for each and engine, as many columns everywhere, a line of CSV for every plan.
func TestTable(t *testing.T) {
	wide := conv.Same(3)
	half := wide
	half.Stride = 2
	layers := []measure.Conv{{N: 1, H: 9, W: 8, In: 5, Out: 7, Geometry: wide}, {N: 2, H: 8, W: 8, In: 6, Out: 4, Geometry: half}}
	var out, lines bytes.Buffer
	b := &bench{out: &out, rounds: 2, burst: 1, packed: map[weights]*conv.Packed{}, csv: csv.NewWriter(&lines)}
	if err := b.start("generic", "1,2"); err != nil {
		t.Fatal(err)
	}
	if err := b.table(layers); err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(rows) != 2+2*2 {
		t.Fatalf("%d rows:\n%s", len(rows), out.String())
	}
	for _, row := range rows {
		if got, want := strings.Count(row, "|"), strings.Count(rows[0], "|"); got != want {
			t.Errorf("%d bars, the head has %d: %s", got, want, row)
		}
	}
	plans := len(layers[0].Plans())
	if got, want := strings.Count(lines.String(), "\n"), 2*(plans+1); plans < 2 || got != want {
		t.Errorf("%d lines of CSV for %d plans and the direct one, want %d", got, plans, want)
	}
}

func TestGrid(t *testing.T) {
	const most = 1e9
	layers := grid(most)
	if len(layers) < 40 {
		t.Errorf("%d layers", len(layers))
	}
	for _, c := range layers {
		if c.FLOP() > most {
			t.Errorf("%v: %.0f operations", c, c.FLOP())
		}
	}
}
