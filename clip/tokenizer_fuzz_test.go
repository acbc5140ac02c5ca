package clip

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// fuzzTokenizers are the tiny one and one with added tokens of every kind.
func fuzzTokenizers(f *testing.F) []*Tokenizer {
	files := tinyFiles(f)
	change(f, files, "tokenizer_config.json", `"538": {`, `"0": "!", "600": {"content": "<x>", "lstrip": true}, "601": {"content": "<x>_1", "rstrip": true},
		"602": {"content": "fox ", "single_word": true}, "538": {`)
	return []*Tokenizer{loadTokenizer(f, tinyFiles(f)), loadTokenizer(f, files)}
}

// fuzzTexts are what texts of both fuzz tests begin with.
var fuzzTexts = []string{
	"", "the red fox", "The CAT'S apple... 日本 né", "e\u0301\u0323 \u1112\u1161\u11ab İΣ x\u0345ſ", "<|endoftext|><|ENDOFTEXT|>fox <x> <x>_1!!",
	"in\xff\xfe\x00\u200bside \xe2\x82", strings.Repeat("red ", 40), "a (((house:1.3)) [on] a (hill:0.5), \\(sky\\) BREAK (x:1.2.3) :", strings.Repeat("(a", 70),
}

// Whatever the text, ids are the tokenizer's, there are as many as it says, and they spell the text: all of what
// CLIP's pattern finds in its words, which a slow rule merges too.
func FuzzTokenizer(f *testing.F) {
	tokenizers := fuzzTokenizers(f)
	for _, text := range fuzzTexts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, tok := range tokenizers {
			all, got := tok.Split(text), tok.Encode(text)
			if len(got.IDs) != tok.Length() || got.Unknown != nil {
				t.Fatalf("%d ids, unknown %q", len(got.IDs), got.Unknown)
			}
			kept := all[:min(len(all), tok.Length()-2)]
			if !slices.Equal(got.IDs[1:1+len(kept)], kept) || got.IDs[0] != tok.begin || got.IDs[1+len(kept)] != tok.end {
				t.Fatalf("%v, want %v between beginning and end", got.IDs, kept)
			}
			if want := tok.words(all[len(kept):]); !slices.Equal(got.Cut, want) {
				t.Fatalf("cut %q, want %q", got.Cut, want)
			}
			for _, id := range all {
				if _, ok := tok.names[id]; !ok || id >= tok.Vocabulary() {
					t.Fatalf("id %d", id)
				}
			}
			tok.Decode(all)
		}

		tok := tokenizers[0]
		if strings.Contains(strings.ToLower(text), "<|") {
			return // its added tokens are not words
		}
		var ids []int
		var want, got []byte
		for word := range words(strings.ToValidUTF8(text, "\ufffd")) {
			for _, piece := range pattern.FindAllString(word, -1) {
				want = append(want, piece...)
				var tokens []int32
				for _, b := range []byte(piece) {
					tokens = append(tokens, tok.pairs.bytes[b])
				}
				tokens[len(tokens)-1] = tok.pairs.ends[piece[len(piece)-1]]
				if len(tokens) < 100 {
					tokens = mergeSlowly(tokens, tok.pairs.merges)
				} else {
					fast, _ := tok.pairs.append(nil, piece)
					tokens = nil
					for _, id := range fast {
						tokens = append(tokens, int32(id))
					}
				}
				for _, id := range tokens {
					ids = append(ids, int(id))
				}
			}
		}
		all := tok.Split(text)
		for _, id := range all {
			got = appendBytes(got, strings.TrimSuffix(tok.names[id], wordEnd))
		}
		if !slices.Equal(all, ids) || string(got) != string(want) {
			t.Fatalf("%s, want %s", spelled(tok, all), spelled(tok, ids))
		}
	})
}

// Whatever a prompt, it has chunks of the tokenizer's length, as many as its companion, and finite weights; and
// without brackets, in one chunk, it is what Encode makes of it.
func FuzzPrompts(f *testing.F) {
	tokenizers := fuzzTokenizers(f)
	for _, text := range fuzzTexts {
		f.Add(text, uint8(len(text)))
	}
	f.Fuzz(func(t *testing.T, text string, most uint8) {
		for _, tok := range tokenizers {
			prompts := tok.Prompts(PromptOptions{Most: int(most)}, text, "fox")
			for _, p := range prompts {
				if len(p.Chunks) != len(prompts[0].Chunks) || len(p.Weights) != len(p.Chunks)*tok.Length() || most > 0 && len(p.Chunks) > int(most) {
					t.Fatalf("%d chunks, %d weights", len(p.Chunks), len(p.Weights))
				}
				for _, chunk := range p.Chunks {
					if len(chunk) != tok.Length() {
						t.Fatalf("a chunk of %d ids", len(chunk))
					}
				}
				for _, w := range p.Weights {
					if math.IsNaN(w) || math.IsInf(w, 0) {
						t.Fatalf("weight %g", w)
					}
				}
			}
			plain, want := tok.Prompts(PromptOptions{Plain: true, Most: 1}, text)[0], tok.Encode(text)
			if !slices.Equal(plain.Chunks[0], want.IDs) || !slices.Equal(plain.Cut, want.Cut) {
				t.Fatalf("%v, want %v", plain, want)
			}
		}
	})
}

// Whatever the files, they are read or an error; what is read encodes.
func FuzzLoadTokenizer(f *testing.F) {
	tiny := tinyFiles(f)
	at := func(name string) string { return string(tiny[name].Data) }
	f.Add(at("vocab.json"), at("merges.txt"), at("tokenizer_config.json"), "", "")
	f.Add(`{"a":0,"b":1,"b</w>":2,"ab":3}`, "#\na b\nab b</w>", `{"eos_token":"<s>","additional_special_tokens":["x"]}`, `{"pad_token":{"content":"!"}}`, `{"<s>":9}`)
	f.Fuzz(func(t *testing.T, vocabulary, merges, config, special, added string) {
		files := tinyFiles(t)
		for name, data := range map[string]string{"vocab.json": vocabulary, "merges.txt": merges, "tokenizer_config.json": config,
			"special_tokens_map.json": special, "added_tokens.json": added} {
			if delete(files, name); data != "" {
				set(files, name, data)
			}
		}
		tok, err := LoadTokenizer(files)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "clip: ") {
				t.Fatal(err)
			}
			return
		}
		for _, text := range fuzzTexts {
			for _, id := range tok.Encode(text).IDs {
				if id < 0 || id >= tok.Vocabulary() {
					t.Fatalf("id %d of %d", id, tok.Vocabulary())
				}
			}
		}
	})
}
