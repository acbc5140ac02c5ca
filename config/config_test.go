package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/config"
)

func parse(t testing.TB, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("unet/config.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// reader asks a config for key "k".
type reader func(c *config.Config) any

var (
	anInt       reader = func(c *config.Config) any { return c.Int("k", 7) }
	orZero      reader = func(c *config.Config) any { return c.Int("k", 0) }
	size        reader = func(c *config.Config) any { return c.Size("k", 32) }
	orNoSize    reader = func(c *config.Config) any { return c.Size("k", 0) }
	float       reader = func(c *config.Config) any { return c.Float("k", 1e-5) }
	boolean     reader = func(c *config.Config) any { return c.Bool("k", true) }
	orFalse     reader = func(c *config.Config) any { return c.Bool("k", false) }
	text        reader = func(c *config.Config) any { return c.String("k", "silu") }
	anAct       reader = func(c *config.Config) any { return c.String("k", "silu", "gelu", "mish") }
	anEmbedding reader = func(c *config.Config) any { return c.String("k", "", "timestep") }
	aMid        reader = func(c *config.Config) any { return c.String("k", "cross", "self", "") }
	sizes       reader = func(c *config.Config) any { return c.Sizes("k", 320, 640) }
	orNoSizes   reader = func(c *config.Config) any { return c.Sizes("k") }
	strs        reader = func(c *config.Config) any { return c.Strings("k", []string{"a"}) }
	someStrs    reader = func(c *config.Config) any { return c.Strings("k", []string{"a"}, "a", "b") }
	floats      reader = func(c *config.Config) any { return c.Floats("k") }
	sizeLevels  reader = func(c *config.Config) any { return c.SizePerLevel("k", 3, 8) }
	orNoLevels  reader = func(c *config.Config) any { return c.SizePerLevel("k", 3, 0) }
	layers      reader = func(c *config.Config) any { return c.Layers("k", 12) }
	layerLevels reader = func(c *config.Config) any { return c.LayersPerLevel("k", 3, 2) }
	layerCounts reader = func(c *config.Config) any { return c.CountsPerLayer("k", []int{1, 2}, 3) }
	boolLevels  reader = func(c *config.Config) any { return c.BoolPerLevel("k", 2, false) }
)

func TestValues(t *testing.T) {
	for _, test := range []struct {
		read reader
		json string // of the key's value; "" for a missing key
		want any
	}{
		{anInt, "", 7}, {anInt, "-3", -3}, {anInt, "8.0", 8}, {anInt, "1e2", 100}, {orZero, "null", 0},
		{size, "", 32}, {size, "1", 1}, {size, "16777216", 1 << 24}, {orNoSize, "null", 0}, {orNoSize, "4", 4},
		{float, "", 1e-5}, {float, "1e-06", 1e-6}, {float, "2", 2.0}, {float, "-0.5", -0.5},
		{float, "Infinity", math.Inf(1)}, {float, "-Infinity", math.Inf(-1)},
		{boolean, "", true}, {boolean, "false", false}, {orFalse, "null", false}, {orFalse, "true", true},
		{text, "", "silu"}, {text, `"a \"b\" NaN"`, `a "b" NaN`}, {text, `"\u0041"`, "A"},
		{anAct, "", "silu"}, {anAct, `"silu"`, "silu"}, {anAct, `"mish"`, "mish"},
		{anEmbedding, "", ""}, {anEmbedding, "null", ""}, {anEmbedding, `"timestep"`, "timestep"},
		{aMid, "null", ""}, {aMid, "", "cross"},
		{sizes, "", []int{320, 640}}, {sizes, "[1, 2,3 ]", []int{1, 2, 3}}, {orNoSizes, "null", []int(nil)},
		{strs, "", []string{"a"}}, {strs, `["x", "y"]`, []string{"x", "y"}}, {someStrs, `["b", "a", "b"]`, []string{"b", "a", "b"}},
		{floats, "", []float64(nil)}, {floats, "null", []float64(nil)}, {floats, "[0.001, 2]", []float64{0.001, 2}},
		{sizeLevels, "", []int{8, 8, 8}}, {sizeLevels, "5", []int{5, 5, 5}}, {sizeLevels, "[5, 10, 20]", []int{5, 10, 20}},
		{orNoLevels, "null", []int{0, 0, 0}},
		{layers, "", 12}, {layers, "1", 1}, {layers, "1024", 1024}, {layerLevels, "3", []int{3, 3, 3}}, {layerLevels, "[1, 2, 3]", []int{1, 2, 3}},
		{layerCounts, "", [][]int{{3}, {3, 3}}}, {layerCounts, "4", [][]int{{4}, {4, 4}}}, {layerCounts, "[0, 2]", [][]int{{0}, {2, 2}}},
		{layerCounts, "[5, [1, 2]]", [][]int{{5}, {1, 2}}}, {layerCounts, "[[5, 6], [1, 2, 3]]", [][]int{{5}, {1, 2}}},
		{boolLevels, "", []bool{false, false}}, {boolLevels, "true", []bool{true, true}}, {boolLevels, "[true, false]", []bool{true, false}},
	} {
		json := "{}"
		if test.json != "" {
			json = `{"first": Infinity, "k": ` + test.json + `, "last": NaN}`
		}
		c := parse(t, json)
		if got := test.read(c); !reflect.DeepEqual(got, test.want) || c.Err() != nil {
			t.Errorf("%s: %v, %v, want %v", json, got, c.Err(), test.want)
		}
	}
	c := parse(t, `{"k": NaN}`)
	if got := c.Float("k", 0); !math.IsNaN(got) || c.Err() != nil {
		t.Errorf("NaN: %v, %v", got, c.Err())
	}
}

func TestWrongValues(t *testing.T) {
	for _, test := range []struct {
		read reader
		json string
		want string // after `k is <json>, supported: `
	}{
		{anInt, `"8"`, "an integer"}, {anInt, "1.5", "an integer"}, {anInt, "null", "an integer"}, {anInt, "true", "an integer"},
		{anInt, "[1]", "an integer"}, {anInt, "NaN", "an integer"}, {anInt, "Infinity", "an integer"}, {anInt, "1e300", "an integer"},
		{orZero, "[null]", "an integer"}, {anInt, `{"a": 1}`, "an integer"},
		{size, "0", "a size of at least 1"}, {size, "-4", "a size of at least 1"}, {size, "null", "a size of at least 1"},
		{size, "16777217", "a size of at least 1"}, {orNoSize, "0", "a size of at least 1"},
		{float, `"1"`, "a number"}, {float, "null", "a number"}, {float, `"NaN"`, "a number"}, {float, "1e999", "a number"},
		{boolean, "1", "true or false"}, {boolean, "null", "true or false"},
		{text, "3", "a string"}, {text, "null", "a string"}, {text, `["silu"]`, "a string"},
		{anAct, `"relu"`, `"silu" or "gelu" or "mish"`}, {anAct, "null", `"silu" or "gelu" or "mish"`}, {anAct, "1", `"silu" or "gelu" or "mish"`},
		{anEmbedding, `"identity"`, `null or "timestep"`}, {aMid, `"other"`, `"cross" or "self" or null`},
		{sizes, "5", "a list of sizes"}, {sizes, "[]", "a list of sizes"}, {sizes, "[1, 0]", "a list of sizes"},
		{sizes, "[1, null]", "a list of sizes"}, {sizes, "null", "a list of sizes"}, {sizes, "[[1]]", "a list of sizes"}, {sizes, "[NaN]", "a list of sizes"},
		{strs, `"a"`, "a list of strings"}, {strs, `["a", 1]`, "a list of strings"}, {strs, `["a", null]`, "a list of strings"},
		{someStrs, `["a", "c"]`, `a list of "a" or "b"`},
		{sizeLevels, "[5, 10]", "for all 3 levels"}, {sizeLevels, "[5, 10, 20, 40]", "for all 3 levels"}, {sizeLevels, "[5, 10, 0]", "for all 3 levels"},
		{sizeLevels, "[5, [1, 2], 3]", "for all 3 levels"}, {sizeLevels, "null", "a size of at least 1"}, {sizeLevels, `"8"`, "a size of at least 1"},
		{layers, "0", "a number of layers from 1 to 1024"}, {layers, "1025", "a number of layers from 1 to 1024"}, {layers, "null", "a number of layers"},
		{layerLevels, "1025", "a number of layers from 1 to 1024"}, {layerLevels, "[1, 2, 1025]", "for all 3 levels"}, {layerCounts, "1025", "a count"},
		{layerCounts, "[1]", "for each of 2 levels"}, {layerCounts, "[1, [1, -1]]", "for each of 2 levels"}, {layerCounts, "null", "for each of 2 levels"},
		{layerCounts, "[1, []]", "for each of the layers, [1 2]"}, {layerCounts, "-1", "a count"}, {layerCounts, "[1, 2, 3]", "for each of 2 levels"},
		{boolLevels, "[true]", "for all 2 levels"}, {boolLevels, "1", "true or false"},
	} {
		c := parse(t, `{"k": `+test.json+`}`)
		got := test.read(c)
		want := "config: unet/config.json: k is " + test.json + ", supported: "
		if err := c.Err(); err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %q, want %q and %q", c.Err(), want, test.want)
		}
		if missing := test.read(parse(t, "{}")); !reflect.DeepEqual(got, missing) {
			t.Errorf("%s reads as %v, want the default %v", test.json, got, missing)
		}
	}
}

func TestKinds(t *testing.T) {
	c := parse(t, `{"null": null, "list": [1], "text": "[null"}`)
	for key, want := range map[string][3]bool{"null": {true, false, false}, "list": {false, true, true}, "text": {false, false, true}, "none": {}} {
		if got := [3]bool{c.Null(key), c.List(key), c.Has(key)}; got != want {
			t.Errorf("%s: %v, want %v", key, got, want)
		}
	}
	if unknown := c.Unknown(); len(unknown) > 0 {
		t.Errorf("unknown %v", unknown)
	}
}

func TestOnly(t *testing.T) {
	for _, test := range []struct {
		json      string
		supported []any
		want      string // "" for no error
	}{
		{`{}`, []any{"default"}, ""},
		{`{"k": "default"}`, []any{"default"}, ""},
		{`{"k": "def\u0061ult"}`, []any{"default"}, ""},
		{`{"k": false}`, []any{nil, false}, ""},
		{`{"k": null}`, []any{nil, false}, ""},
		{`{"k": 1.0}`, []any{1}, ""},
		{`{"k": [1, 2]}`, []any{[]int{1, 2}}, ""},
		{`{"k": "gated"}`, []any{"default"}, `k is "gated", supported: "default"`},
		{`{"k": null}`, []any{"default"}, `k is null, supported: "default"`},
		{`{"k": 0}`, []any{false, nil}, `k is 0, supported: false or null`},
		{`{"k": 2}`, []any{1, 1.5}, `k is 2, supported: 1 or 1.5`},
		{`{"k": [2, 1]}`, []any{[]int{1, 2}}, `k is [2, 1], supported: [1,2]`},
		{"{\"k\": [\n  2,\r\n  1\n]}", []any{1}, `k is [ 2, 1 ], supported: 1`},
		{`{"k": NaN}`, []any{nil, 0}, `k is NaN, supported: null or 0`},
	} {
		c := parse(t, test.json)
		c.Only("k", test.supported...)
		switch err := c.Err(); {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.json, err)
		case test.want != "" && (err == nil || err.Error() != "config: unet/config.json: "+test.want):
			t.Errorf("%s: %v, want %s", test.json, err, test.want)
		}
	}
}

