package clip

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Part is a piece of a prompt that is read as one text.
type Part struct {
	Text   string
	Weight float64 // of its tokens' states; 1 outside of brackets
	Break  bool    // there is no text, and what follows begins a new chunk
}

const (
	stronger = float64(1.1) // the factor of ( )
	weaker   = 1 / stronger // that of [ ]
	deepest  = 64           // how many open brackets of a kind count: 1.1⁶⁴ is 446
)

// ParseWeights reads a prompt in the syntax of AUTOMATIC1111's webui, which diffusers' community pipeline
// lpw_stable_diffusion has too:
//
//	(text)      weighs 1.1 times as much, ((text)) 1.21 times
//	[text]      weighs 1/1.1 times as much
//	(text:1.3)  weighs 1.3 times as much; a number may have a sign and a point, no exponent
//	BREAK       as a word of its own begins a new chunk (webui only)
//	\( \) \[ \] \\  are the characters themselves; any other backslash is dropped
//
// Brackets of both kinds may overlap. One that is never closed weighs all that follows; one that closes
// nothing is text, and so is a number that no round bracket ends. Neighbours of equal weight are one part.
//
// It differs from webui where that fails or surprises: what is no number, such as that of (a:1.2.3), is text; a
// BREAK in brackets is one; brackets within 64 of their kind have no effect.
func ParseWeights(prompt string) []Part {
	p := weightParser{round: brackets{factor: stronger}, square: brackets{factor: weaker}}
	for prompt != "" {
		prompt = prompt[p.read(prompt):]
	}
	for _, kind := range []brackets{p.round, p.square} {
		for _, first := range kind.open {
			p.weigh(first, kind.factor)
		}
	}
	return p.joined()
}

// weightParser is a prompt half read.
type weightParser struct {
	parts         []Part
	round, square brackets
}

// brackets are those of a kind that are open: the numbers of the parts that they weigh first.
type brackets struct {
	open   []int
	beyond int // how many more are open, to no effect
	factor float64
}

// begin opens a bracket before part number first.
func (b *brackets) begin(first int) {
	if len(b.open) == deepest {
		b.beyond++
		return
	}
	b.open = append(b.open, first)
}

// any says whether a bracket is open.
func (b *brackets) any() bool { return len(b.open) > 0 }

// end closes the innermost bracket and says which part it weighs first; none is the number behind the last.
func (b *brackets) end(none int) (first int) {
	if b.beyond > 0 {
		b.beyond--
		return none
	}
	first = b.open[len(b.open)-1]
	b.open = b.open[:len(b.open)-1]
	return first
}

// read reads what a prompt begins with, and returns its length.
func (p *weightParser) read(s string) (n int) {
	const special = `\\()[]:`
	switch s[0] {
	case '\\':
		if len(s) > 1 && strings.IndexByte(`\\()[]`, s[1]) >= 0 {
			p.text(s[1:2])
			return 2
		}
		p.text("")
	case '(':
		p.round.begin(len(p.parts))
	case '[':
		p.square.begin(len(p.parts))
	case ':':
		factor, n := weightOf(s)
		if n > 0 && p.round.any() {
			p.weigh(p.round.end(len(p.parts)), factor)
		} else {
			n = max(n, 1)
			p.text(s[:n])
		}
		return n
	case ')':
		p.close(&p.round, s[:1])
	case ']':
		p.close(&p.square, s[:1])
	default:
		if n = strings.IndexAny(s, special); n < 0 {
			n = len(s)
		}
		p.broken(s[:n])
		return n
	}
	return 1
}

// close closes a bracket; where none is open, the bracket is text.
func (p *weightParser) close(b *brackets, bracket string) {
	if !b.any() {
		p.text(bracket)
		return
	}
	p.weigh(b.end(len(p.parts)), b.factor)
}

// weigh multiplies the weights of the parts from first on. They stay finite.
func (p *weightParser) weigh(first int, factor float64) {
	for i := range p.parts[first:] {
		if part := &p.parts[first+i]; !part.Break {
			part.Weight = max(-math.MaxFloat64, min(part.Weight*factor, math.MaxFloat64))
		}
	}
}

// text appends a part.
func (p *weightParser) text(s string) { p.parts = append(p.parts, Part{Text: s, Weight: 1}) }

// broken appends text, in parts where there is a BREAK in it.
func (p *weightParser) broken(s string) {
	for {
		begin, end, ok := findBreak(s)
		if !ok {
			p.text(s)
			return
		}
		p.text(strings.TrimRightFunc(s[:begin], isPythonSpace))
		p.parts = append(p.parts, Part{Break: true})
		s = strings.TrimLeftFunc(s[end:], isPythonSpace)
	}
}

// findBreak finds the first BREAK in s that is a word of its own: where it begins and ends.
func findBreak(s string) (begin, end int, ok bool) {
	const word = "BREAK"
	for {
		i := strings.Index(s[end:], word)
		if i < 0 {
			return 0, 0, false
		}
		begin, end = end+i, end+i+len(word)
		before, _ := utf8.DecodeLastRuneInString(s[:begin])
		after, _ := utf8.DecodeRuneInString(s[end:])
		if !inWord(before) && !inWord(after) {
			return begin, end, true
		}
	}
}

// inWord says whether a character can be part of a word, as Python's \w does.
func inWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) }

// weightOf reads ":number)" at the beginning of s; n is 0 where there is none.
func weightOf(s string) (factor float64, n int) {
	number := s[1:]
	end := strings.IndexFunc(number, func(r rune) bool { return !strings.ContainsRune("+-.0123456789", r) })
	if end < 0 || number[end] != ')' {
		return 0, 0
	}
	factor, err := strconv.ParseFloat(number[:end], 64)
	if err != nil {
		return 0, 0
	}
	return factor, len(":") + end + len(")")
}

// joined returns the parts, neighbours of equal weight as one, and without those that have no text unless
// there is no other.
func (p *weightParser) joined() []Part {
	var joined []Part
	for i := 0; i < len(p.parts); {
		part, end := p.parts[i], i+1
		for end < len(p.parts) && !part.Break && !p.parts[end].Break && p.parts[end].Weight == part.Weight {
			end++
		}
		var text strings.Builder
		for _, part := range p.parts[i:end] {
			text.WriteString(part.Text)
		}
		if part.Text = text.String(); part.Text != "" || part.Break {
			joined = append(joined, part)
		}
		i = end
	}
	if len(joined) == 0 {
		return []Part{{Weight: 1}}
	}
	return joined
}
