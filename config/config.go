// Package config reads the config.json of a diffusers or transformers model: a JSON object whose
// keys are the arguments of the model's constructor, where a key that is missing has the
// constructor's default.
//
// A model asks for its keys one by one, each with its default; what is wrong is collected, and Err
// reports all of it at once:
//
//	c, err := config.Open(fsys, "config.json")
//	...
//	m := Config{
//		Channels: c.Sizes("block_out_channels", 320, 640, 1280, 1280),
//		Eps:      c.Float("norm_eps", 1e-5),
//	}
//	m.Layers = c.LayersPerLevel("layers_per_block", len(m.Channels), 2)
//	c.Only("dual_cross_attention", false)
//	return m, c.Err()
//
// A key that was asked for, in whatever way, is known; Unknown lists the others.
//
// # Null
//
// Python's None means that there is no such thing, and so does a zero value in Go: null is read as
// the zero value where that is the default or otherwise allowed (0 classes, "" for no embedding),
// and is an error elsewhere.
package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Config is a config.json being read. It is for one goroutine.
type Config struct {
	name   string
	values map[string]string // the text of every value
	known  map[string]bool
	errs   []error
}

// sizeMax is the largest file read: real ones have a few kilobytes.
const sizeMax = 1 << 20

// Open reads the named file of fsys.
func Open(fsys fs.FS, name string) (*Config, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, sizeMax+1))
	if err != nil {
		return nil, fmt.Errorf("config: %s: %w", name, err)
	}
	return Parse(name, text)
}

// Parse reads the text of a file; name is what errors call it. As Python does, it takes NaN,
// Infinity and -Infinity for numbers.
func Parse(name string, text []byte) (*Config, error) {
	if len(text) > sizeMax {
		return nil, fmt.Errorf("config: %s: more than %d bytes", name, sizeMax)
	}
	values, err := members(text)
	if err != nil {
		return nil, fmt.Errorf("config: %s: %w", name, err)
	}
	return &Config{name: name, values: values, known: make(map[string]bool)}, nil
}

// Name returns the file's name as errors give it.
func (c *Config) Name() string { return c.name }

// Has says whether the file has the key with another value than null.
func (c *Config) Has(key string) bool {
	v, ok := c.value(key)
	return ok && v != "null"
}

// Null says whether the file has the key with null.
func (c *Config) Null(key string) bool {
	v, _ := c.value(key)
	return v == "null"
}

// Is says whether the file has the key with this value, given as JSON.
func (c *Config) Is(key, value string) bool {
	v, ok := c.value(key)
	return ok && sameJSON(v, value)
}

// Set gives the key another value, given as JSON, than the file does.
func (c *Config) Set(key, value string) { c.values[key] = value }

// List says whether the file has the key with a list.
func (c *Config) List(key string) bool {
	v, _ := c.value(key)
	return strings.HasPrefix(v, "[")
}

// Int reads an integer.
func (c *Config) Int(key string, missing int) int {
	return scalar(c, key, missing, parseInt, "an integer")
}

// Size reads an integer that counts something which a model cannot do without. It is at least 1,
// and of a magnitude that no arithmetic with it overflows. Null, where missing is 0, is 0.
func (c *Config) Size(key string, missing int) int {
	return scalar(c, key, missing, parseSize, sizeWanted)
}

// Layers reads how many layers there are of something: 1 to 1024. Each has tensors of its own, and a wrong
// file must not fill the memory with their names.
func (c *Config) Layers(key string, missing int) int {
	return scalar(c, key, missing, parseLayers, layersWanted)
}

// Float reads a number.
func (c *Config) Float(key string, missing float64) float64 {
	return scalar(c, key, missing, parseFloat, "a number")
}

// Bool reads true or false.
func (c *Config) Bool(key string, missing bool) bool {
	return scalar(c, key, missing, parseBool, "true or false")
}

