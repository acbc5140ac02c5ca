package kernels_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

// guarded returns a copy of s that ends where readable memory ends.
func guarded(t testing.TB, s []float32) []float32 {
	g := kerneltest.Guard(t, len(s))
	copy(g, s)
	return g
}

// eachWidth runs f for every width of panels that every Set takes.
func eachWidth(t *testing.T, f func(t *testing.T, set *kernels.Set, lanes int)) {
	kerneltest.Each(t, func(t *testing.T, set *kernels.Set) {
		for lanes := set.GEMM.Lanes; lanes <= set.Queries; lanes += set.GEMM.Lanes {
			t.Run(kerneltest.Name("lanes", lanes), func(t *testing.T) { f(t, set, lanes) })
		}
	})
}

// scores are a value for every key and lane: normal ones, spread out so that a few win, or rising so
// that every block has a new maximum. A value is a function of key and lane alone.
func scores(seed uint64, keys, lanes int, spread, slope float32) []float32 {
	return query(seed, keys, lanes, 0, spread, slope)
}

// query is scores for lanes that begin at a query.
func query(seed uint64, keys, lanes, first int, spread, slope float32) []float32 {
	s := make([]float32, 0, keys*lanes)
	for k := range keys {
		for _, v := range kerneltest.Random(seed+uint64(k), first+lanes)[first:] {
			s = append(s, spread*v+slope*float32(k))
		}
	}
	return s
}

// sameQueries calls f for queries from first on in so many lanes, on every Set of assembly, and fails
// the test unless each query gets the same bits in every width of panel, in every lane and on every Set.
// f returns panels of results, one behind the other.
func sameQueries(t *testing.T, f func(t *testing.T, set *kernels.Set, first, lanes int) []float32) {
	t.Helper()
	known := make(map[int][]float32) // results by query
	for _, set := range kernels.Available() {
		if set.ISA == kernels.Generic {
			continue
		}
		for lanes := set.GEMM.Lanes; lanes <= set.Queries; lanes += set.GEMM.Lanes {
			for _, first := range []int{0, 1, 13} {
				columns := make([][]float32, lanes)
				for i, v := range f(t, set, first, lanes) {
					columns[i%lanes] = append(columns[i%lanes], v)
				}
				for q, got := range columns {
					if known[first+q] == nil {
						known[first+q] = got
					}
					kerneltest.Same(t, fmt.Sprintf("%v, query %d in lane %d of %d", set.ISA, first+q, q, lanes), got, known[first+q])
				}
			}
		}
	}
}

func FuzzAttentionKernels(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(40), uint8(77), uint8(1), uint8(0))
	f.Add(uint64(2), uint8(60), uint8(64), uint8(20), uint8(0), uint8(7))
	f.Fuzz(func(t *testing.T, seed uint64, rows, cols, keys, slack, flags uint8) {
		r := rand.New(rand.NewPCG(seed, 0))
		for _, set := range kernels.Available() {
			rows, cols, keys := 1+int(rows)%set.Queries, 1+int(cols), 1+int(keys)
			lanes := max(set.GEMM.Width(rows), set.GEMM.Width(1+r.IntN(set.Queries)))
			checkToLanes(t, set, kernels.ToLanesArgs{Rows: rows, Cols: cols, Lanes: lanes, Scale: 0.7,
				SrcStride: cols + int(slack), DstStride: lanes + r.IntN(9)}, seed)
			checkFromLanes(t, set, kernels.FromLanesArgs{Rows: rows, Cols: cols, Lanes: lanes, DstStride: cols + int(slack)}, seed)
			checkScore(t, set, kernels.ScoreArgs{Keys: keys, Cols: cols, Lanes: lanes, KStride: cols + int(slack)}, flags&2 != 0, flags&4 != 0, 0, seed)
			checkWeigh(t, set, kernels.WeighArgs{Rows: cols, Keys: keys, Lanes: lanes, VStride: cols + int(slack)}, flags&1 != 0, 0, seed)
			spread := float32(math.Exp(8 * r.Float64()))
			softmaxCase{[][]float32{scores(seed, keys, lanes, spread, 0), scores(seed+1, rows, lanes, spread, 1)}, lanes}.check(t, set)
		}
	})
}
