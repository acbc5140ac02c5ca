package clip

import (
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	wordsConfig = `{"tokenizer_class": "WordTokenizer", "model_max_length": 6, "bos_token": "<s>",
		"eos_token": {"content": "</s>", "lstrip": false}, "pad_token": "<pad>", "unk_token": "<unk>", "do_lower_case": true,
		"remove": "['’]", "pattern": "[a-z0-9]+"}`
	wordsVocabulary = `{"<s>": 0, "</s>": 1, "<unk>": 2, "<pad>": 3, "red": 4, "heart": 5, "8": 6, "oclock": 7}`
)

func tokenizerFiles(config, vocabulary string) fs.FS {
	return fstest.MapFS{
		"tokenizer_config.json": {Data: []byte(config)},
		"vocab.json":            {Data: []byte(vocabulary)},
	}
}

func TestWords(t *testing.T) {
	for _, c := range []struct {
		text         string
		ids          []int
		unknown, cut []string
	}{
		{"", []int{0, 1, 3, 3, 3, 3}, nil, nil},
		{"  \t?! ", []int{0, 1, 3, 3, 3, 3}, nil, nil},
		{"red heart", []int{0, 4, 5, 1, 3, 3}, nil, nil},
		{"RED, heart.", []int{0, 4, 5, 1, 3, 3}, nil, nil},
		{"8 o’clock", []int{0, 6, 7, 1, 3, 3}, nil, nil},
		{"8 o'clock", []int{0, 6, 7, 1, 3, 3}, nil, nil},
		{"red red red red", []int{0, 4, 4, 4, 4, 1}, nil, nil},
		{"red red red red heart heart 8", []int{0, 4, 4, 4, 4, 1}, nil, []string{"heart", "heart", "8"}},
		{"blue heart blue", []int{0, 2, 5, 2, 1, 3}, []string{"blue"}, nil},
		{"crème 8", []int{0, 2, 2, 6, 1, 3}, []string{"cr", "me"}, nil},
		{"a b a b zebra", []int{0, 2, 2, 2, 2, 1}, []string{"a", "b"}, []string{"zebra"}},
		{"\xff\xfered", []int{0, 4, 1, 3, 3, 3}, nil, nil},
	} {
		w, err := LoadWords(tokenizerFiles(wordsConfig, wordsVocabulary))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := w.Encode(c.text), (Tokens{c.ids, c.unknown, c.cut}); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, want %v", c.text, got, want)
		}
	}
}

// Upper case is its own alphabet where the configuration does not lower it, and without "remove"
// an apostrophe parts words.
func TestWordsKeepCase(t *testing.T) {
	config := strings.NewReplacer(`"do_lower_case": true`, `"do_lower_case": false`, `"remove": "['’]",`, "").Replace(wordsConfig)
	w, err := LoadWords(tokenizerFiles(config, wordsVocabulary))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := w.Encode("Red o'clock").IDs, []int{0, 2, 2, 2, 1, 3}; !reflect.DeepEqual(got, want) {
		t.Errorf("ids %v, want %v", got, want)
	}
}

func TestLoadWordsErrors(t *testing.T) {
	replaced := func(old, new string) fs.FS {
		return tokenizerFiles(strings.Replace(wordsConfig, old, new, 1), wordsVocabulary)
	}
	for _, c := range []struct {
		name  string
		files fs.FS
		want  []string
	}{
		{"no file", fstest.MapFS{}, []string{"tokenizer_config.json"}},
		{"no vocabulary", fstest.MapFS{"tokenizer_config.json": {Data: []byte(wordsConfig)}}, []string{"vocab.json"}},
		{"not JSON", replaced(`{"tok`, `"tok`), []string{"tokenizer_config.json"}},
		{"other class", replaced("WordTokenizer", "CLIPTokenizer"), []string{"tokenizer_class", "CLIPTokenizer", "WordTokenizer"}},
		{"no room", replaced(": 6", ": 1"), []string{"model_max_length", "1"}},
		{"no limit", replaced(": 6", ": 1e30"), []string{"model_max_length", "1e+30"}},
		{"half a token", replaced(": 6", ": 6.5"), []string{"model_max_length", "6.5"}},
		{"no pattern", replaced("[a-z0-9]+", ""), []string{"pattern"}},
		{"bad pattern", replaced("[a-z0-9]+", "[a-z"), []string{"pattern", "[a-z"}},
		{"bad remove", replaced("['’]", "(?<=x)"), []string{"remove", "(?<=x)"}},
		{"special token", replaced("<unk>", "<what>"), []string{"unk_token", "<what>", "vocab.json"}},
		{"negative id", tokenizerFiles(wordsConfig, strings.Replace(wordsVocabulary, `"8": 6`, `"8": -6`, 1)), []string{"vocab.json", `"8"`, "-6"}},
	} {
		_, err := LoadWords(c.files)
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", c.name, err, want)
			}
		}
	}
}
