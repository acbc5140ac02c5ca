package clip

import (
	"slices"
	"testing"
	"testing/fstest"

	"github.com/lanewise/lanewise/internal/modeltest"
)

// Which file says what a special token is depends on whether there is added_tokens_decoder.
func TestTokenizerPrecedence(t *testing.T) {
	const olderConfig = `{"pad_token": "!", "model_max_length": 5, "additional_special_tokens": ["<a>", {"content": "<b>"}]}`
	for _, c := range []struct {
		name   string
		config string // tokenizer_config.json
		files  map[string]string
		want   string // "red <a>", encoded
	}{
		{"defaults", `{"model_max_length": 5}`, nil, "<|startoftext|> red</w> <</w> a</w> <|endoftext|>"},
		{"pad token", olderConfig, nil, "<|startoftext|> red</w> <a> <|endoftext|> !"},
		{"special_tokens_map.json before tokenizer_config.json", olderConfig,
			map[string]string{"special_tokens_map.json": `{"pad_token": {"content": "?"}, "additional_special_tokens": ["<c>"]}`},
			"<|startoftext|> red</w> <a> <|endoftext|> ?"},
		{"but not where there is added_tokens_decoder", `{"added_tokens_decoder": {"540": {"content": "<a>"}}, "pad_token": "!", "model_max_length": 5}`,
			map[string]string{"special_tokens_map.json": `{"pad_token": "?"}`, "added_tokens.json": "not read", "tokenizer.json": "not read"},
			"<|startoftext|> red</w> <a> <|endoftext|> !"},
		{"added_tokens.json", `{"model_max_length": 5}`, map[string]string{"added_tokens.json": `{"<a>": 600}`}, "<|startoftext|> red</w> <a> <|endoftext|> <|endoftext|>"},
		{"tokenizer.json", `{"model_max_length": 5}`, map[string]string{"tokenizer.json": `{"added_tokens": [{"id": 539, "content": "<|endoftext|>"}, {"id": 700, "content": "<a>"}]}`},
			"<|startoftext|> red</w> <a> <|endoftext|> <|endoftext|>"},
		{"tokens that the vocabulary lacks", `{"model_max_length": 5, "eos_token": "<a>", "sep_token": "<|", "cls_token": null}`, nil,
			"<|startoftext|> red</w> <a> <a> <|endoftext|>"},
	} {
		files := tinyFiles(t)
		delete(files, "special_tokens_map.json")
		set(files, "tokenizer_config.json", c.config)
		for name, data := range c.files {
			set(files, name, data)
		}
		tok := loadTokenizer(t, files)
		if got := spelled(tok, tok.Encode("red <a>").IDs); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// Tokens that the vocabulary lacks are numbered by how many there are, even where ids have a gap: special tokens, then
// additional ones, those of tokenizer_config.json first.
func TestTokenizerNumbers(t *testing.T) {
	files := tinyFiles(t)
	set(files, "tokenizer_config.json", `{"pad_token": "<p>", "additional_special_tokens": ["<a>", "<b>"]}`)
	set(files, "special_tokens_map.json", `{"additional_special_tokens": ["<b>", "<c>"]}`)
	set(files, "added_tokens.json", `{"<x>": 600}`)
	tok := loadTokenizer(t, files)
	if got, want := tok.Split("<p><a><b><c><x>"), []int{541, 542, 543, 544, 600}; !slices.Equal(got, want) || tok.Vocabulary() != 601 {
		t.Errorf("%v of %d, want %v of 601", got, tok.Vocabulary(), want)
	}
}

func TestTokenizerLength(t *testing.T) {
	for value, want := range map[string]int{
		`"model_max_length": 3`: 3, `"model_max_length": 77.0`: 77, `"model_max_length": 65536`: 65536,
		// No limit, as transformers writes it, or not.
		`"model_max_length": 1000000000000000019884624838656`: 77, `"model_max_length": 1e30`: 77,
		`"model_max_length": null`: 77, `"errors": "replace"`: 77,
	} {
		files := tinyFiles(t)
		set(files, "tokenizer_config.json", "{"+value+"}")
		if got := loadTokenizer(t, files).Length(); got != want {
			t.Errorf("%s: %d, want %d", value, got, want)
		}
	}
	files := tinyFiles(t)
	delete(files, "tokenizer_config.json")
	if got := loadTokenizer(t, files).Length(); got != 77 {
		t.Errorf("no tokenizer_config.json: %d, want 77", got)
	}
}

func TestLoadTokenizerErrors(t *testing.T) {
	const config, special, vocabulary, merges = "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt"
	replace := func(name, old, new string) func(fstest.MapFS) {
		return func(files fstest.MapFS) { change(t, files, name, old, new) }
	}
	// older takes added_tokens_decoder out, and puts another member in.
	older := func(member string) func(fstest.MapFS) {
		return func(files fstest.MapFS) { set(files, config, "{"+member+"}") }
	}
	both := func(changes ...func(fstest.MapFS)) func(fstest.MapFS) {
		return func(files fstest.MapFS) {
			for _, change := range changes {
				change(files)
			}
		}
	}
	file := func(name, data string) func(fstest.MapFS) {
		return func(files fstest.MapFS) { set(files, name, data) }
	}
	without := func(name string) func(fstest.MapFS) { return func(files fstest.MapFS) { delete(files, name) } }

	for _, c := range []struct {
		name   string
		change func(fstest.MapFS)
		want   []string
	}{
		{"no vocabulary", without(vocabulary), []string{vocabulary, "not exist"}},
		{"no merges", without(merges), []string{merges, "not exist"}},
		{"vocabulary not JSON", file(vocabulary, `{"a": 1`), []string{vocabulary, "JSON"}},
		{"vocabulary of strings", file(vocabulary, `{"a": "b"}`), []string{vocabulary, "string"}},
		{"vocabulary of nothing", file(vocabulary, `null`), []string{vocabulary, "among 0"}},
		{"vocabulary of words", file(vocabulary, `{"red": 4}`), []string{vocabulary, "among 1", `"a</w>"`}},
		{"negative id", replace(vocabulary, ": 530", ": -530"), []string{vocabulary, `"blue</w>"`, "-530"}},
		{"huge id", replace(vocabulary, ": 530", ": 16777216"), []string{vocabulary, `"blue</w>"`, "16777216", "16777215"}},
		{"an id twice", replace(vocabulary, ": 530", ": 516"), []string{vocabulary, `"red</w>"`, `"blue</w>"`, "516"}},
		{"merge of one", replace(merges, "r ed</w>", "red</w>"), []string{merges, "merge 5", `"red</w>"`, "not two tokens"}},
		{"merge of three", replace(merges, "r ed</w>", "r e d</w>"), []string{merges, "merge 5", "not two tokens"}},
		{"merge of what is not there", replace(merges, "r ed</w>", "r eed</w>"), []string{merges, "merge 5", vocabulary, `"eed</w>"`}},
		{"merge to what is not there", replace(merges, "r ed</w>", "a ed</w>"), []string{merges, "merge 5", vocabulary, `"aed</w>"`}},
		{"config not JSON", file(config, `{`), []string{config, "JSON"}},
		{"config null", file(config, `null`), []string{config, "null"}},
		{"other class", replace(config, `"CLIPTokenizer"`, `"T5Tokenizer"`), []string{config, "tokenizer_class", "T5Tokenizer", "CLIPTokenizer"}},
		{"no room", replace(config, `"model_max_length": 12`, `"model_max_length": 2`), []string{config, "model_max_length", "2", "3 to 65536"}},
		{"too long", replace(config, `"model_max_length": 12`, `"model_max_length": 1e9`), []string{config, "model_max_length", "1e9"}},
		{"half a token", replace(config, `"model_max_length": 12`, `"model_max_length": 12.5`), []string{config, "model_max_length", "12.5"}},
		{"length of a string", replace(config, `"model_max_length": 12`, `"model_max_length": "12"`), []string{config, "model_max_length", `"12"`}},
		{"left", replace(config, `"errors"`, `"padding_side": "left", "errors"`), []string{config, "padding_side", "left", "right"}},
		{"truncated left", replace(config, `"errors"`, `"truncation_side": "left", "errors"`), []string{config, "truncation_side", "left", "right"}},
		{"special tokens split", replace(config, `"errors"`, `"split_special_tokens": true, "errors"`), []string{config, "split_special_tokens", "true", "false"}},
		{"no pad token", replace(config, `"pad_token": "<|endoftext|>"`, `"pad_token": null`), []string{config, "pad_token", "null"}},
		{"empty pad token", replace(config, `"pad_token": "<|endoftext|>"`, `"pad_token": ""`), []string{config, "pad_token"}},
		{"pad token of a number", replace(config, `"pad_token": "<|endoftext|>"`, `"pad_token": 5`), []string{config, "pad_token", "5"}},
		{"more special tokens", replace(config, `"errors"`, `"additional_special_tokens": "<a>", "errors"`), []string{config, "additional_special_tokens", "<a>", "list"}},
		{"added tokens of a list", file(config, `{"added_tokens_decoder": []}`), []string{config, "added_tokens_decoder"}},
		{"added token without an id", file(config, `{"added_tokens_decoder": {"x": "<a>"}}`), []string{config, "added_tokens_decoder", `"x"`}},
		{"added token of another id", file(config, `{"added_tokens_decoder": {"5": "<|endoftext|>"}}`), []string{config, "<|endoftext|>", "5", "539"}},
		{"added token of another's id", file(config, `{"added_tokens_decoder": {"539": "<a>"}}`), []string{config, "<a>", "539", "<|endoftext|>"}},
		{"special map not JSON", both(older(``), file(special, `{`)), []string{special, "JSON"}},
		{"special map null", both(older(``), file(special, `{"eos_token": null}`)), []string{special, "eos_token", "null"}},
		{"added_tokens.json", both(older(``), file("added_tokens.json", `["<a>"]`)), []string{"added_tokens.json"}},
		{"added_tokens.json of another's id", both(older(``), file("added_tokens.json", `{"<a>": 5}`)), []string{"added_tokens.json", "<a>", "5"}},
		{"added_tokens.json of no id", both(older(``), file("added_tokens.json", `{"<a>": -1}`)), []string{"added_tokens.json", "<a>", "-1"}},
		{"tokenizer.json", both(older(``), file("tokenizer.json", `{"added_tokens": [{"content": "<a>"}]}`)), []string{"tokenizer.json", "added_tokens", "<a>", "id"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := tinyFiles(t)
			c.change(files)
			tok, err := LoadTokenizer(files)
			modeltest.Says(t, err, append(c.want, "clip: ")...)
			if tok != nil {
				t.Error("a tokenizer beside the error")
			}
		})
	}
}
