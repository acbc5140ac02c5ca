package program

import (
	"cmp"
	"slices"
)

// buffer is memory for a value and all values cut from it.
type buffer struct {
	channels, stride int
	size             int // elements, from the first of the first pixel to the last of the last
	first, last      int // the ops that write it first and use it last; first is -1 before any has
	offset           int // in the arena, settled by plan
}

// lineFloats is how many values fill a cache line. Buffers start at one, so that vectors do not
// straddle two.
const lineFloats = 64 / 4

// padStride is a row stride, in values, at which caches fall over: rows that are multiples of
// 2048 bytes apart share a few cache sets, and a tile of such rows evicts itself. These rows get a
// cache line more.
const padStride = 2048 / 4

// newBuffer makes a buffer of rows pixels.
func newBuffer(rows, channels int) *buffer {
	stride := channels
	if rows > 1 && stride%padStride == 0 {
		stride += lineFloats
	}
	size := 0
	if rows > 0 {
		size = (rows-1)*stride + channels
	}
	return &buffer{channels: channels, stride: stride, size: size, first: -1}
}

// plan gives every buffer its place in an arena, and returns the arena's size. Buffers that are
// alive during the same op do not overlap. The largest go first, each to the lowest place where
// it fits (greedy by size: Pisarchyk & Lee 2020, "Efficient memory management for deep neural net
// inference").
func plan(buffers []*buffer) (size int) {
	bySize := slices.Clone(buffers)
	slices.SortStableFunc(bySize, func(a, b *buffer) int { return cmp.Compare(b.size, a.size) })
	var placed []*buffer // in order of their places
	for _, b := range bySize {
		b.offset = 0
		for _, p := range placed {
			if p.last < b.first || b.last < p.first {
				continue // never alive together
			}
			if b.offset+b.size <= p.offset {
				break // fits below p, and so below all that follow
			}
			b.offset = max(b.offset, lineEnd(p.offset+p.size))
		}
		at, _ := slices.BinarySearchFunc(placed, b, func(p, b *buffer) int { return cmp.Compare(p.offset, b.offset) })
		placed = slices.Insert(placed, at, b)
		size = max(size, b.offset+b.size)
	}
	return size
}

// lineEnd returns the end of the cache line that n values reach into.
func lineEnd(n int) int { return (n + lineFloats - 1) &^ (lineFloats - 1) }
