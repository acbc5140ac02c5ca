package clip

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
)

// The files of a tokenizer's directory.
const (
	tokenizerConfigName = "tokenizer_config.json"
	specialTokensName   = "special_tokens_map.json"
	addedTokensName     = "added_tokens.json"
	wholeTokenizerName  = "tokenizer.json"
	vocabularyName      = "vocab.json"
	mergesName          = "merges.txt"
)

const (
	mostLength = 1 << 16
	mostIDs    = 1 << 24
	// mostMerges is how many lines of merges.txt transformers reads behind the first, whatever the vocabulary: the
	// merges of CLIP's.
	mostMerges = 49152 - 256 - 2

	// noLimit is from where on transformers takes a length for none; it writes 1e30. clipLength stands for that: the
	// positions that CLIP's text encoders have.
	noLimit    = 1e20
	clipLength = 77
)

// LoadTokenizer reads a tokenizer's directory as transformers and diffusers write it: vocab.json (token → id),
// merges.txt, and as far as they are there tokenizer_config.json, special_tokens_map.json, added_tokens.json.
//
// Of tokenizer_config.json it uses model_max_length, or 77 where that says "no limit" or nothing; bos_token,
// eos_token, pad_token and unk_token, by default "<|startoftext|>" and three times "<|endoftext|>"; and
// added_tokens_decoder (id → token). Files without the last are older: in them, special_tokens_map.json comes
// before tokenizer_config.json, and added_tokens.json (token → id) and the added_tokens of tokenizer.json
// say what else is added. A special token that the vocabulary lacks gets the next id.
//
// It is an error where a file is not what transformers writes, where a merge has parts or a result that the
// vocabulary lacks, and where two tokens have one id.
func LoadTokenizer(fsys fs.FS) (*Tokenizer, error) {
	t := &Tokenizer{names: make(map[int]string)}
	v := vocabulary{t: t, ids: make(map[string]int)}
	var c tokenizerConfig
	for _, step := range []func(fs.FS) error{c.read, v.readTokens, v.readMerges} {
		if err := step(fsys); err != nil {
			return nil, fmt.Errorf("clip: %w", err)
		}
	}
	t.length = c.length
	for _, added := range c.added {
		if err := v.addToken(added); err != nil {
			return nil, fmt.Errorf("clip: %w", err)
		}
	}
	t.begin, t.end, t.pad = v.ids[c.begin], v.ids[c.end], v.ids[c.pad]
	t.pairs.unknown = int32(v.ids[c.unknown])
	t.special = make(map[string]int)
	for _, mark := range marks {
		t.special[mark] = unspelled
		if id, ok := v.ids[mark]; ok {
			t.special[mark] = id
		}
	}
	return t, nil
}

// tokenizerConfig is what the files beside vocabulary and merges say.
type tokenizerConfig struct {
	length                   int
	begin, end, pad, unknown string
	added                    []addedFrom // in the order in which they get ids
}

// addedFrom is an added token and the file that holds it.
type addedFrom struct {
	addedToken
	file     string
	numbered bool // the file says which id it has
}

// read reads what there is of the files.
func (c *tokenizerConfig) read(fsys fs.FS) error {
	config, err := readObject(fsys, tokenizerConfigName)
	if err != nil {
		return err
	}
	if err := c.readLength(config); err != nil {
		return err
	}
	for _, option := range []struct{ key, only string }{
		{"padding_side", `"right"`}, {"truncation_side", `"right"`}, {"split_special_tokens", "false"},
	} {
		if value, ok := config[option.key]; ok && string(value) != option.only {
			return unlike(tokenizerConfigName, option.key, value, option.only)
		}
	}
	var special map[string]json.RawMessage
	if decoder, ok := config["added_tokens_decoder"]; ok {
		err = c.readDecoder(decoder)
	} else {
		special, err = readObject(fsys, specialTokensName)
		err = errors.Join(err, c.readOlder(fsys))
	}
	if err != nil {
		return err
	}
	return c.readSpecial(jsonFile{specialTokensName, special}, jsonFile{tokenizerConfigName, config})
}

// jsonFile is a file's members.
type jsonFile struct {
	name    string
	members map[string]json.RawMessage
}