// String reads a string. If there are any strings supported, it is one of them or the default. Null
// reads as the empty string where that is the default or is supported.
func (c *Config) String(key, missing string, supported ...string) string {
	v, ok := c.value(key)
	if !ok {
		return missing
	}
	s, isString := parseString(v)
	switch {
	case v == "null" && (missing == "" || slices.Contains(supported, "")):
		return ""
	case isString && allowed(s, missing, supported):
		return s
	case len(supported) == 0:
		c.Fail(key, "a string")
	default:
		c.Fail(key, listed(missing, supported))
	}
	return missing
}

// Sizes reads a list of sizes (see Size) that is not empty.
func (c *Config) Sizes(key string, missing ...int) []int {
	return list(c, key, missing, parseSize, "a list of sizes of at least 1")
}

// Strings reads a list of strings, each one of those supported if there are any.
func (c *Config) Strings(key string, missing []string, supported ...string) []string {
	all := list(c, key, missing, parseString, "a list of strings")
	for _, s := range all {
		if len(supported) > 0 && !slices.Contains(supported, s) {
			c.Fail(key, "a list of "+listed(supported[0], supported))
			return missing
		}
	}
	return all
}

// Floats reads a list of numbers that is not empty.
func (c *Config) Floats(key string, missing ...float64) []float64 {
	return list(c, key, missing, parseFloat, "a list of numbers")
}

// Indices reads a list of integers of at least 0 that may be empty; null is empty too.
func (c *Config) Indices(key string) []int {
	v, ok := c.value(key)
	if !ok || v == "null" {
		return nil
	}
	all, ok := parseList(v, parseInt)
	if !ok || slices.ContainsFunc(all, func(i int) bool { return i < 0 }) {
		c.Fail(key, "a list of integers of at least 0")
		return nil
	}
	return all
}

// SizePerLevel reads one size (see Size) for all levels of a model, or a list with one for each.
func (c *Config) SizePerLevel(key string, levels, missing int) []int {
	return perLevel(c, key, levels, missing, parseSize, sizeWanted)
}

// LayersPerLevel reads a number of layers (see Layers) for all levels of a model, or a list with one for
// each.
func (c *Config) LayersPerLevel(key string, levels, missing int) []int {
	return perLevel(c, key, levels, missing, parseLayers, layersWanted)
}

// BoolPerLevel reads true or false for all levels of a model, or a list with one for each.
func (c *Config) BoolPerLevel(key string, levels int, missing bool) []bool {
	return perLevel(c, key, levels, missing, parseBool, "true or false")
}

// CountsPerLayer reads how many of something each layer has, where layers says how many layers each
// level has: one count for all, or a list with an entry for each level, which is a count for all its
// layers or a list with at least one for each. Counts are 0 to 1024 (see Layers).
func (c *Config) CountsPerLayer(key string, layers []int, missing int) [][]int {
	entries := slices.Repeat([][]int{{missing}}, len(layers))
	if text, ok := c.value(key); ok {
		if one, ok := parseCount(text); ok {
			entries = slices.Repeat([][]int{{one}}, len(layers))
		} else {
			entries, _ = parseList(text, parseCounts)
		}
	}
	counts := make([][]int, len(layers))
	for i, n := range layers {
		switch {
		case len(entries) == len(layers) && len(entries[i]) == 1:
			counts[i] = slices.Repeat(entries[i], n)
		case len(entries) == len(layers) && len(entries[i]) >= n:
			counts[i] = entries[i][:n]
		default:
			c.Fail(key, fmt.Sprintf("a count, or a list with one for each of %d levels, which may be lists with one for each of the layers, %v", len(layers), layers))
			for i, n := range layers {
				counts[i] = slices.Repeat([]int{missing}, n)
			}
			return counts
		}
	}
	return counts
}

// Only makes the key known and its value an error unless it is one of those supported: strings,
// booleans, numbers, slices of these, or nil for null. A missing key is as good as a supported one.
func (c *Config) Only(key string, supported ...any) {
	v, ok := c.value(key)
	if !ok {
		return
	}
	names := make([]string, len(supported))
	for i, s := range supported {
		text, err := json.Marshal(s)
		if err != nil {
			panic(fmt.Sprintf("config: Only(%q): %v", key, err))
		}
		if sameJSON(v, string(text)) {
			return
		}
		names[i] = string(text)
	}
	c.Fail(key, strings.Join(names, " or "))
}

