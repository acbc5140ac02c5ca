package clip

import (
	"iter"
	"strings"
	"unicode"

	"github.com/lanewise/lanewise/internal/nfc"
)

// words returns the words of text as transformers' BasicTokenizer(strip_accents=False, do_split_on_punc=False)
// cuts them: without control characters, ideographs one by one, composed (NFC), in lower case.
func words(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for word := range strings.FieldsSeq(strings.Map(clean, text)) {
			for word := range ideographs(word) {
				if !yield(lower(nfc.String(word))) {
					return
				}
			}
		}
	}
}

// clean drops a character (−1) or replaces space by space. Characters that no category claims, which
// Unicode has not assigned or keeps for private use, count as control characters.
func clean(r rune) rune {
	switch {
	case r == '\t' || r == '\n' || r == '\r' || unicode.Is(unicode.Z, r):
		return ' '
	case r == unicode.ReplacementChar || !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S):
		return -1
	}
	return r
}

// ideographs returns word cut before and behind each ideograph.
func ideographs(word string) iter.Seq[string] {
	return func(yield func(string) bool) {
		first := 0
		for i, r := range word {
			if !unicode.Is(ideograph, r) {
				continue
			}
			end := i + len(string(r))
			if first < i && !yield(word[first:i]) || !yield(word[i:end]) {
				return
			}
			first = end
		}
		if first < len(word) {
			yield(word[first:])
		}
	}
}

// ideograph holds the blocks that BasicTokenizer takes for Chinese.
var ideograph = &unicode.RangeTable{
	R16: []unicode.Range16{{Lo: 0x3400, Hi: 0x4dbf, Stride: 1}, {Lo: 0x4e00, Hi: 0x9fff, Stride: 1}, {Lo: 0xf900, Hi: 0xfaff, Stride: 1}},
	R32: []unicode.Range32{{Lo: 0x20000, Hi: 0x2a6df, Stride: 1}, {Lo: 0x2a700, Hi: 0x2ceaf, Stride: 1}, {Lo: 0x2f800, Hi: 0x2fa1f, Stride: 1}},
}

// lower returns a word in lower case by Unicode's full mapping (§3.13 of the standard), as Python's str.lower does:
// İ becomes two characters, and a Σ that ends a word ς.
func lower(word string) string {
	if !strings.ContainsAny(word, "İΣ") {
		return strings.ToLower(word)
	}
	var b strings.Builder
	cased := false // the last character that case does not ignore is cased
	for i, r := range word {
		switch {
		case r == 'İ':
			b.WriteString("i\u0307")
		case r == 'Σ' && cased && !followedByCased(word[i+len("Σ"):]):
			b.WriteRune('ς')
		default:
			b.WriteRune(unicode.ToLower(r))
		}
		if !unicode.In(r, caseIgnorable...) {
			cased = isCased(r)
		}
	}
	return b.String()
}

// followedByCased says whether the first character of rest that case does not ignore is cased.
func followedByCased(rest string) bool {
	for _, r := range rest {
		if !unicode.In(r, caseIgnorable...) {
			return isCased(r)
		}
	}
	return false
}

// isCased is Unicode's property Cased.
func isCased(r rune) bool {
	return unicode.In(r, unicode.Lu, unicode.Ll, unicode.Lt, unicode.Other_Uppercase, unicode.Other_Lowercase)
}

// caseIgnorable is Unicode's property Case_Ignorable: marks, formats, modifiers, and the punctuation that
// stands within words (Word_Break of MidLetter, MidNumLet and Single_Quote).
var caseIgnorable = []*unicode.RangeTable{unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk, {
	R16: []unicode.Range16{
		{Lo: 0x27, Hi: 0x2e, Stride: 7}, {Lo: 0x3a, Hi: 0xb7, Stride: 0xb7 - 0x3a}, {Lo: 0x387, Hi: 0x387, Stride: 1},
		{Lo: 0x55f, Hi: 0x5f4, Stride: 0x5f4 - 0x55f}, {Lo: 0x2018, Hi: 0x2019, Stride: 1}, {Lo: 0x2024, Hi: 0x2027, Stride: 3},
		{Lo: 0xfe13, Hi: 0xfe13, Stride: 1}, {Lo: 0xfe52, Hi: 0xfe55, Stride: 3}, {Lo: 0xff07, Hi: 0xff0e, Stride: 7},
		{Lo: 0xff1a, Hi: 0xff1a, Stride: 1},
	},
	LatinOffset: 2,
}}
