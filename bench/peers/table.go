package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/lanewise/lanewise/bench/internal/measure"
)

// layout is what a table shows of a race.
type layout struct {
	ways      []string // of Lanewise, with a column for each instruction set
	columns   []column
	quotients []quotient
}

// column is the fastest of a library's contenders that suit.
type column struct {
	name  string
	suits func(*entry) bool
}

// quotient is how many times as fast as the fastest contender that suits one of Lanewise's ways is.
type quotient struct {
	name, way string
	suits     func(o *ours, e *entry) bool // o is whose way it is
}

// of says whether a contender is the library's.
func (p *peer) of(e *entry) bool { return e.peer == p }

// libraries has a column for each library and compares Lanewise with the fastest of all, and of those in Go
// where there are such.
func libraries(peers []*peer) layout {
	l := layout{ways: []string{""}, quotients: []quotient{{name: "× best", suits: func(_ *ours, e *entry) bool { return e.peer != nil }}}}
	for _, p := range peers {
		l.columns = append(l.columns, column{p.name, p.of})
	}
	if slices.ContainsFunc(peers, func(p *peer) bool { return p.pureGo }) {
		l.quotients = append(l.quotients, quotient{name: "× best Go", suits: func(_ *ours, e *entry) bool { return e.peer != nil && e.peer.pureGo }})
	}
	return l
}

// fastest returns the entry with the highest median among those that suit, or nil.
func fastest(entries []*entry, suits func(*entry) bool) (best *entry) {
	for _, e := range entries {
		if e.rates != nil && suits(e) && (best == nil || measure.Median(e.rates) > measure.Median(best.rates)) {
			best = e
		}
	}
	return best
}

// table is a Markdown table whose rows are written as they come.
type table struct {
	w io.Writer
	layout
	widths []int
}

// newTable writes the head: Lanewise on each instruction set, the libraries, and how they compare. Shapes
// take width characters.
func newTable(w io.Writer, width int, isas []string, l layout, unit string) *table {
	share := "% peak"
	if unit == "GB/s" {
		share = "% triad"
	}
	cells := []string{"shape" + strings.Repeat(" ", max(0, width-len("shape"))), "workers"}
	for _, isa := range isas {
		for _, way := range l.ways {
			cells = append(cells, strings.TrimSpace("Lanewise "+isa+" "+way), share)
		}
	}
	for _, c := range l.columns {
		cells = append(cells, c.name, share)
	}
	for _, isa := range isas {
		for _, q := range l.quotients {
			if len(isas) > 1 {
				cells = append(cells, isa+" "+q.name)
			} else {
				cells = append(cells, q.name)
			}
		}
	}
	t := &table{w: w, layout: l}
	rule := make([]string, len(cells))
	for i, c := range cells {
		t.widths = append(t.widths, max(len("123.4"), utf8.RuneCountInString(c)))
		rule[i] = strings.Repeat("-", t.widths[i]-1) + ":"
	}
	rule[0] = strings.Repeat("-", t.widths[0])
	t.line(cells)
	t.line(rule)
	return t
}

// line writes cells, padded to the widths of the head: the first to the right, others to the left.
func (t *table) line(cells []string) {
	var b strings.Builder
	for i, c := range cells {
		pad := strings.Repeat(" ", max(0, t.widths[i]-utf8.RuneCountInString(c)))
		if i == 0 {
			c += pad
		} else {
			c = pad + c
		}
		b.WriteString("| " + c + " ")
	}
	fmt.Fprintln(t.w, b.String()+"|")
}

// add writes the row of a race that was run.
func (t *table) add(r *race) {
	cells := []string{r.shape, fmt.Sprint(r.workers)}
	show := func(e *entry) {
		if e == nil {
			cells = append(cells, "–", "–")
		} else {
			cells = append(cells, fmt.Sprintf("%.1f", measure.Median(e.rates)), fmt.Sprintf("%.0f", 100*measure.Ratio(e.rates, e.peaks)))
		}
	}
	var ratios []string
	for _, o := range r.ours {
		for _, way := range t.ways {
			show(r.way(o, way))
		}
		for _, q := range t.quotients {
			best := fastest(r.entries, func(e *entry) bool { return q.suits(o, e) })
			if best == nil {
				ratios = append(ratios, "–")
			} else {
				ratios = append(ratios, fmt.Sprintf("%.2f", measure.Ratio(r.way(o, q.way).rates, best.rates)))
			}
		}
	}
	for _, c := range t.columns {
		show(fastest(r.entries, c.suits))
	}
	t.line(append(cells, ratios...))
}

// csvHead names the fields of writeCSV.
var csvHead = []string{"kind", "shape", "workers", "library", "variant", "unit", "median", "lowest", "highest", "ratio", "share", "implementation", "note"}

// writeCSV writes a line for every contender of a race. Its ratio is that of the first Lanewise to
// it, its share what it reaches of the machine's peak or triad, medians over the rounds.
func writeCSV(w *csv.Writer, r *race) error {
	var first *entry
	for _, e := range r.entries {
		name := ""
		if e.lanewise != nil {
			name = e.lanewise.name()
			if first == nil {
				first = e
			}
		} else {
			name = e.peer.name
		}
		line := []string{r.kind, r.shape, fmt.Sprint(r.workers), name, e.variant, r.unit, "", "", "", "", "", e.kernel, e.note}
		if e.rates != nil {
			for i, v := range []float64{measure.Median(e.rates), slices.Min(e.rates), slices.Max(e.rates), measure.Ratio(first.rates, e.rates), measure.Ratio(e.rates, e.peaks)} {
				line[6+i] = fmt.Sprintf("%.4g", v)
			}
		}
		if err := w.Write(line); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}
