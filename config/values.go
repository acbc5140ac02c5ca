package config

import (
	"encoding/json"
	"math"
	"strconv"
)

// Parsers of one value read its text as JSON has it, and say whether they could.

// sizeWanted says what parseSize takes.
const sizeWanted = "a size of at least 1 and at most 16777216"

func parseSize(text string) (int, bool) {
	n, ok := parseInt(text)
	return n, ok && n >= 1 && n <= 1<<24
}

// layersMost is more than any model has.
const layersMost = 1 << 10

// layersWanted says what parseLayers takes.
const layersWanted = "a number of layers from 1 to 1024"

func parseLayers(text string) (int, bool) {
	n, ok := parseInt(text)
	return n, ok && n >= 1 && n <= layersMost
}

// parseCount takes a number of layers that may be 0.
func parseCount(text string) (int, bool) {
	n, ok := parseInt(text)
	return n, ok && n >= 0 && n <= layersMost
}

// parseCounts takes a count, or a list of some.
func parseCounts(text string) ([]int, bool) {
	if n, ok := parseCount(text); ok {
		return []int{n}, true
	}
	all, ok := parseList(text, parseCount)
	return all, ok && len(all) > 0
}

// parseInt takes 8.0 for 8, as Python's comparisons do.
func parseInt(text string) (int, bool) {
	if n, err := strconv.Atoi(text); err == nil {
		return n, true
	}
	x, ok := parseFloat(text)
	return int(x), ok && x == math.Trunc(x) && math.Abs(x) <= math.MaxInt32
}

func parseFloat(text string) (float64, bool) {
	switch text {
	case "NaN":
		return math.NaN(), true
	case "Infinity":
		return math.Inf(1), true
	case "-Infinity":
		return math.Inf(-1), true
	}
	var x *float64
	err := json.Unmarshal([]byte(text), &x)
	if err != nil || x == nil {
		return 0, false
	}
	return *x, true
}

func parseBool(text string) (bool, bool) { return text == "true", text == "true" || text == "false" }

func parseString(text string) (string, bool) {
	var s *string
	if err := json.Unmarshal([]byte(text), &s); err != nil || s == nil {
		return "", false
	}
	return *s, true
}

func parseList[T any](text string, parse func(string) (T, bool)) ([]T, bool) {
	var raw []json.RawMessage
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return nil, false
	}
	all := make([]T, len(raw))
	for i, r := range raw {
		x, ok := parse(string(r))
		if !ok {
			return nil, false
		}
		all[i] = x
	}
	return all, true
}