// Ignore makes keys known that have no bearing on what the model computes.
func (c *Config) Ignore(keys ...string) {
	for _, key := range keys {
		c.known[key] = true
	}
}

// Fail adds an error about the key's value, unless there is the same already: supported says what it could
// have been.
func (c *Config) Fail(key, supported string) {
	v, ok := c.value(key)
	if !ok {
		v = "missing"
	}
	v = lineBreak.ReplaceAllString(v, " ")
	const most = 200
	if len(v) > most {
		v = v[:most] + "…"
	}
	err := valueError{c.name, key, v, supported}
	if !slices.ContainsFunc(c.errs, func(e error) bool { return e == error(err) }) {
		c.errs = append(c.errs, err)
	}
}

// lineBreak is where a value goes on in the next line; no string in JSON does.
var lineBreak = regexp.MustCompile(`\s*\n\s*`)

// valueError is about a value that is not supported.
type valueError struct{ file, key, value, supported string }

func (e valueError) Error() string {
	return fmt.Sprintf("config: %s: %s is %s, supported: %s", e.file, e.key, e.value, e.supported)
}

func (e valueError) Is(target error) bool { return target == errors.ErrUnsupported }

// Unknown lists the keys of the file that nobody asked for, sorted, without those that start with
// an underscore: diffusers' notes about the file itself.
func (c *Config) Unknown() []string {
	var unknown []string
	for _, key := range slices.Sorted(maps.Keys(c.values)) {
		if !c.known[key] && !strings.HasPrefix(key, "_") {
			unknown = append(unknown, key)
		}
	}
	return unknown
}

// Err returns everything that was wrong so far, joined, or nil. These errors are
// errors.ErrUnsupported to errors.Is: another version may support what this one does not.
func (c *Config) Err() error { return errors.Join(c.errs...) }

// value returns the text of a key's value, and makes the key known.
func (c *Config) value(key string) (text string, ok bool) {
	c.known[key] = true
	text, ok = c.values[key]
	return text, ok
}

// scalar reads one value.
func scalar[T comparable](c *Config, key string, missing T, parse func(string) (T, bool), wanted string) T {
	var zero T
	v, ok := c.value(key)
	if !ok || v == "null" && missing == zero {
		return missing
	}
	x, ok := parse(v)
	if !ok {
		c.Fail(key, wanted)
		return missing
	}
	return x
}

// list reads a list of one value or more.
func list[T any](c *Config, key string, missing []T, parse func(string) (T, bool), wanted string) []T {
	v, ok := c.value(key)
	if !ok || v == "null" && len(missing) == 0 {
		return missing
	}
	all, ok := parseList(v, parse)
	if !ok || len(all) == 0 {
		c.Fail(key, wanted)
		return missing
	}
	return all
}

// perLevel reads one value for all levels or a list with one for each.
func perLevel[T comparable](c *Config, key string, levels int, missing T, parse func(string) (T, bool), wanted string) []T {
	if v, _ := c.value(key); strings.HasPrefix(v, "[") {
		all, ok := parseList(v, parse)
		if ok && len(all) == levels {
			return all
		}
		c.Fail(key, fmt.Sprintf("%s, for all %d levels or a list with one for each", wanted, levels))
		return slices.Repeat([]T{missing}, levels)
	}
	return slices.Repeat([]T{scalar(c, key, missing, parse, wanted)}, levels)
}

// sameJSON says whether two texts are the same value.
func sameJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

// allowed says whether s is the default or one of those supported, of which none means any.
func allowed(s, missing string, supported []string) bool {
	return len(supported) == 0 || s == missing || slices.Contains(supported, s)
}

// listed formats the default and what is supported besides: "silu" or "gelu", null for "".
func listed(missing string, supported []string) string {
	if !slices.Contains(supported, missing) {
		supported = append([]string{missing}, supported...)
	}
	names := make([]string, len(supported))
	for i, s := range supported {
		if names[i] = strconv.Quote(s); s == "" {
			names[i] = "null"
		}
	}
	return strings.Join(names, " or ")
}
