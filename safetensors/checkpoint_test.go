package safetensors_test

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/safetensors"
)

// folder makes a file system of texts.
func folder(files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

// value is a file with one tensor of one value for each name.
func value(v float32, names ...string) string {
	var tensors []tensor
	for _, name := range names {
		tensors = append(tensors, tensor{name, "F32", []int{1}, little(v)})
	}
	return string(build(tensors...))
}

const index = "unet/m.safetensors.index.json"

func TestCheckpoint(t *testing.T) {
	shards := map[string]string{
		"unet/m-00001-of-00002.safetensors": value(1, "a", "c"),
		"unet/m-00002-of-00002.safetensors": value(2, "b", "unlisted"),
	}
	list := `{"metadata":{"total_size":12},"weight_map":{"a":"m-00001-of-00002.safetensors","b":"m-00002-of-00002.safetensors","c":"m-00001-of-00002.safetensors"}}`
	with := func(name, text string) map[string]string {
		m := map[string]string{name: text}
		for k, v := range shards {
			m[k] = v
		}
		return m
	}
	for _, test := range []struct {
		name  string
		files map[string]string
		label string
		want  map[string]float32
	}{
		{"one file", map[string]string{"unet/m.safetensors": value(3, "a", "b"), "unet/m.fp16.safetensors": value(4, "a")},
			"unet/m.safetensors", map[string]float32{"a": 3, "b": 3}},
		{"half precision", map[string]string{"unet/m.fp16.safetensors": value(4, "a")}, "unet/m.fp16.safetensors", map[string]float32{"a": 4}},
		{"shards", with(index, list), index, map[string]float32{"a": 1, "b": 2, "c": 1}},
		{"shards of diffusers' variant", with("unet/m.safetensors.fp16.index.json", list), "unet/m.safetensors.fp16.index.json", map[string]float32{"a": 1, "b": 2, "c": 1}},
		{"shards of transformers' variant", with("unet/m.safetensors.index.fp16.json", list), "unet/m.safetensors.index.fp16.json", map[string]float32{"a": 1, "b": 2, "c": 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := safetensors.OpenSharded(folder(test.files), "unet/m")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if c.Name() != test.label {
				t.Errorf("Name: %s, want %s", c.Name(), test.label)
			}
			if len(c.Names()) != len(test.want) || !slices.IsSorted(c.Names()) {
				t.Errorf("Names: %q", c.Names())
			}
			for name, want := range test.want {
				var got [1]float32
				info, ok := c.Tensor(name)
				if err := c.Float32(name, got[:]); err != nil || got[0] != want || !ok || !strings.HasPrefix(info.File, "unet/m") {
					t.Errorf("%s: %v, %v, %+v, want %v", name, got, err, info, want)
				}
			}
			says(t, c.Float32("d", nil), test.label, `no tensor "d"`)
			says(t, c.Int64("d", nil), test.label, `no tensor "d"`)
			if _, ok := c.Tensor("d"); ok {
				t.Error("there is no d")
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			says(t, c.Float32("a", make([]float32, 1)), `tensor "a"`, "closed")
		})
	}
}

var wrongIndexes = []struct {
	name, index string
	want        []string
}{
	{"empty", ``, []string{"not a JSON object"}},
	{"not JSON", `{"weight_map":{"a":`, []string{"not JSON"}},
	{"no map", `{"metadata":{}}`, []string{"weight_map is missing"}},
	{"map is a list", `{"weight_map":["a"]}`, []string{"weight_map", "not a JSON object"}},
	{"duplicate tensor", `{"weight_map":{"a":"s.safetensors","a":"s.safetensors"}}`, []string{"weight_map", `"a" comes twice`}},
	{"duplicate map", `{"weight_map":{},"weight_map":{"a":"s.safetensors"}}`, []string{`"weight_map" comes twice`}},
	{"shard is a number", `{"weight_map":{"a":1}}`, []string{`tensor "a"`, "not the name"}},
	{"shard missing", `{"weight_map":{"a":"t.safetensors"}}`, []string{"unet/t.safetensors", "does not exist", `tensor "a"`}},
	{"tensor missing from its shard", `{"weight_map":{"a":"s.safetensors","z":"s.safetensors"}}`, []string{"unet/s.safetensors", `no tensor "z"`}},
	{"shard is broken", `{"weight_map":{"a":"broken.safetensors"}}`, []string{"unet/broken.safetensors", "truncated"}},
	{"parent folder", `{"weight_map":{"a":"../s.safetensors"}}`, []string{`tensor "a"`, "../s.safetensors", "same folder"}},
	{"other folder", `{"weight_map":{"a":"sub/s.safetensors"}}`, []string{`tensor "a"`, "same folder"}},
	{"absolute", `{"weight_map":{"a":"/s.safetensors"}}`, []string{`tensor "a"`, "same folder"}},
	{"Windows path", `{"weight_map":{"a":"..\\s.safetensors"}}`, []string{`tensor "a"`, "same folder"}},
	{"drive", `{"weight_map":{"a":"c:s.safetensors"}}`, []string{`tensor "a"`, "same folder"}},
	{"another kind of file", `{"weight_map":{"a":"m.bin"}}`, []string{`tensor "a"`, ".safetensors"}},
}

// shard is what the indexes of the tests refer to.
func shard(indexText string) fstest.MapFS {
	return folder(map[string]string{
		index:                     indexText,
		"unet/s.safetensors":      value(1, "a"),
		"s.safetensors":           value(2, "a"),
		"unet/broken.safetensors": "short",
	})
}

func TestWrongIndexes(t *testing.T) {
	for _, test := range wrongIndexes {
		t.Run(test.name, func(t *testing.T) {
			_, err := safetensors.OpenSharded(shard(test.index), "unet/m")
			says(t, err, append(test.want, index)...)
		})
	}
}

func TestNoCheckpoint(t *testing.T) {
	_, err := safetensors.OpenSharded(fstest.MapFS{}, "unet/m")
	says(t, err, "unet/m.safetensors", index, "unet/m.fp16.safetensors")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
}

func FuzzIndex(f *testing.F) {
	f.Add(`{"weight_map":{"a":"s.safetensors"}}`)
	for _, w := range wrongIndexes {
		f.Add(w.index)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := safetensors.OpenSharded(shard(text), "unet/m")
		if err != nil {
			return
		}
		defer c.Close()
		for _, name := range c.Names() {
			if err := c.Float32(name, make([]float32, 1)); name != "a" || err != nil {
				t.Errorf("%q: %v", name, err)
			}
		}
	})
}

func ExampleOpenSharded() {
	fsys := shard(`{"weight_map":{"a":"s.safetensors"}}`)
	c, err := safetensors.OpenSharded(fsys, "unet/m")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	for _, name := range c.Names() {
		info, _ := c.Tensor(name)
		values := make([]float32, info.Elements())
		if err := c.Float32(name, values); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(name, info.DType, info.Shape, values, info.File)
	}
	// Output: a F32 [1] [1] unet/s.safetensors
}
