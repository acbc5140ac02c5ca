// Package nfc composes text: normalization form C of the Unicode Standard (Annex 15), with the characters
// of Unicode 15.0, as Go's package unicode knows them. Tokenizers need it, so that the two ways to write é, one
// character or two, are one token.
package nfc

import (
	"cmp"
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// canonical is what generate.go makes of the Unicode Character Database.
//
//go:embed canonical.txt
var canonical string

// tables are what canonical says.
type tables struct {
	class     map[rune]uint8  // combining classes above 0
	decompose map[rune][]rune // one step: each of these may decompose further
	compose   map[[2]rune]rune
}

var load = sync.OnceValue(func() tables {
	t := tables{map[rune]uint8{}, map[rune][]rune{}, map[[2]rune]rune{}}
	point := func(hex string) rune {
		r, err := strconv.ParseInt(hex, 16, 32)
		if err != nil {
			panic("nfc: canonical.txt: " + err.Error())
		}
		return rune(r)
	}
	for line := range strings.Lines(canonical) {
		if line[0] == '#' {
			continue
		}
		f := strings.Fields(line)
		if first, last, ok := strings.Cut(f[0], ".."); ok {
			n, err := strconv.ParseUint(f[1], 10, 8)
			if err != nil {
				panic("nfc: canonical.txt: " + err.Error())
			}
			for r := point(first); r <= point(last); r++ {
				t.class[r] = uint8(n)
			}
			continue
		}
		hex, excluded := strings.CutSuffix(f[0], "!")
		var to []rune
		for _, hex := range f[1:] {
			to = append(to, point(hex))
		}
		r := point(hex)
		t.decompose[r] = to
		if !excluded {
			t.compose[[2]rune(to)] = r
		}
	}
	return t
})

// String returns text in normalization form C. Bytes that are not UTF-8 become U+FFFD where anything is
// composed at all.
func String(text string) string {
	const stable = 0x300 // no character below is changed or composes with another one below
	if strings.IndexFunc(text, func(r rune) bool { return r >= stable }) < 0 {
		return text
	}
	t := load()
	var runes []rune
	for _, r := range text {
		runes = t.appendDecomposed(runes, r)
	}
	t.order(runes)
	return string(t.composed(runes))
}

// Syllables of Hangul are not in the tables: they are numbered (§3.12 of the standard).
const (
	syllables, leading, vowels, trailing    = 0xAC00, 0x1100, 0x1161, 0x11A7
	leadingCount, vowelCount, trailingCount = 19, 21, 28 // a syllable's trailing consonant 0 is none
	blockCount                              = vowelCount * trailingCount
	syllableCount                           = leadingCount * blockCount
)

// appendDecomposed appends r's full decomposition.
func (t tables) appendDecomposed(runes []rune, r rune) []rune {
	if s := r - syllables; 0 <= s && s < syllableCount {
		runes = append(runes, leading+s/blockCount, vowels+s%blockCount/trailingCount)
		if last := s % trailingCount; last > 0 {
			runes = append(runes, trailing+last)
		}
		return runes
	}
	to, ok := t.decompose[r]
	if !ok {
		return append(runes, r)
	}
	for _, r := range to {
		runes = t.appendDecomposed(runes, r)
	}
	return runes
}

// order sorts every run of combining characters by class.
func (t tables) order(runes []rune) {
	for i := 0; i < len(runes); i++ {
		first := i
		for i < len(runes) && t.class[runes[i]] > 0 {
			i++
		}
		slices.SortStableFunc(runes[first:i], func(a, b rune) int { return cmp.Compare(t.class[a], t.class[b]) })
	}
}

// composed puts together, in place, each starter and what follows it, as far as nothing stands between
// them: neither another starter nor a character of the same class.
func (t tables) composed(runes []rune) []rune {
	out := runes[:0]
	starter, last := -1, uint8(0) // where the last starter is in out; the class of out's last character
	for _, r := range runes {
		class := t.class[r]
		if starter >= 0 && (starter == len(out)-1 || last < class) {
			if whole, ok := t.pair(out[starter], r); ok {
				out[starter] = whole
				continue
			}
		}
		if class == 0 {
			starter = len(out)
		}
		out = append(out, r)
		last = class
	}
	return out
}

// pair returns the character that a and b make.
func (t tables) pair(a, b rune) (rune, bool) {
	if l, v := a-leading, b-vowels; 0 <= l && l < leadingCount && 0 <= v && v < vowelCount {
		return syllables + l*blockCount + v*trailingCount, true
	}
	if s, last := a-syllables, b-trailing; 0 <= s && s < syllableCount && s%trailingCount == 0 && 0 < last && last < trailingCount {
		return a + last, true
	}
	whole, ok := t.compose[[2]rune{a, b}]
	return whole, ok
}
