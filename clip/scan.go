package clip

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// marks are what CLIP's pattern takes for one piece wherever a text spells it, in whatever case.
var marks = []string{"<|startoftext|>", "<|endoftext|>"}

// endings are the ends of English words that are pieces.
var endings = []string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}

// pieces returns what CLIP's pattern finds in a word in lower case, one after the other, each the first alternative
// that matches where the last one ended:
//
//	<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+
//
// A run of other characters thus goes on through an apostrophe or a mark, which are pieces only where one begins.
// As the pattern ignores case, ſ is an s in the first nine, and U+0345, whose capital is a letter but which is
// none, matches nothing: it is left out, and ends a run.
func pieces(word string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for len(word) > 0 {
			n, ok := piece(word)
			if ok && !yield(word[:n]) {
				return
			}
			word = word[n:]
		}
	}
}

// piece returns the length of the first piece of a word, or of a character that is in no piece.
func piece(word string) (n int, ok bool) {
	for _, list := range [][]string{marks, endings} {
		for _, fixed := range list {
			if n, ok := spells(word, fixed); ok {
				return n, true
			}
		}
	}
	first, n := utf8.DecodeRuneInString(word)
	kind := kindOf(first)
	switch kind {
	case nothing:
		return n, false
	case number:
		return n, true
	}
	if end := strings.IndexFunc(word, func(r rune) bool { return kindOf(r) != kind }); end >= 0 {
		return end, true
	}
	return len(word), true
}

// spells returns the length of what spells fixed at the beginning of a word.
func spells(word, fixed string) (n int, ok bool) {
	for _, want := range fixed {
		r, size := utf8.DecodeRuneInString(word[n:])
		if r != want && !(r == 'ſ' && want == 's') {
			return 0, false
		}
		n += size
	}
	return n, true
}

// kind is what the last three alternatives of the pattern tell apart.
type kind int

const (
	letter kind = iota
	number
	other
	nothing
)

// kindOf returns the kind of a character.
func kindOf(r rune) kind {
	switch {
	case unicode.IsLetter(r):
		return letter
	case unicode.IsNumber(r):
		return number
	case r == '\u0345' || unicode.IsSpace(r):
		return nothing
	}
	return other
}
