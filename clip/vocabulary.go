package clip

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// vocabulary fills a tokenizer with tokens.
type vocabulary struct {
	t   *Tokenizer
	ids map[string]int // of all tokens, added ones included
}

// put gives a token an id.
func (v *vocabulary) put(file, name string, id int) error {
	if id < 0 || id >= mostIDs {
		return fmt.Errorf("%s: %q has id %d; supported: 0 to %d", file, name, id, mostIDs-1)
	}
	if other, ok := v.t.names[id]; ok {
		return fmt.Errorf("%s: %q has id %d, which is that of %q", file, name, id, other)
	}
	v.ids[name], v.t.names[id] = id, name
	v.t.ids = max(v.t.ids, id+1)
	return nil
}

// addToken adds a token, which may be in the vocabulary, or have been added before; an empty one is none.
func (v *vocabulary) addToken(added addedFrom) error {
	if added.Content == "" {
		return nil
	}
	id, ok := v.ids[added.Content]
	switch {
	case ok && added.numbered && added.id != id:
		return fmt.Errorf("%s: added token %q has id %d, and %d elsewhere", added.file, added.Content, added.id, id)
	case ok:
		added.id = id
	default:
		if !added.numbered {
			added.id = len(v.ids)
		}
		if err := v.put(added.file, added.Content, added.id); err != nil {
			return err
		}
	}
	v.t.added.add(added.addedToken)
	return nil
}

// readTokens reads vocab.json, and from it the tokens of bytes.
func (v *vocabulary) readTokens(fsys fs.FS) error {
	var ids map[string]int
	data, err := fs.ReadFile(fsys, vocabularyName)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &ids); err != nil {
		return fmt.Errorf("%s: %w", vocabularyName, err)
	}
	for _, name := range slices.Sorted(maps.Keys(ids)) {
		if err := v.put(vocabularyName, name, ids[name]); err != nil {
			return err
		}
	}
	spelled := false
	for b, r := range byteRunes {
		for name, token := range map[string]*int32{string(r): &v.t.pairs.bytes[b], string(r) + wordEnd: &v.t.pairs.ends[b]} {
			*token = unspelled
			if id, ok := ids[name]; ok {
				*token, spelled = int32(id), true
			}
		}
	}
	if !spelled {
		return fmt.Errorf("%s: no token of a byte, such as %q or %q, among %d", vocabularyName, "a", "a"+wordEnd, len(ids))
	}
	return nil
}

// readMerges reads merges.txt: a line that says the version, then two tokens a line, those that are merged
// first first. Of equal lines the last counts.
func (v *vocabulary) readMerges(fsys fs.FS) error {
	data, err := fs.ReadFile(fsys, mergesName)
	if err != nil {
		return err
	}
	v.t.pairs.merges = make(map[[2]int32]merge)
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")[1:]
	for i, line := range lines[:min(mostMerges, len(lines))] {
		parts := strings.Fields(line)
		if len(parts) == 0 {
			continue
		}
		fail := func(wrong string, args ...any) error {
			return fmt.Errorf("%s: merge %d, %q: %s", mergesName, i+1, line, fmt.Sprintf(wrong, args...))
		}
		if len(parts) != 2 {
			return fail("not two tokens")
		}
		var tokens [3]int32
		for k, name := range append(parts, parts[0]+parts[1]) {
			id, ok := v.ids[name]
			if !ok {
				return fail("%s has no %q", vocabularyName, name)
			}
			tokens[k] = int32(id)
		}
		v.t.pairs.merges[[2]int32(tokens[:2])] = merge{rank: int32(i), token: tokens[2]}
	}
	return nil
}

// readObject reads the members of the JSON object in a file, none where there is no such file.
func readObject(fsys fs.FS, name string) (map[string]json.RawMessage, error) {
	object := make(map[string]json.RawMessage)
	err := readIfThere(fsys, name, &object)
	if object == nil { // null
		return nil, fmt.Errorf("%s: null; supported: an object", name)
	}
	return object, err
}

// readIfThere decodes a JSON file into v, if there is one.
func readIfThere(fsys fs.FS, name string, v any) error {
	data, err := fs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// unlike is the error of a value that is none of those supported.
func unlike(file, key string, value json.RawMessage, supported string) error {
	return fmt.Errorf("%s: %s is %.100s; supported: %s", file, key, value, supported)
}
