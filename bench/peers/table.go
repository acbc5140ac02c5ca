package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// median returns the middle of v, or the mean of the two that are.
func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	if n == 0 {
		return 0
	}
	return (s[(n-1)/2] + s[n/2]) / 2
}

// ratio is the median of a/b over the rounds.
func ratio(a, b []float64) float64 {
	r := make([]float64, len(a))
	for i := range a {
		r[i] = a[i] / b[i]
	}
	return median(r)
}

// fastest returns the entry with the highest median among those of peers that suit, or nil.
func fastest(entries []*entry, suits func(*peer) bool) (best *entry) {
	for _, e := range entries {
		if e.peer != nil && e.rates != nil && suits(e.peer) && (best == nil || median(e.rates) > median(best.rates)) {
			best = e
		}
	}
	return best
}

// table is a Markdown table whose rows are written as they come.
type table struct {
	w       io.Writer
	columns []*peer
	widths  []int
}

// newTable writes the head: Lanewise on each instruction set, the libraries, and how Lanewise
// compares with the fastest of all and the fastest in Go. Shapes take width characters.
func newTable(w io.Writer, width int, isas []string, columns []*peer, unit string) *table {
	cells := []string{"shape" + strings.Repeat(" ", max(0, width-len("shape"))), "workers"}
	for _, isa := range isas {
		cells = append(cells, "Lanewise "+isa)
		if unit == "GFLOP/s" { // nothing else is bound by registers
			cells = append(cells, "% peak")
		}
	}
	for _, p := range columns {
		cells = append(cells, p.name)
	}
	best, bestGo := "× best", "× best Go"
	for _, isa := range isas {
		if len(isas) > 1 {
			best, bestGo = isa+" × best", isa+" × best Go"
		}
		cells = append(cells, best)
		if slices.ContainsFunc(columns, func(p *peer) bool { return p.pureGo }) {
			cells = append(cells, bestGo)
		}
	}
	t := &table{w: w, columns: columns}
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
	rate := func(e *entry) string {
		if e == nil {
			return "–"
		}
		return fmt.Sprintf("%.1f", median(e.rates))
	}
	cells := []string{r.shape, fmt.Sprint(r.workers)}
	var ratios []string
	for _, e := range r.entries {
		if e.lanewise == nil {
			continue
		}
		cells = append(cells, rate(e))
		if r.unit == "GFLOP/s" {
			cells = append(cells, fmt.Sprintf("%.0f", 100*ratio(e.rates, r.peaks[e.lanewise])))
		}
		against := func(suits func(*peer) bool) string {
			best := fastest(r.entries, suits)
			if best == nil {
				return "–"
			}
			return fmt.Sprintf("%.2f", ratio(e.rates, best.rates))
		}
		ratios = append(ratios, against(func(*peer) bool { return true }))
		if slices.ContainsFunc(t.columns, func(p *peer) bool { return p.pureGo }) {
			ratios = append(ratios, against(func(p *peer) bool { return p.pureGo }))
		}
	}
	for _, p := range t.columns {
		cells = append(cells, rate(fastest(r.entries, func(q *peer) bool { return q == p })))
	}
	t.line(append(cells, ratios...))
}

// csvHead names the fields of writeCSV.
var csvHead = []string{"kind", "shape", "workers", "library", "variant", "unit", "median", "lowest", "highest", "ratio", "implementation", "note"}

// writeCSV writes a line for every contender of a race. Its ratio is that of the first Lanewise to
// it, the median over the rounds.
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
		line := []string{r.kind, r.shape, fmt.Sprint(r.workers), name, e.variant, r.unit, "", "", "", "", e.kernel, e.note}
		if e.rates != nil {
			for i, v := range []float64{median(e.rates), slices.Min(e.rates), slices.Max(e.rates), ratio(first.rates, e.rates)} {
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
