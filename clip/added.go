package clip

import (
	"encoding/json"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is cut out of texts as it is written, before anything else is done to them:
// transformers' AddedToken. Whether it is normalized or special has no bearing on what CLIPTokenizer does.
type addedToken struct {
	Content string `json:"content"`
	Left    bool   `json:"lstrip"`      // spaces before it are part of it
	Right   bool   `json:"rstrip"`      // those behind it too
	Single  bool   `json:"single_word"` // it is none beside anything but a space

	id int
}

// UnmarshalJSON reads an object, or a string that is the content.
func (t *addedToken) UnmarshalJSON(data []byte) error {
	type plain addedToken // without this method
	if data[0] == '"' {
		return json.Unmarshal(data, &t.Content)
	}
	return json.Unmarshal(data, (*plain)(t))
}

// addedTokens are a tokenizer's added tokens. The zero value has none.
type addedTokens struct {
	tokens map[string]addedToken
	root   spelling
}

// spelling is a node of the tree of all added tokens: what may follow some bytes.
type spelling struct {
	next map[byte]*spelling
	ends bool // the bytes are a token
}

// add adds a token, unless it is there.
func (a *addedTokens) add(t addedToken) {
	if a.has(t.Content) {
		return
	}
	if a.tokens == nil {
		a.tokens = make(map[string]addedToken)
	}
	a.tokens[t.Content] = t
	node := &a.root
	for i := range len(t.Content) {
		next := node.next[t.Content[i]]
		if next == nil {
			if node.next == nil {
				node.next = make(map[byte]*spelling)
			}
			next = new(spelling)
			node.next[t.Content[i]] = next
		}
		node = next
	}
	node.ends = true
}

// has says whether there is such a token.
func (a *addedTokens) has(name string) bool {
	_, ok := a.tokens[name]
	return ok
}

// split returns text in parts: added tokens with their ids, and what is between them with −1. Where tokens
// overlap, the first one counts, and the longest of those that begin there.
func (a *addedTokens) split(text string) iter.Seq2[string, int] {
	parts := a.cut(text)
	a.trim(parts)
	return func(yield func(string, int) bool) {
		for _, part := range parts {
			if part == "" {
				continue
			}
			id := -1
			if t, ok := a.tokens[part]; ok {
				id = t.id
			}
			if !yield(part, id) {
				return
			}
		}
	}
}

// cut returns text cut before and behind added tokens.
func (a *addedTokens) cut(text string) (parts []string) {
	first := 0
	for i := 0; i < len(text); {
		n := a.longest(text[i:])
		if n == 0 {
			i++
			continue
		}
		if first < i {
			parts = append(parts, text[first:i])
		}
		parts = append(parts, text[i:i+n])
		i += n
		first = i
	}
	if first < len(text) {
		parts = append(parts, text[first:])
	}
	return parts
}

// longest returns the length of the longest token that text begins with, 0 for none.
func (a *addedTokens) longest(text string) (n int) {
	node := &a.root
	for i := range len(text) {
		if node = node.next[text[i]]; node == nil {
			break
		}
		if node.ends {
			n = i + 1
		}
	}
	return n
}

// trim gives tokens the spaces beside them that they take, and makes those text that stand beside other text
// than they allow, as transformers' PreTrainedTokenizer.tokenize does, from left to right.
func (a *addedTokens) trim(parts []string) {
	for i, part := range parts {
		t, ok := a.tokens[part]
		if !ok {
			continue
		}
		var left, right string // "" for none
		if i > 0 {
			left = parts[i-1]
		}
		if i+1 < len(parts) {
			right = parts[i+1]
		}
		if t.Right && right != "" {
			parts[i+1] = strings.TrimLeftFunc(right, isPythonSpace)
		}
		if t.Left && left != "" {
			parts[i-1] = strings.TrimRightFunc(left, isPythonSpace)
		}
		if !t.Single {
			continue
		}
		if r, _ := utf8.DecodeLastRuneInString(left); left != "" && r != ' ' {
			parts[i-1], parts[i] = parts[i-1]+part, ""
		} else if r, _ := utf8.DecodeRuneInString(right); right != "" && r != ' ' {
			parts[i], parts[i+1] = "", part+parts[i+1]
		}
	}
}

// isPythonSpace is Python's str.isspace, which counts four separators among control characters in.
func isPythonSpace(r rune) bool { return unicode.IsSpace(r) || '\x1c' <= r && r <= '\x1f' }
