package clip

import (
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

// tinyFiles returns the files of testdata/tokenizer, a tokenizer of 26 merges and a length of 12, so that
// tests can change them.
func tinyFiles(t testing.TB) fstest.MapFS {
	t.Helper()
	files := make(fstest.MapFS)
	dir := os.DirFS("testdata/tokenizer")
	names, err := fs.Glob(dir, "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := fs.ReadFile(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: data}
	}
	return files
}

// set replaces a file.
func set(files fstest.MapFS, name, data string) { files[name] = &fstest.MapFile{Data: []byte(data)} }

// change replaces a part of a file that is there once.
func change(t testing.TB, files fstest.MapFS, name, old, new string) {
	t.Helper()
	data := string(files[name].Data)
	if strings.Count(data, old) != 1 {
		t.Fatalf("%s has %q %d times", name, old, strings.Count(data, old))
	}
	set(files, name, strings.Replace(data, old, new, 1))
}

// loadTokenizer reads files that are as they must be.
func loadTokenizer(t testing.TB, files fs.FS) *Tokenizer {
	t.Helper()
	tok, err := LoadTokenizer(files)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// spelled returns the names of ids with spaces between them.
func spelled(t *Tokenizer, ids []int) string {
	var names []string
	for _, id := range ids {
		names = append(names, t.names[id])
	}
	return strings.Join(names, " ")
}

func TestSplit(t *testing.T) {
	tok := loadTokenizer(t, tinyFiles(t))
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{" \t\r\n\u00a0\u2028\u3000", ""},
		{"the red fox in snow", "the</w> red</w> fox</w> in</w> snow</w>"},
		{"The RED\tfox", "the</w> red</w> fox</w>"},
		{"red,fox", "red</w> ,</w> fox</w>"},
		{"redfox", "re d fox</w>"}, // "red" is a token only where a word ends
		{"apples thecat", "app l e s</w> th e cat</w>"},
		{"cat's CATS 'S", "cat</w> 's</w> cats</w> 's</w>"},
		{"cat''s", "cat</w> ' '</w> s</w>"}, // a run of other characters goes on
		{"fox42", "fox</w> 4</w> 2</w>"},
		{"... ....", "...</w> .. . .</w>"},
		{"né cafe\u0301", "n Ã ©</w> ca f Ã ©</w>"},                // both are one character
		{"日本", "æ Ĺ ¥</w> æ ľ ¬</w>"},                              // two words
		{"ΟΔΟΣ İ", "Î ¿ Î ´ Î ¿ Ï Ĥ</w> i</w> Ì ĩ</w>"},            // οδος, and i with a mark
		{"x\u0345y 'ſ", "x</w> y</w> ' Å ¿</w>"},                   // of CLIP's pattern and its flag IGNORECASE
		{"in\u0000\u200b\ufffd\ue000\u0378side", "in s i d e</w>"}, // dropped
		{"in\xff\xfeside", "in s i d e</w>"},                       // no UTF-8
		{"<|endoftext|>a<|STARTOFTEXT|>", "<|endoftext|> a</w> <|startoftext|>"},
		{"<|endoftext", "< |</w> e n d o f t e x t</w>"},
	} {
		if got := spelled(tok, tok.Split(c.text)); got != c.want {
			t.Errorf("%q: %s, want %s", c.text, got, c.want)
		}
	}
}

func TestEncode(t *testing.T) {
	const begin, end, red, re, fox = 538, 539, 516, 517, 519
	for _, c := range []struct {
		text string
		pad  int // end where it is not changed
		want Tokens
	}{
		{"", end, Tokens{IDs: []int{begin, end, end, end, end, end, end, end, end, end, end, end}}},
		{"Red fox", end, Tokens{IDs: []int{begin, red, fox, end, end, end, end, end, end, end, end, end}}},
		{"red fox!", 0, Tokens{IDs: []int{begin, red, fox, 0, end, 0, 0, 0, 0, 0, 0, 0}}},
		{"red red red red red red red red red red", end, Tokens{IDs: []int{begin, red, red, red, red, red, red, red, red, red, red, end}}},
		{"red red red red red red red red red redfoxes, the fox!", 0, Tokens{
			IDs: []int{begin, red, red, red, red, red, red, red, red, red, re, end},
			Cut: []string{"dfoxes", ",", "the", "fox", "!"},
		}},
	} {
		files := tinyFiles(t)
		if c.pad == 0 {
			change(t, files, "tokenizer_config.json", `"pad_token": "<|endoftext|>"`, `"pad_token": "!"`)
		}
		tok := loadTokenizer(t, files)
		if got := tok.Encode(c.text); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %v, want %v", c.text, got, c.want)
		}
		if tok.Length() != 12 || tok.Vocabulary() != 540 {
			t.Errorf("length %d, vocabulary %d", tok.Length(), tok.Vocabulary())
		}
	}
}

func TestDecode(t *testing.T) {
	tok := loadTokenizer(t, tinyFiles(t))
	for _, c := range []struct {
		ids  []int
		want string
	}{
		{nil, ""},
		{tok.Split("The CAT'S apple, 日本, né...  it'll fox?"), "the cat's apple, 日 本, né... it'll fox?"},
		{tok.Encode("red").IDs[:4], "<|startoftext|> red <|endoftext|> <|endoftext|>"},
		{[]int{tok.Split("né")[1], 519}, "\ufffdfox"}, // half a character
		{[]int{516, 540, -1, 517}, "red \ufffd \ufffd re"},
	} {
		if got := tok.Decode(c.ids); got != c.want {
			t.Errorf("%v: %q, want %q", c.ids, got, c.want)
		}
	}
}

// What a vocabulary lacks is the unknown token, and said.
func TestUnknown(t *testing.T) {
	files := tinyFiles(t)
	delete(files, "special_tokens_map.json")
	set(files, "vocab.json", `{"a": 0, "b": 1, "a</w>": 2, "b</w>": 3, "ab</w>": 4, "?": 5}`)
	set(files, "merges.txt", "#version: 0.2\na b</w>")
	set(files, "tokenizer_config.json", `{"unk_token": "?", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}`)
	tok := loadTokenizer(t, files)
	got := tok.Encode("ab caba ab. caba <|endoftext|>")
	if want := []int{6, 4, 5, 0, 1, 2, 4, 5, 5, 0, 1, 2, 5, 7, 7}; !slices.Equal(got.IDs[:len(want)], want) {
		t.Errorf("ids %v, want %v", got.IDs, want)
	}
	if want := []string{"caba", ".", "<|endoftext|>"}; !slices.Equal(got.Unknown, want) {
		t.Errorf("unknown %q, want %q", got.Unknown, want)
	}
}

// A tokenizer has as many users as like to.
func TestTokenizerConcurrent(t *testing.T) {
	tok := loadTokenizer(t, tinyFiles(t))
	want := tok.Encode("the e\u0301 fox")
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 100 {
				if got := tok.Encode("the e\u0301 fox"); !reflect.DeepEqual(got, want) {
					t.Errorf("%v, want %v", got, want)
				}
			}
		})
	}
	group.Wait()
}
