package clip

import (
	"fmt"
	"math"
	"slices"

	"github.com/lanewise/lanewise/tensor"
)

// PromptOptions are what Prompts may be told. The zero value reads weights and takes as many chunks as a
// prompt needs.
type PromptOptions struct {
	Plain bool // brackets and BREAK are text, and every weight is 1
	Most  int  // how many chunks a prompt may have; what does not fit is cut. 0: any number
	Least int  // how many it has at least, so that the prompts of two tokenizers for one model can be alike
}

// Prompt is a text of any length with weights, in the chunks that a model reads.
type Prompt struct {
	// Chunks are lists of as many ids as the tokenizer's Length. Encoded together, as one batch, they give States
	// whose rows, in order, are one context for cross-attention: all tokens of the first chunk, of the second, ….
	Chunks [][]int
	// Weights are those of the rows: of each token of each chunk. The tokens for beginning, end and padding weigh 1.
	Weights []float64

	Unknown, Cut []string // as in Tokens
}

// Prompts returns texts as prompts of equally many chunks, so that positive and negative ones can be read by
// one batched model. A chunk is what Encode makes of a part of a text that has room in it: Length-2
// tokens, wherever a word is then, between those for beginning and end. Missing chunks are those of an empty text.
//
// Weights are read by ParseWeights, and every part of a prompt becomes tokens by itself, as in webui and in
// lpw_stable_diffusion. Of webui's chunks these differ in that they do not end at a comma.
func (t *Tokenizer) Prompts(o PromptOptions, texts ...string) []Prompt {
	prompts := make([]Prompt, len(texts))
	most := o.Least
	for i, text := range texts {
		prompts[i] = t.prompt(o, text)
		most = max(most, len(prompts[i].Chunks))
	}
	for i := range prompts {
		for p := &prompts[i]; len(p.Chunks) < most; {
			p.chunk(t, nil, nil)
		}
	}
	return prompts
}

// prompt returns a text as a prompt of at least one chunk.
func (t *Tokenizer) prompt(o PromptOptions, text string) (p Prompt) {
	parts := []Part{{Text: text, Weight: 1}}
	if !o.Plain {
		parts = ParseWeights(text)
	}
	var (
		unknown once
		ids     []int // of the chunk that is not full
		weights []float64
		cut     []int
		room    = t.length - 2
	)
	full := func() bool { return o.Most > 0 && len(p.Chunks) == o.Most }
	next := func() {
		p.chunk(t, ids, weights)
		ids, weights = ids[:0], weights[:0]
	}
	for _, part := range parts {
		if part.Break && !full() {
			next()
		}
		for _, id := range t.split(part.Text, &unknown) {
			if len(ids) == room && !full() {
				next()
			}
			if full() {
				cut = append(cut, id)
				continue
			}
			ids, weights = append(ids, id), append(weights, part.Weight)
		}
	}
	if len(ids) > 0 || len(p.Chunks) == 0 {
		next()
	}
	p.Unknown, p.Cut = unknown.list, t.words(cut)
	return p
}

// chunk appends a chunk of ids and their weights.
func (p *Prompt) chunk(t *Tokenizer, ids []int, weights []float64) {
	p.Chunks = append(p.Chunks, t.enclose(ids))
	first := len(p.Weights) + 1
	for range t.length {
		p.Weights = append(p.Weights, 1)
	}
	copy(p.Weights[first:], weights)
}

// Weigh gives the prompt's weights to its states, one row for each of Weights, in place:
//
//	row i ← row i · Weights[i] · m₀/m₁
//
// with m₀ and m₁ the mean of all values before and after weights. It is the rule of lpw_stable_diffusion;
// webui's, whose means are those of one chunk at a time, is the same where there is one. Where all weights are 1, no
// bit changes. Pooled states and embeddings of a whole text are not weighed; webui takes those of the first chunk.
//
// It is an error where there are more rows or fewer, and where a value would not be finite: weights so large, or
// such that hardly anything is left of the mean.
func (p Prompt) Weigh(states tensor.Mat) error {
	if states.Rows != len(p.Weights) {
		return fmt.Errorf("clip: states of %d tokens for a prompt of %d", states.Rows, len(p.Weights))
	}
	if !slices.ContainsFunc(p.Weights, func(w float64) bool { return w != 1 }) {
		return nil
	}
	var before, after float64 // sums
	for i, w := range p.Weights {
		for _, v := range states.Row(i) {
			before += float64(v)
			after += float64(float64(v) * w)
		}
	}
	scale := before / after
	for i, w := range p.Weights {
		for k, v := range states.Row(i) {
			weighed := float32(float64(v) * w * scale)
			if math.IsNaN(float64(weighed)) || math.IsInf(float64(weighed), 0) {
				return fmt.Errorf("clip: token %d of a prompt weighs %g, and states are scaled by %g: %g becomes %g", i, w, scale, v, weighed)
			}
			states.Row(i)[k] = weighed
		}
	}
	return nil
}
