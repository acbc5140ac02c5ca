package blocks_test

import (
	"math"
	"testing"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// Against the formula in float64, at what float32 makes of the product of time and frequency.
func TestSinusoid(t *testing.T) {
	for _, c := range []struct {
		dim      int
		cosFirst bool
		shift    float64
	}{{320, true, 0}, {128, false, 1}, {7, true, 0}, {9, false, 0.5}, {2, true, 0}, {1, false, 1}} {
		s := blocks.NewSinusoid(c.dim, c.cosFirst, c.shift)
		for _, time := range []float64{0, 1, 20.5, 250.25, 981, 999} {
			got := make([]float32, c.dim)
			kerneltest.Fill(got)
			s.Embed(got, time)
			half := c.dim / 2
			want := make([]float64, c.dim)
			bound := make([]float64, c.dim)
			for i := range half {
				a := time * math.Pow(10000, -float64(i)/(float64(half)-c.shift))
				sin, cos := i, half+i
				if c.cosFirst {
					sin, cos = cos, sin
				}
				want[sin], want[cos] = math.Sin(a), math.Cos(a)
				// Of the exponent, up to 9.3, the frequency and the product: 12 roundings at most.
				bound[sin] = 0x1p-24 * (12*a + 1)
				bound[cos] = bound[sin]
			}
			kerneltest.Near(t, kerneltest.Name("dim", c.dim, "t", time), got, want, func(i int) float64 { return bound[i] })
		}
	}
}

// The same bits on every machine.
func TestSinusoidBits(t *testing.T) {
	got := make([]float32, 320)
	blocks.NewSinusoid(320, true, 0).Embed(got, 981)
	const want uint64 = 0xd7c9dde9ac4453c9 // taken on amd64
	hash := uint64(14695981039346656037)   // FNV-1a over the bits
	for _, v := range got {
		hash = (hash ^ uint64(math.Float32bits(v))) * 1099511628211
	}
	if hash != want {
		t.Errorf("hash %#x, want %#x", hash, want)
	}
}

func TestTimeEmbedding(t *testing.T) {
	for _, c := range []struct {
		name string
		o    blocks.TimeEmbeddingOptions
	}{
		{"plain", blocks.TimeEmbeddingOptions{Act: kernels.SiLU}},
		{"all options", blocks.TimeEmbeddingOptions{Act: kernels.GELU, Post: kernels.Mish, Hidden: 7, Cond: 5, NoBias: true}},
		{"cond", blocks.TimeEmbeddingOptions{Act: kernels.SiLU, Cond: 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inputs := []tensor.NHWC{image(1, 2, 1, 1, 6)}
			if c.o.Cond > 0 {
				inputs = append(inputs, image(2, 2, 1, 1, c.o.Cond))
			}
			judge(t, func(l *blocks.Loader) *blocks.TimeEmbedding { return l.TimeEmbedding("t", 6, 9, c.o) }, inputs,
				func(g *blocks.Graph, b *blocks.TimeEmbedding, in []tensor.NHWC) program.Value {
					x, y := input(g, "x", in[0]), g.Mat(in[0].N, 9)
					if len(in) > 1 {
						b.BuildCond(g, y, x, input(g, "cond", in[1]))
					} else {
						b.Build(g, y, x)
					}
					return y
				},
				func(w weights, in []picture) picture {
					x := in[0]
					if len(in) > 1 {
						x = x.plus(in[1].linear(w, "t.cond_proj"))
					}
					return x.linear(w, "t.linear_1").act(c.o.Act).linear(w, "t.linear_2").act(c.o.Post)
				})
		})
	}
}
