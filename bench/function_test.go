package bench

import (
	"math"
	"testing"
	"time"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/tensor"
)

// BenchmarkFunction is the kernel of each activation by itself, on values between −4 and 4 that stay in the
// first cache, and of GEGLU, which multiplies values by GELU of gates: ns/value, the least of all rounds.
// flop/value are the operations, multiply-adds in registers, that could be done in the time of one value, at
// the best of all rounds too: divided by those of a cycle, which are 64 on a core with two units of 512 bits
// and 32 with two of 256, these are cycles.
func BenchmarkFunction(b *testing.B) {
	for _, act := range kernels.Acts() {
		function(b, act.String(), act, false)
	}
	function(b, "geglu", kernels.GELU, true)
}

func function(b *testing.B, name string, act kernels.Act, gates bool) {
	const values = 2 << 10
	each(b, kerneltest.Name("op", name), 0, func(b *testing.B, e *engine.Engine) {
		if e.Workers() > 1 {
			b.Skip("the kernel is one worker's")
		}
		args := &kernels.ActivateArgs{Rows: 1, Cols: values, Act: act, Src: random(values), Dst: tensor.Aligned(values)}
		for i := range args.Src {
			args.Src[i] *= 4
		}
		if gates {
			args.Value = random(values)
		}
		// Rounds of some µs fit between one interruption and the next.
		const calls = 8
		flops := &kernels.PeakArgs{Iterations: 1000}
		value, flop := math.Inf(1), math.Inf(1)
		for b.Loop() {
			start := time.Now()
			for range calls {
				e.Set().Activate(args)
			}
			between := time.Now()
			e.Set().Peak(flops)
			value = min(value, float64(between.Sub(start).Nanoseconds())/(calls*values))
			flop = min(flop, float64(time.Since(between).Nanoseconds())/float64(flops.FLOP))
		}
		b.ReportMetric(value, "ns/value")
		b.ReportMetric(value/flop, "flop/value")
	})
}
