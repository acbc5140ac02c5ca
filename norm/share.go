package norm

import "sync/atomic"

// share is the blocks that one worker has read: a list that its worker alone fills, and that any
// worker may then take from, the last first.
type share struct {
	blocks []int32
	left   atomic.Int32
	_      [36]byte // a cache line of its own
}

// reset empties the list and makes room for n blocks.
func (s *share) reset(n int) {
	s.blocks = resize(s.blocks, n)
	s.left.Store(0)
}

// keep adds a block.
func (s *share) keep(block int) {
	n := s.left.Load()
	s.blocks[n] = int32(block)
	s.left.Store(n + 1)
}

// take removes a block, if any is left.
func (s *share) take() (block int, ok bool) {
	n := s.left.Add(-1)
	if n < 0 {
		return 0, false
	}
	return int(s.blocks[n]), true
}
