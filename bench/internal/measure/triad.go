package measure

import (
	"time"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/kernels"
)

// Triad measures the traffic of STREAM's triad, a[i] = b[i] + s·c[i] (McCalpin 1995, "Memory Bandwidth and
// Machine Balance in Current High Performance Computers").
type Triad struct {
	e         *engine.Engine
	dst, b, c []float32
	piece     int
	args      []kernels.TriadArgs // for each worker
}

const (
	triadUnit  = 64      // values: the contract of kernels.TriadArgs
	triadPiece = 1 << 14 // values of a tile, where there are enough of them
)

// NewTriad makes arrays of so many bytes, all three together, rounded up a little.
func NewTriad(e *engine.Engine, bytes int) *Triad {
	const perWorker = 4 // tiles
	size := max(bytes/(3*4), 1)
	piece := min(triadPiece, ceil(size, perWorker*e.Workers()))
	piece = triadUnit * ceil(piece, triadUnit)
	size = piece * ceil(size, piece)
	return &Triad{e: e, dst: Random(1, size), b: Random(2, size), c: Random(3, size), piece: piece, args: make([]kernels.TriadArgs, e.Workers())}
}

func ceil(a, b int) int { return (a + b - 1) / b }

// Bytes is how much memory the arrays take.
func (t *Triad) Bytes() int { return 3 * 4 * len(t.dst) }

// Rate returns the GB/s of all workers at once, two arrays read and one written: the median of a few runs
// after one that leaves in the caches what fits there. A processor that reads what it is about to write
// moves a third more.
func (t *Triad) Rate() float64 {
	const runs, least = 5, 500 * time.Microsecond
	var rates []float64
	times := 1
	for len(rates) <= runs {
		start := time.Now()
		for range times {
			t.e.For(len(t.dst)/t.piece, engine.Scratch{}, t)
		}
		d := time.Since(start)
		if d < least {
			times *= 2
			continue
		}
		rates = append(rates, float64(t.Bytes())*float64(times)/float64(d.Nanoseconds()))
	}
	return Median(rates[1:])
}

// Tile does one piece.
func (t *Triad) Tile(w *engine.Worker, i int) {
	from, to := i*t.piece, (i+1)*t.piece
	a := &t.args[w.Index]
	*a = kernels.TriadArgs{Dst: t.dst[from:to], B: t.b[from:to], C: t.c[from:to], S: 0.5}
	w.Set.Triad(a)
}
