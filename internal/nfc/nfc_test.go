package nfc

import (
	"hash/fnv"
	"io"
	"testing"
	"unicode/utf8"
)

func TestString(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"plain text", "plain text"},
		{"cafe\u0301", "caf\u00e9"},
		{"\u0301e", "\u0301e"},
		{"q\u0307\u0323", "q\u0323\u0307"},            // marks are sorted by class
		{"d\u0307\u0323", "\u1e0d\u0307"},             // so that the one below composes first
		{"e\u0301\u0301", "\u00e9\u0301"},             // one mark composes, the second of its class does not
		{"a\u0328\u0308\u0301", "\u0105\u0308\u0301"}, // the first mark of a class blocks the second
		{"\u212b\u2126\u212a", "\u00c5\u03a9K"},       // characters that are others
		{"\u0958", "\u0915\u093c"},                    // that never compose
		{"\u0344", "\u0308\u0301"},
		{"\u1112\u1161\u11ab", "\ud55c"}, // Hangul
		{"\ud558\u11ab", "\ud55c"},
		{"\ud55c\u11ab", "\ud55c\u11ab"},
		{"\uf900\U0002f800", "\u8c48\u4e3d"},
	} {
		if got := String(c.text); got != c.want {
			t.Errorf("%+q: %+q, want %+q", c.text, got, c.want)
		}
	}
}

// Every character alone, decomposed, and between two marks becomes what Python's
// unicodedata.normalize("NFC", …), of Unicode 15.0.0, says: FNV-1a over all results.
func TestEveryCharacter(t *testing.T) {
	tables, h := load(), fnv.New64a()
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		decomposed := tables.appendDecomposed(nil, r)
		tables.order(decomposed)
		for _, text := range []string{string(r), string(decomposed), "a\u0323" + string(r) + "\u0301"} {
			got := String(text)
			if again := String(got); again != got {
				t.Fatalf("%+q: %+q, and then %+q", text, got, again)
			}
			io.WriteString(h, got)
		}
	}
	if got, want := h.Sum64(), uint64(0x5ef1a50ab891af73); got != want {
		t.Errorf("hash %#x, want %#x", got, want)
	}
}
