package gemm

// cuts is how a chain of taps with their channels is cut into pieces: into runs of taps, or each tap
// into parts.
type cuts struct{ taps, channels, tapsPerPiece, parts, pieces int }

// cutChain cuts a chain into pieces of at most limit values, or of one.
func cutChain(taps, channels, limit int) cuts {
	if taps*channels <= limit {
		return cuts{taps, channels, taps, 1, 1}
	}
	c := cuts{taps, channels, 1, 1, taps}
	if channels > limit {
		c.parts = (channels + limit - 1) / limit
		c.pieces = taps * c.parts
	} else {
		n := (taps*channels + limit - 1) / limit
		c.tapsPerPiece = (taps + n - 1) / n
		c.pieces = (taps + c.tapsPerPiece - 1) / c.tapsPerPiece
	}
	return c
}

// longest is the most channels of a piece.
func (c *cuts) longest() int { return (c.channels + c.parts - 1) / c.parts }

// piece returns the taps of piece i, and its channels from k0 up to k1.
func (c *cuts) piece(i int) (tap0, tap1, k0, k1 int) {
	if c.pieces == 1 {
		return 0, c.taps, 0, c.channels
	}
	if c.parts > 1 {
		tap, part := i/c.parts, i%c.parts
		return tap, tap + 1, part * c.channels / c.parts, (part + 1) * c.channels / c.parts
	}
	return i * c.taps / c.pieces, (i + 1) * c.taps / c.pieces, 0, c.channels
}
