package clip

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// pattern is CLIP's, for Go's regexp: (?i) is not for classes, of which it would add U+0345 to the letters.
var pattern = regexp.MustCompile(`(?i:<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d)|\p{L}+|\p{N}|[^\s\v\x{85}\pZ\p{L}\p{N}\x{345}]+`)

func TestPieces(t *testing.T) {
	for _, c := range []struct {
		word string
		want []string
	}{
		{"", nil},
		{"word", []string{"word"}},
		{"it's", []string{"it", "'s"}},
		{"it'ſ", []string{"it", "'ſ"}},
		{"they'really", []string{"they", "'re", "ally"}},
		{"--'s", []string{"--'", "s"}},
		{"'''s", []string{"'''", "s"}},
		{"12½Ⅷ", []string{"1", "2", "½", "Ⅷ"}},
		{"x\u0301y", []string{"x", "\u0301", "y"}},
		{"x\u0345-\u0345-", []string{"x", "-", "-"}},
		{"<|endoftext|>x", []string{"<|endoftext|>", "x"}},
		{"<|ſtartoftext|>", []string{"<|ſtartoftext|>"}},
		{".<|endoftext|>", []string{".<|", "endoftext", "|>"}},
	} {
		if got := slices.Collect(pieces(c.word)); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.word, got, c.want)
		}
		if got := pattern.FindAllString(c.word, -1); !slices.Equal(got, c.want) {
			t.Errorf("%q: the pattern finds %q, want %q", c.word, got, c.want)
		}
	}
}

// Words of what the pattern tells apart, and every character, are cut as the pattern does.
func TestPiecesOfPattern(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	of := append([]string{"'", "'", "-", "|", "<", "<|", "|>", "startoftext", "endoftext", "ſ", "\u0345", "日", "é", "\u0301", "½", "٣"}, endings...)
	check := func(word string) {
		if got, want := slices.Collect(pieces(word)), pattern.FindAllString(word, -1); !slices.Equal(got, want) {
			t.Fatalf("%q: %q, want %q", word, got, want)
		}
	}
	for range 5000 {
		var word string
		for range random.IntN(12) {
			if random.IntN(3) == 0 {
				word += string(rune('a' + random.IntN(26)))
			} else {
				word += of[random.IntN(len(of))]
			}
		}
		check(word)
	}
	for first := rune(0); first <= unicode.MaxRune; first += 256 {
		var word strings.Builder
		for r := first; r < first+256; r++ {
			word.WriteRune(r)
		}
		check(word.String())
	}
}
