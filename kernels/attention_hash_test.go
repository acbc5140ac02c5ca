package kernels_test

import (
	"fmt"
	"hash/fnv"
	"math"
	"testing"

	"github.com/lanewise/lanewise/kernels"
)

// attentionHashes are those of what attention's kernels compute one after the other, on every Set of
// assembly and every machine.
var attentionHashes = map[string]string{
	"score":   "14022502fe935533",
	"softmax": "6174b2da4135b605",
	"weigh":   "b36ecc91b10914ce",
	"rows":    "3b67048005155bb6",
}

// A block of keys and half a block pass by 48 queries, in panels as wide as the Set takes: what comes out
// of each kernel goes into the next.
func TestAttentionHashes(t *testing.T) {
	const queries, size, block, keys = 48, 40, 96, 144
	eachAssembly(t, func(t *testing.T, set *kernels.Set) {
		var (
			q, k, v    = portable(1, queries*size), portable(2, keys*size), portable(3, keys*size)
			bias, mask = portable(4, keys), portable(5, keys*queries)
			rows       = make([]float32, queries*size)
			results    = make(map[string][][]float32) // of every query
		)
		for name := range attentionHashes {
			results[name] = make([][]float32, queries)
		}
		for i, m := range mask {
			mask[i] = 1 / (m - 0.5) // a few are large
		}
		for first := 0; first < queries; first += set.Queries {
			w := min(set.Queries, queries-first)
			lanes, o, s, added := make([]float32, size*w), make([]float32, size*w), make([]float32, block*w), make([]float32, block*w)
			top, sum, alpha := make([]float32, w), make([]float32, w), make([]float32, w)
			for i := range top {
				top[i] = -math.MaxFloat32
			}
			keep := func(name string, panel []float32) {
				for i, v := range panel {
					results[name][first+i%w] = append(results[name][first+i%w], v)
				}
			}
			set.ToLanes(&kernels.ToLanesArgs{Rows: w, Cols: size, Lanes: w, Src: q[first*size:], SrcStride: size, Scale: 20, Dst: lanes, DstStride: w})
			for k0 := 0; k0 < keys; k0 += block {
				n := min(block, keys-k0)
				for i := range n * w {
					added[i] = mask[(k0+i/w)*queries+first+i%w]
				}
				set.Score(&kernels.ScoreArgs{Keys: n, Cols: size, Lanes: w, K: k[k0*size:], KStride: size, Q: lanes, Bias: bias[k0:], Mask: added, S: s})
				keep("score", s[:n*w])
				set.Softmax(&kernels.SoftmaxArgs{Keys: n, Lanes: w, S: s, Max: top, Sum: sum, Alpha: alpha})
				keep("softmax", s[:n*w])
				keep("softmax", sum)
				weigh := kernels.WeighArgs{Rows: size, Keys: n, Lanes: w, V: v[k0*size:], VStride: size, P: s, O: o, Alpha: alpha}
				if k0 == 0 {
					weigh.Alpha = nil
				}
				set.Weigh(&weigh)
				keep("weigh", o)
			}
			set.FromLanes(&kernels.FromLanesArgs{Rows: w, Cols: size, Lanes: w, Src: o, Scale: sum, Dst: rows[first*size:], DstStride: size})
		}
		for i, v := range rows {
			results["rows"][i/size] = append(results["rows"][i/size], v)
		}
		for name, want := range attentionHashes {
			h := fnv.New64a()
			for _, query := range results[name] {
				h.Write(portableBits(query))
			}
			if got := fmt.Sprintf("%016x", h.Sum64()); got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
	})
}
