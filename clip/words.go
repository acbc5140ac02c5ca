package clip

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

// Words is a tokenizer that looks up whole words: class WordTokenizer, which small models use in
// place of CLIP's byte pairs. It is immutable and safe for concurrent use.
type Words struct {
	vocabulary map[string]int
	lower      bool
	remove     *regexp.Regexp // deleted before the words are cut out; nil for none
	word       *regexp.Regexp // what a word is
	length     int
	ids        int // all are below
	begin, end int // put before and behind the words
	pad        int // fills up to length
	unknown    int // stands for a word that is not in the vocabulary
}

// Tokens is a text as a model reads it.
type Tokens struct {
	IDs     []int    // as many as the tokenizer's Length
	Unknown []string // the words that the vocabulary lacks, once each, in order of appearance
	Cut     []string // the words at the end that the length has no room for
}

// LoadWords reads tokenizer_config.json and vocab.json (word → id) from a tokenizer's directory.
//
// Of the configuration it uses model_max_length, do_lower_case, remove (a regular expression for
// what is deleted), pattern (a regular expression for what a word is), and the names of the
// tokens bos_token, eos_token, pad_token and unk_token, which must be in the vocabulary.
func LoadWords(fsys fs.FS) (*Words, error) {
	const configName, vocabularyName = "tokenizer_config.json", "vocab.json"
	var c struct {
		Class   string  `json:"tokenizer_class"`
		Length  float64 `json:"model_max_length"` // a float where it says "no limit": 1e30
		Lower   bool    `json:"do_lower_case"`
		Remove  string  `json:"remove"`
		Pattern string  `json:"pattern"`
		Begin   token   `json:"bos_token"`
		End     token   `json:"eos_token"`
		Pad     token   `json:"pad_token"`
		Unknown token   `json:"unk_token"`
	}
	if err := readJSON(fsys, configName, &c); err != nil {
		return nil, err
	}
	w := &Words{lower: c.Lower}
	if err := readJSON(fsys, vocabularyName, &w.vocabulary); err != nil {
		return nil, err
	}
	invalid := func(key string, value any, want string) error {
		return fmt.Errorf("clip: %s: %s is %v; supported: %s", configName, key, value, want)
	}
	if c.Class != "WordTokenizer" {
		return nil, invalid("tokenizer_class", fmt.Sprintf("%q", c.Class), "WordTokenizer")
	}
	const most = 1 << 16
	if w.length = int(min(c.Length, most+1)); w.length < 2 || w.length > most || float64(w.length) != c.Length {
		return nil, invalid("model_max_length", c.Length, fmt.Sprintf("2 to %d", most))
	}
	var err error
	if c.Pattern == "" {
		return nil, invalid("pattern", `""`, "a regular expression for a word")
	}
	if w.word, err = regexp.Compile(c.Pattern); err != nil {
		return nil, invalid("pattern", fmt.Sprintf("%q", c.Pattern), "what Go's regexp reads ("+err.Error()+")")
	}
	if c.Remove != "" {
		if w.remove, err = regexp.Compile(c.Remove); err != nil {
			return nil, invalid("remove", fmt.Sprintf("%q", c.Remove), "what Go's regexp reads ("+err.Error()+")")
		}
	}
	for _, special := range []struct {
		key  string
		name token
		id   *int
	}{{"bos_token", c.Begin, &w.begin}, {"eos_token", c.End, &w.end}, {"pad_token", c.Pad, &w.pad}, {"unk_token", c.Unknown, &w.unknown}} {
		id, ok := w.vocabulary[string(special.name)]
		if !ok {
			return nil, invalid(special.key, fmt.Sprintf("%q", special.name), "a token of "+vocabularyName)
		}
		*special.id = id
	}
	for word, id := range w.vocabulary {
		if id < 0 || id > 1<<24 {
			return nil, fmt.Errorf("clip: %s: %q has id %d", vocabularyName, word, id)
		}
		w.ids = max(w.ids, id+1)
	}
	return w, nil
}

// Vocabulary returns the size of the vocabulary: ids are below it.
func (w *Words) Vocabulary() int { return w.ids }

// Length returns how many ids every text becomes.
func (w *Words) Length() int { return w.length }

// Encode returns text as ids: the token for the beginning, the words, the token for the end, then
// padding up to Length. Words that do not fit between the two are left out.
func (w *Words) Encode(text string) Tokens {
	if w.lower {
		text = strings.ToLower(text)
	}
	if w.remove != nil {
		text = w.remove.ReplaceAllString(text, "")
	}
	var t Tokens
	words := w.word.FindAllString(text, -1)
	if room := w.length - 2; len(words) > room {
		words, t.Cut = words[:room:room], words[room:]
	}
	t.IDs = append(make([]int, 0, w.length), w.begin)
	for _, word := range words {
		id, ok := w.vocabulary[word]
		if !ok {
			id = w.unknown
			if !slices.Contains(t.Unknown, word) {
				t.Unknown = append(t.Unknown, word)
			}
		}
		t.IDs = append(t.IDs, id)
	}
	t.IDs = append(t.IDs, w.end)
	for len(t.IDs) < w.length {
		t.IDs = append(t.IDs, w.pad)
	}
	return t
}

// token is the name of a special token: a string, or an object with the string as its content.
type token string

// UnmarshalJSON implements json.Unmarshaler.
func (t *token) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '{' {
		var added struct {
			Content string `json:"content"`
		}
		err := json.Unmarshal(data, &added)
		*t = token(added.Content)
		return err
	}
	return json.Unmarshal(data, (*string)(t))
}

// readJSON decodes the file name of fsys into v.
func readJSON(fsys fs.FS, name string, v any) error {
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return fmt.Errorf("clip: %w", err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("clip: %s: %w", name, err)
	}
	return nil
}
