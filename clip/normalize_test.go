package clip

import (
	"slices"
	"testing"
)

func TestWordsOfText(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{"  Two\u2003words\n", []string{"two", "words"}},
		{"a\vb\fc\u0085d", []string{"abcd"}}, // control characters, not spaces
		{"a\u2028b\u2029c", []string{"a", "b", "c"}},
		{"a\u200db\u00adc\ufeffd", []string{"abcd"}},
		{"今日は", []string{"今", "日", "は"}},
		{"a\U00020000b", []string{"a", "\U00020000", "b"}},
		{"\uf900", []string{"\u8c48"}}, // an ideograph that is another
		{"E\u0301", []string{"é"}},
		{"한글", []string{"한글"}},
	} {
		if got := slices.Collect(words(c.text)); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}

func TestLower(t *testing.T) {
	for word, want := range map[string]string{
		"Word":           "word",
		"İI":             "i\u0307i",
		"ΟΔΟΣ":           "οδος",
		"ΟΔΟΣ.":          "οδος.",
		"ΟΔΟΣ'Α":         "οδοσ'α", // an apostrophe does not end a word
		"Ο\u0301Σ\u0301": "ο\u0301ς\u0301",
		"Σ":              "σ",
		"-Σ":             "-σ",
		"1Σ":             "1σ",
		"ʰΣ":             "ʰσ", // neither cased nor a start
		"ΣΣ":             "σς",
		"ǅ":              "ǆ",
		"ẞß":             "ßß",
		"Ⓐ":              "ⓐ",
	} {
		if got := lower(word); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
