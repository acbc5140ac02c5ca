package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/program"
)

func TestParseOptions(t *testing.T) {
	got, err := parseOptions("direct,winograd4:0,auto:64")
	want := []option{
		{"direct", conv.Options{Algorithm: conv.Direct}},
		{"winograd4:0", conv.Options{Algorithm: conv.Winograd4, Memory: -1}},
		{"auto:64", conv.Options{Memory: 64 << 20}},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	for list, says := range map[string]string{"": `algorithm ""`, "winograd": `algorithm "winograd"`, "auto:": `"" is no number`, "auto:-1": `"-1" is no number`} {
		if _, err := parseOptions(list); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v does not say %q", list, err, says)
		}
	}
}

// Medians over rounds, with the layers of an option found by their names.
func TestWrite(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	sample := func(how string, convTime, normTime int) program.Profile {
		return program.Profile{
			{Name: "norm", Kind: "norm", Time: ms(normTime)},
			{Name: "a", Kind: "conv", How: how, Time: ms(convTime), Cost: program.Cost{FLOP: 2e9}},
		}
	}
	var b strings.Builder
	options := []option{{name: "direct"}, {name: "auto"}}
	write(&b, options, []program.Profile{
		sample("direct", 8, 1), sample("winograd4", 4, 1)[1:], sample("direct", 12, 1), sample("winograd4", 4, 1)[1:], sample("direct", 30, 1), sample("winograd4", 5, 1)[1:],
	}, regexp.MustCompile("^a"))
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	want := []string{
		"| layer | GFLOP | direct, ms | | auto, ms | |",
		"| --- | --- | --- | --- | --- | --- |",
		"| a | 2.00 | 12.00 ×1.00 | direct | 4.00 ×3.00 | winograd4 |",
		"| all | 2.00 | 13.00 ×1.00 |  | 4.00 ×3.25 |  |",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("%q, want %q", lines, want)
	}
}