func TestAllProblemsAreReported(t *testing.T) {
	c := parse(t, `{"a": "x", "b": 1, "c": "`+strings.Repeat("z", 1000)+`"}`)
	c.Int("a", 1)
	c.Only("b", 2)
	c.Bool("c", false)
	c.Fail("d", "anything")
	if !errors.Is(c.Err(), errors.ErrUnsupported) {
		t.Errorf("%v is not errors.ErrUnsupported", c.Err())
	}
	lines := strings.Split(c.Err().Error(), "\n")
	if len(lines) != 4 {
		t.Fatalf("%q", lines)
	}
	for i, want := range []string{`a is "x"`, "b is 1", `c is "zzz`, "d is missing, supported: anything"} {
		if !strings.Contains(lines[i], want) || len(lines[i]) > 300 {
			t.Errorf("%q, want %q", lines[i], want)
		}
	}
}

func TestUnknown(t *testing.T) {
	c := parse(t, `{"_class_name": "X", "z": 1, "a": 2, "asked": 3, "only": 4, "ignored": 5, "has": 6, "failed": 7}`)
	c.Int("asked", 0)
	c.Int("missing", 0)
	c.Only("only", 4)
	c.Ignore("ignored")
	c.Fail("failed", "6")
	if !c.Has("has") || c.Has("has not") || parse(t, `{"k": null}`).Has("k") {
		t.Error("Has")
	}
	if got, want := c.Unknown(), []string{"a", "z"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

var wrongFiles = []struct{ text, want string }{
	{``, "not a JSON object"},
	{`[]`, "not a JSON object"},
	{`null`, "not a JSON object"},
	{`{`, "not JSON"},
	{`{"a": 1`, "not JSON"},
	{`{"a" 1}`, "not JSON"},
	{`{"a": 1,}`, "not JSON"},
	{`{1: 2}`, "not JSON"},
	{`{"a": +Infinity}`, "not JSON"},
	{`{"a": nan}`, "not JSON"},
	{`{"a": NaNa}`, "not JSON"},
	{`{"a": "`, "not JSON"},
	{`{"a": "\`, "not JSON"},
	{`{"a": 1} {}`, "more follows"},
	{`{"a": 1} NaN`, "more follows"},
	{`{"a": 1, "b": 2, "a": 3}`, `"a" comes twice`},
}

func TestWrongFiles(t *testing.T) {
	for _, test := range wrongFiles {
		_, err := config.Open(fstest.MapFS{"d/config.json": {Data: []byte(test.text)}}, "d/config.json")
		if err == nil || !strings.HasPrefix(err.Error(), "config: d/config.json: ") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.text, err, test.want)
		}
	}
	_, err := config.Open(fstest.MapFS{}, "config.json")
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("no file: %v", err)
	}
	_, err = config.Parse("c", make([]byte, 1<<20+1))
	if err == nil || !strings.Contains(err.Error(), "1048576 bytes") {
		t.Errorf("large file: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, w := range wrongFiles {
		f.Add(w.text)
	}
	f.Add(`{"k": [1, NaN, -Infinity, "a\"NaN"], "é": null}`)
	f.Add(`{"k": [3, 4, 5], "lambda_min_clipped": -Infinity}`)
	f.Fuzz(func(t *testing.T, s string) {
		c, err := config.Parse("c", []byte(s))
		if err != nil {
			return
		}
		for _, read := range []reader{anInt, size, float, boolean, text, anAct, aMid, sizes, strs, someStrs, sizeLevels, layers, layerLevels, layerCounts, boolLevels} {
			read(c)
		}
		c.Only("k", nil)
		for _, key := range c.Unknown() {
			c.Only(key, nil)
			if n, ok := any(c.Size(key, 1)).(int); !ok || n < 1 || n > 1<<24 {
				t.Errorf("size %d", n)
			}
		}
		if got := c.Unknown(); len(got) != 0 {
			t.Errorf("%q are unknown after they were asked for", got)
		}
	})
}

func Example() {
	fsys := fstest.MapFS{"unet/config.json": {Data: []byte(`{
		"_class_name": "UNet2DConditionModel",
		"act_fn": "silu",
		"attention_head_dim": [5, 10],
		"block_out_channels": [320, 640],
		"norm_eps": 1e-05,
		"attention_type": "gated",
		"dropout": 0.0,
		"class_embed_type": null,
		"brand_new_key": 3
	}`)}}
	c, err := config.Open(fsys, "unet/config.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	channels := c.Sizes("block_out_channels", 320, 640, 1280, 1280)
	heads := c.SizePerLevel("attention_head_dim", len(channels), 8)
	layers := c.LayersPerLevel("layers_per_block", len(channels), 2)
	act := c.String("act_fn", "silu", "gelu")
	class := c.String("class_embed_type", "", "timestep")
	eps := c.Float("norm_eps", 1e-5)
	c.Only("attention_type", "default")
	c.Ignore("dropout")

	fmt.Println(channels, heads, layers, act, class == "", eps)
	fmt.Println("unknown:", c.Unknown())
	fmt.Println(c.Err())
	// Output:
	// [320 640] [5 10] [2 2] silu true 1e-05
	// unknown: [brand_new_key]
	// config: unet/config.json: attention_type is "gated", supported: "default"
}
