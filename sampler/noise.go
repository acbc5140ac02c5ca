package sampler

import (
	"math"

	"github.com/lanewise/lanewise/internal/portable"
	"github.com/lanewise/lanewise/tensor"
)

// Noise fills x with standard normal values, the same for a seed on every machine: those of
//
//	torch.manual_seed(seed); torch.randn(x.N, x.C, x.H, x.W)
//
// on a CPU. Values are drawn in that order, all of an image's first channel before its second, and
// written where x keeps them.
func Noise(x tensor.NHWC, seed uint64) { NewGenerator(seed).Noise(x) }

// A Generator is a stream of normal values: PyTorch's CPU generator. Its zero value is not of use.
// It must not be used by several goroutines at once.
type Generator struct {
	bits   mt19937
	spare  float64 // the second of a pair that a short Normal drew, if paired
	paired bool
	planes []float32 // Noise's values in the order drawn
}

// NewGenerator returns a generator in the state of torch.Generator().manual_seed(seed). As there,
// only the low 32 bits of the seed count.
func NewGenerator(seed uint64) *Generator {
	g := new(Generator)
	g.bits.seed(seed)
	return g
}

// Normal fills dst with standard normal values, as torch.randn(len(dst), generator=g) would:
// successive calls continue the stream, and how it is cut into calls matters.
//
// From 16 values on they are float32 throughout, and equal PyTorch's (its AVX2 code's, that is
// what it runs on x86) bit for bit: uniform values first, then [Box–Muller] in blocks of 16; a
// ragged end is made of the last 16 places, drawn anew. Fewer than 16 are drawn in float64, in
// pairs, of which the second waits for the next such call.
//
// [Box–Muller]: https://en.wikipedia.org/wiki/Box–Muller_transform
func (g *Generator) Normal(dst []float32) {
	if len(dst) < 16 {
		for i := range dst {
			dst[i] = float32(g.normal())
		}
		return
	}
	g.uniform(dst)
	for v := dst; len(v) >= 16; v = v[16:] {
		boxMuller(v[:16])
	}
	if len(dst)%16 != 0 {
		end := dst[len(dst)-16:]
		g.uniform(end)
		boxMuller(end)
	}
}

// Noise fills x with the values of one Normal over all of it, in the order of PyTorch's layout:
// image, channel, row, column.
func (g *Generator) Noise(x tensor.NHWC) {
	x.Check("sampler: noise")
	n := x.N * x.C * x.H * x.W
	if cap(g.planes) < n {
		g.planes = make([]float32, n)
	}
	g.Normal(g.planes[:n])
	tensor.FromNCHW(x, g.planes[:n])
}

// uniform fills dst with values of [0, 1).
func (g *Generator) uniform(dst []float32) {
	for i := range dst {
		dst[i] = g.bits.float32()
	}
}

// normal returns one value, of a pair by Box and Muller in float64.
func (g *Generator) normal() float64 {
	if g.paired {
		g.paired = false
		return g.spare
	}
	theta := float64(2 * math.Pi * g.bits.float64())
	r := math.Sqrt(-2 * portable.Log(1-g.bits.float64()))
	g.spare, g.paired = r*portable.Sin(theta), true
	return r * portable.Cos(theta)
}