// readLength reads the class, which says whether a length means anything, and the length.
func (c *tokenizerConfig) readLength(config map[string]json.RawMessage) error {
	if class, ok := config["tokenizer_class"]; ok {
		switch string(class) {
		case `"CLIPTokenizer"`, `"CLIPTokenizerFast"`, "null":
		default:
			return unlike(tokenizerConfigName, "tokenizer_class", class, "CLIPTokenizer")
		}
	}
	c.length = clipLength
	value, ok := config["model_max_length"]
	if !ok || string(value) == "null" {
		return nil
	}
	var length float64
	err := json.Unmarshal(value, &length)
	switch {
	case err == nil && length > noLimit:
	case err == nil && length >= 3 && length <= mostLength && length == float64(int(length)):
		c.length = int(length)
	default:
		return unlike(tokenizerConfigName, "model_max_length", value, fmt.Sprintf("3 to %d, or more than %g for no limit", mostLength, noLimit))
	}
	return nil
}

// readDecoder reads added_tokens_decoder.
func (c *tokenizerConfig) readDecoder(value json.RawMessage) error {
	var decoder map[string]addedToken
	if err := json.Unmarshal(value, &decoder); err != nil {
		return fmt.Errorf("%s: added_tokens_decoder: %w", tokenizerConfigName, err)
	}
	first := len(c.added)
	for key, added := range decoder {
		id, err := strconv.Atoi(key)
		if err != nil {
			return fmt.Errorf("%s: added_tokens_decoder: %q is no id", tokenizerConfigName, key)
		}
		added.id = id
		c.added = append(c.added, addedFrom{added, tokenizerConfigName, true})
	}
	sortByID(c.added[first:])
	return nil
}

// readOlder reads the files that stand in for added_tokens_decoder.
func (c *tokenizerConfig) readOlder(fsys fs.FS) error {
	var ids map[string]int
	if err := readIfThere(fsys, addedTokensName, &ids); err != nil {
		return err
	}
	for content, id := range ids {
		c.added = append(c.added, addedFrom{addedToken{Content: content, id: id}, addedTokensName, true})
	}
	var whole struct {
		Added []json.RawMessage `json:"added_tokens"`
	}
	if err := readIfThere(fsys, wholeTokenizerName, &whole); err != nil {
		return err
	}
	for _, value := range whole.Added {
		var added addedToken
		var with struct{ ID *int }
		if err := errors.Join(json.Unmarshal(value, &added), json.Unmarshal(value, &with)); err != nil || with.ID == nil {
			return unlike(wholeTokenizerName, "added_tokens", value, "objects with id and content")
		}
		added.id = *with.ID
		c.added = append(c.added, addedFrom{added, wholeTokenizerName, true})
	}
	sortByID(c.added)
	return nil
}

// sortByID makes the order of tokens, and with it that of errors, that of their ids.
func sortByID(added []addedFrom) {
	slices.SortStableFunc(added, func(a, b addedFrom) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.Content, b.Content))
	})
}

// readSpecial reads the special tokens, all of which are added ones too, in transformers' order, from the
// first file that names them.
func (c *tokenizerConfig) readSpecial(files ...jsonFile) error {
	c.begin, c.end, c.unknown, c.pad = marks[0], marks[1], marks[1], marks[1]
	for _, special := range []struct {
		key  string
		name *string // nil for what CLIP does not use
	}{
		{"bos_token", &c.begin}, {"eos_token", &c.end}, {"unk_token", &c.unknown}, {"sep_token", nil},
		{"pad_token", &c.pad}, {"cls_token", nil}, {"mask_token", nil},
	} {
		file, value, ok := find(special.key, files)
		added := addedFrom{file: file}
		switch {
		case special.name == nil && (!ok || string(value) == "null"):
			continue
		case !ok:
			added.Content = *special.name
		case json.Unmarshal(value, &added.addedToken) != nil || added.Content == "":
			return unlike(file, special.key, value, "a token, or an object with its content")
		}
		if special.name != nil {
			*special.name = added.Content
		}
		c.added = append(c.added, added)
	}
	for _, file := range slices.Backward(files) {
		const key = "additional_special_tokens"
		var list []addedToken
		if value, ok := file.members[key]; ok && json.Unmarshal(value, &list) != nil {
			return unlike(file.name, key, value, "a list of tokens")
		}
		for _, added := range list {
			c.added = append(c.added, addedFrom{added, file.name, false})
		}
	}
	return nil
}

// find returns the first of the files that has the key, and its value; otherwise the last.
func find(key string, files []jsonFile) (name string, value json.RawMessage, ok bool) {
	for _, file := range files {
		if value, ok = file.members[key]; ok {
			return file.name, value, true
		}
		name = file.name
	}
	return name, nil, false
}
