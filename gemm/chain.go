package gemm

// cuts is how a chain of taps with their channels is cut into pieces: into runs of taps, or each tap
// into parts.
type cuts struct{ taps, channels, tapsPerPiece, parts int }

// cutChain cuts a chain into pieces of at most limit values, or of one.
func cutChain(taps, channels, limit int) cuts {
	c := cuts{taps, channels, 1, 1}
	switch {
	case taps*channels <= limit:
		c.tapsPerPiece = taps
	case channels > limit:
		c.parts = (channels + limit - 1) / limit
	default:
		n := (taps*channels + limit - 1) / limit
		c.tapsPerPiece = (taps + n - 1) / n
	}
	return c
}

// pieces is how many there are.
func (c *cuts) pieces() int { return (c.taps + c.tapsPerPiece - 1) / c.tapsPerPiece * c.parts }

// longest is the most channels of a piece.
func (c *cuts) longest() int { return (c.channels + c.parts - 1) / c.parts }

// piece returns the taps of piece i, and its channels from k0 up to k1.
func (c *cuts) piece(i int) (tap0, tap1, k0, k1 int) {
	if c.parts > 1 {
		tap, part := i/c.parts, i%c.parts
		return tap, tap + 1, part * c.channels / c.parts, (part + 1) * c.channels / c.parts
	}
	n := c.pieces()
	return i * c.taps / n, (i + 1) * c.taps / n, 0, c.channels
}
