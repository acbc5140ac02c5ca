package clip

import (
	"strings"
	"testing"
)

// addedFor returns added tokens with ids from 0 on.
func addedFor(tokens ...addedToken) *addedTokens {
	a := new(addedTokens)
	for id, t := range tokens {
		t.id = id
		a.add(t)
	}
	return a
}

func TestAddedTokens(t *testing.T) {
	plain := addedFor(addedToken{Content: "<x>"}, addedToken{Content: "<x>_1"}, addedToken{Content: "x>y"}, addedToken{Content: "日"})
	left := addedFor(addedToken{Content: "<x>", Left: true})
	right := addedFor(addedToken{Content: "<x>", Right: true})
	single := addedFor(addedToken{Content: "cat", Single: true})
	for _, c := range []struct {
		tokens *addedTokens
		text   string
		want   string // parts; those that are tokens in brackets
	}{
		{new(addedTokens), "", ""},
		{new(addedTokens), "any text", "any text"},
		{plain, "a <x> b", "a |[<x>]| b"},
		{plain, "<x><x>_1<x>_", "[<x>]|[<x>_1]|[<x>]|_"}, // the longest
		{plain, "<x>y", "[<x>]|y"},                       // the first
		{plain, "<<x>y<X>", "<|[<x>]|y<X>"},
		{plain, "ax>y今日", "a|[x>y]|今|[日]"},
		{left, "a \t<x>  b", "a|[<x>]|  b"},
		{left, " <x>", "[<x>]"},
		{right, "a  <x>\u3000\x1fb", "a  |[<x>]|b"},
		{right, "<x> ", "[<x>]"},
		{single, "cat", "[cat]"},
		{single, "a cat b", "a |[cat]| b"},
		{single, "cats", "cats"},
		{single, "tomcat", "tomcat"},
		{single, "a cat, cat", "a |cat, |[cat]"},
		{single, "catcatcat cat", "catcatcat| |[cat]"},
	} {
		var parts []string
		for part, id := range c.tokens.split(c.text) {
			if id >= 0 {
				part = "[" + part + "]"
			}
			parts = append(parts, part)
		}
		if got := strings.Join(parts, "|"); got != c.want {
			t.Errorf("%q: %s, want %s", c.text, got, c.want)
		}
	}
}
