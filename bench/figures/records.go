package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// header names the columns of a table of distances.
var header = []string{"panel", "curve", "steps", "calls", "rms", "worst"}

// writeDistances writes a table, with four digits of distances: more than a figure can show.
func writeDistances(w io.Writer, all []distance) error {
	table := csv.NewWriter(w)
	table.Write(header)
	short := func(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }
	for _, d := range all {
		table.Write([]string{d.Panel, d.Curve, strconv.Itoa(d.Steps), strconv.Itoa(d.Calls), short(d.RMS), short(d.Worst)})
	}
	table.Flush()
	return table.Error()
}

// readDistances reads what writeDistances wrote.
func readDistances(r io.Reader) ([]distance, error) {
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 || !slices.Equal(rows[0], header) {
		return nil, fmt.Errorf("a table of other columns than %q", header)
	}
	all := make([]distance, len(rows)-1)
	for i, row := range rows[1:] {
		d := distance{Panel: row[0], Curve: row[1]}
		for _, err := range []error{
			parse(strconv.Atoi, row[2], &d.Steps),
			parse(strconv.Atoi, row[3], &d.Calls),
			parse(float, row[4], &d.RMS),
			parse(float, row[5], &d.Worst),
		} {
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+2, err)
			}
		}
		all[i] = d
	}
	return all, nil
}

// parse sets to to what f makes of a field.
func parse[T any](f func(string) (T, error), field string, to *T) (err error) {
	*to, err = f(field)
	return err
}

// float reads a number.
func float(s string) (float64, error) { return strconv.ParseFloat(s, 64) }
