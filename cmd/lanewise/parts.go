package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/lanewise/lanewise/pipeline"
	"github.com/lanewise/lanewise/sampler"
)

// parsePart reads a part of a mixture, such as "red cat:0.6". The weight stands behind the last colon;
// it is a number that is not 0, and may be below.
func parsePart(s string) (pipeline.Part, error) {
	var p pipeline.Part
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return p, fmt.Errorf("%q has no weight; write it behind a colon: %q", s, strings.TrimSpace(s)+":0.5")
	}
	text, number := strings.TrimSpace(s[:i]), strings.TrimSpace(s[i+1:])
	if text == "" {
		return p, fmt.Errorf("%q has nothing before the colon", s)
	}
	weight, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(weight) || math.IsInf(weight, 0) || weight == 0 {
		return p, fmt.Errorf("%q has weight %q; it must be a finite number other than 0", s, number)
	}
	return pipeline.Part{Text: text, Weight: weight}, nil
}

// parseMix reads the parts of a mixture of prompts.
func parseMix(all []string) ([]pipeline.Part, error) {
	var mix []pipeline.Part
	for _, s := range all {
		p, err := parsePart(s)
		if err != nil {
			return nil, fmt.Errorf("--mix: %w", err)
		}
		mix = append(mix, p)
	}
	return mix, nil
}

// formatPart writes a part as parsePart reads it.
func formatPart(p pipeline.Part) string { return p.Text + ":" + number(p.Weight) }

// parseInterval reads a range of noise levels, such as "0.3:5". An end that is left out is no bound.
func parseInterval(s string) (sampler.Interval, error) {
	var v sampler.Interval
	wrong := fmt.Errorf("--interval is %q; it must be LOW:HIGH, two noise levels of which one may be left out, such as 0.3:5", s)
	low, high, ok := strings.Cut(s, ":")
	if !ok || low == "" && high == "" {
		return v, wrong
	}
	for _, end := range []struct {
		text  string
		value *float64
	}{{low, &v.From}, {high, &v.To}} {
		if end.text == "" {
			continue
		}
		var err error
		if *end.value, err = strconv.ParseFloat(end.text, 64); err != nil || !(*end.value >= 0) || math.IsInf(*end.value, 1) {
			return v, wrong
		}
	}
	if high != "" && v.To <= v.From {
		return v, wrong
	}
	return v, nil
}

// formatInterval writes a range as parseInterval reads it.
func formatInterval(v sampler.Interval) string {
	s := number(v.From) + ":"
	if v.To != 0 {
		s += number(v.To)
	}
	return s
}

// number writes a number so that it is read back as it is.
func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
