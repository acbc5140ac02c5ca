package clip

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// mergeSlowly is the rule of byte-pair encoding as it is written: while there is a pair that merges, take the one
// of lowest rank and merge it everywhere, from left to right.
func mergeSlowly(tokens []int32, merges map[[2]int32]merge) []int32 {
	for {
		var best merge
		var pair [2]int32
		found := false
		for i := 1; i < len(tokens); i++ {
			if m, ok := merges[[2]int32(tokens[i-1:i+1])]; ok && (!found || m.rank < best.rank) {
				best, pair, found = m, [2]int32(tokens[i-1:i+1]), true
			}
		}
		if !found {
			return tokens
		}
		var merged []int32
		for i := 0; i < len(tokens); i++ {
			if i+1 < len(tokens) && [2]int32(tokens[i:i+2]) == pair {
				merged = append(merged, best.token)
				i++
			} else {
				merged = append(merged, tokens[i])
			}
		}
		tokens = merged
	}
}

// randomPairs returns merges of a few bytes in an order that no training would give: a merge may come before
// those that make its parts.
func randomPairs(random *rand.Rand) *pairs {
	p := &pairs{merges: make(map[[2]int32]merge)}
	names := []string{"a", "b", "c"}
	ids := make(map[string]int32)
	for i, name := range names {
		ids[name] = int32(i)
		p.bytes[name[0]], p.ends[name[0]] = int32(i), int32(i)
	}
	for range 20 {
		a, b := names[random.IntN(len(names))], names[random.IntN(len(names))]
		id, ok := ids[a+b]
		if !ok {
			id = int32(len(ids))
			ids[a+b], names = id, append(names, a+b)
		}
		p.merges[[2]int32{ids[a], ids[b]}] = merge{rank: int32(random.IntN(1000)), token: id}
	}
	taken := make(map[int32]bool) // no two merges have one rank
	for pair, m := range p.merges {
		for taken[m.rank] {
			m.rank++
		}
		taken[m.rank] = true
		p.merges[pair] = m
	}
	return p
}

func TestPairs(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	for range 2000 {
		p := randomPairs(random)
		piece := make([]byte, 1+random.IntN(40))
		tokens := make([]int32, len(piece))
		for i := range piece {
			piece[i] = "abc"[random.IntN(3)]
			tokens[i] = p.bytes[piece[i]]
		}
		ids, spelled := p.append(nil, string(piece))
		var got []int32
		for _, id := range ids {
			got = append(got, int32(id))
		}
		if want := mergeSlowly(tokens, p.merges); !slices.Equal(got, want) || !spelled {
			t.Fatalf("%s: %v, want %v", piece, got, want)
		}
	}
}

// A word as long as a book is no reason to wait: what is quadratic in its bytes would take hours.
func TestPairsOfLongWords(t *testing.T) {
	tok := loadTokenizer(t, tinyFiles(t))
	const size = 1 << 20
	for _, part := range []string{"z", "...", "snow", "the"} {
		word := strings.Repeat(part, size)[:size]
		var spelled []byte
		for _, id := range tok.Split(word) {
			spelled = appendBytes(spelled, strings.TrimSuffix(tok.names[id], wordEnd))
		}
		if string(spelled) != word {
			t.Errorf("%s…: other bytes", part)
		}
	}
}

func TestKeys(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var heap keys
	var sorted []pairKey
	for range 10000 {
		if len(sorted) > 0 && random.IntN(3) == 0 {
			if got := heap.pop(); got != sorted[0] {
				t.Fatalf("%d, want %d", got, sorted[0])
			}
			sorted = sorted[1:]
			continue
		}
		k := key(random.Int32N(50), random.Int32N(50))
		heap.push(k)
		at, _ := slices.BinarySearch(sorted, k)
		sorted = slices.Insert(sorted, at, k)
	}
	if k := key(7, 1<<30); k.rank() != 7 || k.place() != 1<<30 {
		t.Errorf("rank %d, place %d", k.rank(), k.place())
	}
}
