package clip

import "strings"

// Tokenizer is CLIP's: byte pairs of lower-case words (Sennrich et al. 2016, "Neural machine translation of
// rare words with subword units", over bytes). Its ids are those of transformers' CLIPTokenizer as diffusion
// pipelines load it, without ftfy, which that class would repair broken text with where it is installed.
// It is immutable and safe for concurrent use.
//
// A text becomes tokens in these steps:
//
//  1. Added tokens, such as "<|endoftext|>" or those of textual inversions, are cut out as they are written.
//  2. What is left is cleaned: control characters, those that Unicode 15.0 does not know, U+FFFD and, with it,
//     bytes that are not UTF-8 are dropped; an ideograph is a word of its own; the rest is composed
//     (Unicode's NFC), cut at spaces and put in lower case.
//  3. A word is cut into runs of letters, single digits, runs of other characters, and the endings 's, 't,
//     're, 've, 'm, 'll, 'd.
//  4. Each piece's UTF-8 bytes, the last one marked as an end, are merged pair by pair in the order of merges.txt.
type Tokenizer struct {
	names   map[int]string // of all ids
	added   addedTokens
	pairs   pairs
	special map[string]int // the ids of marks, or unspelled

	length          int
	ids             int // all are below
	begin, end, pad int
}

// Vocabulary returns the size of the vocabulary, added tokens included: ids are below it.
func (t *Tokenizer) Vocabulary() int { return t.ids }

// Length returns how many ids every text becomes.
func (t *Tokenizer) Length() int { return t.length }

// Encode returns text as ids: the token for the beginning, those of the text, the token for the end, then
// padding up to Length. Tokens that do not fit between the two are left out, and Cut says which words
// they are, or what is left of the first.
//
// Every byte has a token in CLIP's vocabulary. Unknown is for those that lack some: the pieces of words that
// the unknown token stands in.
func (t *Tokenizer) Encode(text string) Tokens {
	var out Tokens
	var unknown once
	ids := t.split(text, &unknown)
	out.Unknown = unknown.list
	if room := t.length - 2; len(ids) > room {
		out.Cut = t.words(ids[room:])
		ids = ids[:room]
	}
	out.IDs = t.enclose(ids)
	return out
}

// Split returns the ids of all of text, without beginning, end and padding.
func (t *Tokenizer) Split(text string) []int {
	return t.split(text, new(once))
}

// Decode returns what ids say, in lower case, with a space between words but none before . , ? ! and endings such
// as 's. Added tokens appear by name, an id that is not one of the tokenizer's as U+FFFD.
func (t *Tokenizer) Decode(ids []int) string { return closeUp.Replace(strings.Join(t.words(ids), " ")) }

// closeUp takes out the spaces that English has none of.
var closeUp = func() *strings.Replacer {
	var pairs []string
	for _, s := range append([]string{".", ",", "?", "!"}, endings...) {
		pairs = append(pairs, " "+s, s)
	}
	return strings.NewReplacer(pairs...)
}()

// split returns the ids of text, and adds to unknown the pieces of words that lack a token.
func (t *Tokenizer) split(text string, unknown *once) (ids []int) {
	for part, id := range t.added.split(text) {
		if id >= 0 {
			ids = append(ids, id)
			continue
		}
		for word := range words(part) {
			for piece := range pieces(word) {
				var spelled bool
				if ids, spelled = t.appendPiece(ids, piece); !spelled {
					unknown.add(piece)
				}
			}
		}
	}
	return ids
}

// appendPiece appends the ids of a piece of a word, and says whether there are such for all of it.
func (t *Tokenizer) appendPiece(ids []int, piece string) (_ []int, spelled bool) {
	id, mark := t.special[piece]
	switch {
	case !mark:
		return t.pairs.append(ids, piece)
	case id == unspelled:
		return append(ids, int(t.pairs.unknown)), false
	}
	return append(ids, id), true
}

// enclose returns at most Length-2 ids between beginning and end, and padded.
func (t *Tokenizer) enclose(ids []int) []int {
	all := append(make([]int, 0, t.length), t.begin)
	all = append(all, ids...)
	all = append(all, t.end)
	for len(all) < t.length {
		all = append(all, t.pad)
	}
	return all
}

// words returns the words that ids spell. A character of which there are not all bytes is U+FFFD.
func (t *Tokenizer) words(ids []int) []string {
	var list []string
	var word []byte
	flush := func() {
		if len(word) > 0 {
			list = append(list, strings.ToValidUTF8(string(word), "\ufffd"))
		}
		word = word[:0]
	}
	for _, id := range ids {
		name, ok := t.names[id]
		switch {
		case !ok:
			name = "\ufffd"
			fallthrough
		case t.added.has(name):
			flush()
			list = append(list, name)
		default:
			spelling, ends := strings.CutSuffix(name, wordEnd)
			word = appendBytes(word, spelling)
			if ends {
				flush()
			}
		}
	}
	flush()
	return list
}

// once is a list of strings, each once, in order of appearance.
type once struct {
	list []string
	seen map[string]bool
}

// add appends s, unless it is there.
func (o *once) add(s string) {
	if o.seen[s] {
		return
	}
	if o.seen == nil {
		o.seen = make(map[string]bool)
	}
	o.seen[s] = true
	o.list = append(o.list, s)
}
