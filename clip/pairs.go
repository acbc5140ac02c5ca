package clip

import "slices"

// wordEnd marks a token that ends a word.
const wordEnd = "</w>"

// byteRunes are the characters that stand for bytes in the names of tokens: a byte that is a visible character
// of Latin-1 for itself, the others, in order, for those from U+0100 on.
var byteRunes = func() (runes [256]rune) {
	next := rune(0x100)
	for b := range runes {
		switch {
		case '!' <= b && b <= '~', '¡' <= b && b <= '¬', '®' <= b && b <= 'ÿ':
			runes[b] = rune(b)
		default:
			runes[b] = next
			next++
		}
	}
	return runes
}()

// runeBytes is the way back from byteRunes.
var runeBytes = func() map[rune]byte {
	m := make(map[rune]byte)
	for b, r := range byteRunes {
		m[r] = byte(b)
	}
	return m
}()

// appendBytes appends the bytes that the characters of a token's name stand for; other characters, which
// vocabularies of bytes do not have, stand for themselves.
func appendBytes(dst []byte, name string) []byte {
	for _, r := range name {
		if b, ok := runeBytes[r]; ok {
			dst = append(dst, b)
		} else {
			dst = append(dst, string(r)...)
		}
	}
	return dst
}

// pairs are the merges of a byte-pair encoding over ids.
type pairs struct {
	bytes, ends [256]int32 // tokens of a byte, and of one that ends a word; unspelled where there is none
	merges      map[[2]int32]merge
	unknown     int32 // stands for bytes without a token
}

// merge is what a pair of tokens becomes.
type merge struct {
	rank  int32 // lower ones come first
	token int32
}

// unspelled is the token of a byte that the vocabulary lacks. No merge holds it.
const unspelled = -1

// append appends the tokens of a piece of a word, and says whether there is one for every byte.
//
// The rule is: of all pairs of neighbours, take that of lowest rank; merge it wherever it is, from left to right;
// begin anew. Pairs wait in a heap, by rank and then by place, so that n bytes take O(n log n) steps; those that
// a merge makes join it when all of the merge's rank are done.
func (p *pairs) append(ids []int, piece string) (_ []int, spelled bool) {
	spelled = true
	l := linked{tokens: make([]int32, len(piece)), next: make([]int32, len(piece)), prev: make([]int32, len(piece))}
	for i := range len(piece) {
		table := &p.bytes
		if i == len(piece)-1 {
			table = &p.ends
		}
		l.tokens[i] = table[piece[i]]
		l.prev[i], l.next[i] = int32(i-1), int32(i+1)
		spelled = spelled && l.tokens[i] != unspelled
	}
	l.merge(p.merges)
	for i := 0; i < len(l.next); i = int(l.next[i]) {
		id := l.tokens[i]
		if id == unspelled {
			id = p.unknown
		}
		ids = append(ids, int(id))
	}
	return ids, spelled
}

// linked is a list of tokens in which neighbours are merged. The first token stays at 0.
type linked struct {
	tokens     []int32
	next, prev []int32 // places; len(tokens) and -1 for none
}

// merged is the token at a place that a merge took. No merge holds it.
const merged = -2

// merge merges all that can be.
func (l *linked) merge(merges map[[2]int32]merge) {
	var queue, made keys
	find := func(i int32) (merge, bool) { // what the token at i and its neighbour become
		if i < 0 || int(l.next[i]) >= len(l.tokens) {
			return merge{}, false
		}
		m, ok := merges[[2]int32{l.tokens[i], l.tokens[l.next[i]]}]
		return m, ok
	}
	for i := range l.tokens {
		if m, ok := find(int32(i)); ok {
			queue = append(queue, key(m.rank, int32(i)))
		}
	}
	slices.Sort(queue) // which is a heap
	for len(queue) > 0 {
		rank := queue[0].rank()
		made = made[:0]
		for len(queue) > 0 && queue[0].rank() == rank {
			i := queue.pop().place()
			m, ok := find(i)
			if !ok || m.rank != rank {
				continue // one of the two has been merged since
			}
			j := l.next[i]
			l.tokens[i], l.tokens[j] = m.token, merged
			l.next[i] = l.next[j]
			if int(l.next[i]) < len(l.tokens) {
				l.prev[l.next[i]] = i
			}
			for _, k := range []int32{l.prev[i], i} {
				if m, ok := find(k); ok {
					made = append(made, key(m.rank, k))
				}
			}
		}
		for _, k := range made {
			queue.push(k)
		}
	}
}

// pairKey is a rank and, below it, the place of a pair.
type pairKey uint64

func key(rank, place int32) pairKey { return pairKey(rank)<<32 | pairKey(place) }
func (k pairKey) rank() int32       { return int32(k >> 32) }
func (k pairKey) place() int32      { return int32(k & (1<<32 - 1)) }

// keys is a binary heap: element i is no larger than 2i+1 and 2i+2.
type keys []pairKey

// push adds an element.
func (h *keys) push(k pairKey) {
	s := append(*h, k)
	i := len(s) - 1
	for i > 0 && s[(i-1)/2] > k {
		s[i] = s[(i-1)/2]
		i = (i - 1) / 2
	}
	s[i] = k
	*h = s
}

// pop removes the smallest element.
func (h *keys) pop() pairKey {
	s := *h
	top, last := s[0], s[len(s)-1]
	s = s[:len(s)-1]
	for i := 0; len(s) > 0; {
		child := 2*i + 1
		if child+1 < len(s) && s[child+1] < s[child] {
			child++
		}
		if child >= len(s) || s[child] >= last {
			s[i] = last
			break
		}
		s[i] = s[child]
		i = child
	}
	*h = s
	return top
}
