package clip

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/internal/modeltest"
	"github.com/lanewise/lanewise/tensor"
)

func TestParseWeights(t *testing.T) {
	const s = 1.1
	one := func(text string, weight float64) []Part { return []Part{{Text: text, Weight: weight}} }
	for _, c := range []struct {
		prompt string
		want   []Part
	}{
		// Those that webui documents its parser by.
		{"normal text", one("normal text", 1)},
		{"an (important) word", []Part{{Text: "an ", Weight: 1}, {Text: "important", Weight: s}, {Text: " word", Weight: 1}}},
		{"(unbalanced", one("unbalanced", s)},
		{`\(literal\]`, one("(literal]", 1)},
		{"(unnecessary)(parens)", one("unnecessaryparens", s)},
		{"a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).", []Part{{Text: "a ", Weight: 1}, {Text: "house", Weight: 1.5730000000000004}, {Text: " ", Weight: s},
			{Text: "on", Weight: 1}, {Text: " a ", Weight: s}, {Text: "hill", Weight: 0.55}, {Text: ", sun, ", Weight: s},
			{Text: "sky", Weight: 1.4641000000000006}, {Text: ".", Weight: s}}},

		{"", one("", 1)},
		{"()", one("", 1)},
		{"[a]", one("a", 1/float64(s))},
		{"[unbalanced", one("unbalanced", 1/float64(s))},
		{"closed) twice]", one("closed) twice]", 1)},
		{"(a:1.3)", one("a", 1.3)},
		{"(a:+.5)(b:-2.)", []Part{{Text: "a", Weight: 0.5}, {Text: "b", Weight: -2}}},
		{"(a :1.3 )", one("a :1.3 ", s)}, // with a space it is no number
		{"(a:1.2.3)(b:)(c:1e3)", one("a:1.2.3b:c:1e3", s)},
		{"a:1.3)", one("a:1.3)", 1)},
		{"3:4 [a:1.3]", []Part{{Text: "3:4 ", Weight: 1}, {Text: "a:1.3", Weight: 1 / float64(s)}}},
		{"(a[b)c]", []Part{{Text: "a", Weight: s}, {Text: "b", Weight: 1}, {Text: "c", Weight: 1 / float64(s)}}},
		{`\\ \x \`, one(`\ x `, 1)},
		{"a BREAK b", []Part{{Text: "a", Weight: 1}, {Break: true}, {Text: "b", Weight: 1}}},
		{"(a\nBREAK b:2)", []Part{{Text: "a", Weight: 2}, {Break: true}, {Text: "b", Weight: 2}}},
		{"BREAKBREAK BREAKs _BREAK break éBREAK", one("BREAKBREAK BREAKs _BREAK break éBREAK", 1)},
		{"BREAK BREAK", []Part{{Break: true}, {Break: true}}},
		{strings.Repeat("(", 100) + "a" + strings.Repeat(")", 100) + "b", []Part{{Text: "a", Weight: math.Pow(s, 64)}, {Text: "b", Weight: 1}}},
	} {
		got := ParseWeights(c.prompt)
		for i := range got {
			if i < len(c.want) && math.Abs(got[i].Weight-c.want[i].Weight) <= 1e-12*math.Abs(c.want[i].Weight) {
				got[i].Weight = c.want[i].Weight
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: %v, want %v", c.prompt, got, c.want)
		}
	}
}

// What is quadratic in a prompt's length would take minutes each, and no weight is infinite.
func TestParseWeightsOfLongPrompts(t *testing.T) {
	const size = 1 << 18
	big := "(x:" + strings.Repeat("9", 300) + ")"
	for _, part := range []string{"(", "(a", "[a(b", "(a)", ":", ":1", "(:1)", `\(`, "BREAK ", "BREAK", "(" + big, big + ":0)"} {
		for _, p := range ParseWeights(strings.Repeat(part, size/len(part))) {
			if math.IsNaN(p.Weight) || math.IsInf(p.Weight, 0) {
				t.Fatalf("%.10s…: weight %g", part, p.Weight)
			}
		}
	}
}

func TestPrompts(t *testing.T) {
	tok := loadTokenizer(t, tinyFiles(t))
	const begin, end, red, fox, the = 538, 539, 516, 519, 520
	empty := []int{begin, end, end, end, end, end, end, end, end, end, end, end}
	reds := func(n int) string { return strings.Repeat("red ", n) }
	full := []int{begin, red, red, red, red, red, red, red, red, red, red, end}
	for _, c := range []struct {
		name    string
		options PromptOptions
		prompt  string
		chunks  [][]int
		weights map[int]float64 // those that are not 1
		cut     []string
	}{
		{"short", PromptOptions{}, "the [red] (fox:2)", [][]int{{begin, the, red, fox, end, end, end, end, end, end, end, end}}, map[int]float64{2: weaker, 3: 2}, nil},
		{"empty", PromptOptions{}, "", [][]int{empty}, nil, nil},
		{"just full", PromptOptions{}, reds(10), [][]int{full}, nil, nil},
		{"two chunks", PromptOptions{}, "(" + reds(11) + "fox:3)", [][]int{full, {begin, red, fox, end, end, end, end, end, end, end, end, end}},
			map[int]float64{1: 3, 2: 3, 3: 3, 4: 3, 5: 3, 6: 3, 7: 3, 8: 3, 9: 3, 10: 3, 13: 3, 14: 3}, nil},
		{"broken", PromptOptions{}, "red BREAK (fox:2)", [][]int{{begin, red, end, end, end, end, end, end, end, end, end, end}, {begin, fox, end, end, end, end, end, end, end, end, end, end}},
			map[int]float64{13: 2}, nil},
		{"broken at the end", PromptOptions{}, "BREAK", [][]int{empty}, nil, nil},
		{"plain", PromptOptions{Plain: true}, "red (fox:2)", [][]int{tok.Encode("red (fox:2)").IDs}, nil, nil},
		{"one at most", PromptOptions{Most: 1}, reds(10) + "the (fox!:2)", [][]int{full}, nil, []string{"the", "fox", "!"}},
		{"one at most, broken", PromptOptions{Most: 1}, "the BREAK fox", [][]int{{begin, the, end, end, end, end, end, end, end, end, end, end}}, nil, []string{"fox"}},
		{"two at most", PromptOptions{Most: 2}, reds(20) + "fox BREAK the", [][]int{full, full}, nil, []string{"fox", "the"}},
	} {
		want := Prompt{Chunks: c.chunks, Cut: c.cut, Weights: slices.Repeat([]float64{1}, 12*len(c.chunks))}
		for i, w := range c.weights {
			want.Weights[i] = w
		}
		if got := tok.Prompts(c.options, c.prompt); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("%s:\n%v, want\n%v", c.name, got, want)
		}
	}

	if got := tok.Prompts(PromptOptions{}, "red", "the BREAK fox BREAK the", ""); len(got) != 3 || len(got[0].Chunks) != 3 || len(got[1].Chunks) != 3 || len(got[2].Chunks) != 3 ||
		!slices.Equal(got[0].Chunks[2], empty) || !slices.Equal(got[2].Chunks[0], empty) || len(got[0].Weights) != 36 {
		t.Errorf("three prompts: %v, want three chunks each, the last ones of an empty text", got)
	}
	if got := tok.Prompts(PromptOptions{Least: 2}, "red"); len(got[0].Chunks) != 2 || !slices.Equal(got[0].Chunks[1], empty) {
		t.Errorf("two chunks at least: %v", got)
	}
	if got := tok.Prompts(PromptOptions{}); len(got) != 0 {
		t.Errorf("no prompts: %v", got)
	}
}

func TestWeigh(t *testing.T) {
	p := Prompt{Weights: []float64{1, 2, 0.5}}
	wide := tensor.Mat{Rows: 3, Cols: 2, Stride: 3, Data: []float32{1, 2, 99, 3, 4, 99, -2, 6, 99}}
	if err := p.Weigh(wide); err != nil {
		t.Fatal(err)
	}
	// The sum of 14 becomes 19 by weights alone.
	for i, want := range []float64{1, 2, 99 * 19. / 14, 6, 8, 99 * 19. / 14, -1, 3, 99 * 19. / 14} {
		if got := float64(wide.Data[i]) * 19 / 14; math.Abs(got-want) > 1e-5 {
			t.Errorf("value %d: %g, want %g", i, got, want)
		}
	}

	same := tensor.Mat{Rows: 2, Cols: 1, Stride: 1, Data: []float32{0.1, float32(math.Inf(1))}}
	if err := (Prompt{Weights: []float64{1, 1}}).Weigh(same); err != nil || same.Data[0] != 0.1 {
		t.Errorf("%v, %v: all weights are 1", same.Data, err)
	}
	modeltest.Says(t, p.Weigh(same), "clip: ", "2 tokens", "3")
	for name, v := range map[string][]float32{"mean of 0": {1, -1}, "infinite": {1, float32(math.Inf(1))}} {
		t.Log(name)
		states := tensor.Mat{Rows: 1, Cols: 2, Stride: 2, Data: v}
		modeltest.Says(t, Prompt{Weights: []float64{2}}.Weigh(states), "clip: ", "token 0", "weighs 2")
	}
}
