package blocks_test

import (
	"strings"
	"testing"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// pixelsNormed is the layer norm of every pixel, where there is one.
func pixelsNormed(w weights, p picture, name string, o *blocks.NormOptions) picture {
	if o == nil {
		return p
	}
	return p.layerNorm(w, name, o.Eps)
}

func TestDownsample(t *testing.T) {
	for _, c := range []struct {
		name string
		h, w int
		o    blocks.ResampleOptions
	}{
		{"below and right", 8, 6, blocks.ResampleOptions{}},
		{"below and right, odd", 7, 5, blocks.ResampleOptions{}},
		{"all around", 8, 6, blocks.ResampleOptions{Padding: 1}},
		{"all around, odd", 7, 5, blocks.ResampleOptions{Padding: 1, Out: 9}},
		{"without a bias", 5, 4, blocks.ResampleOptions{Padding: 1, NoBias: true}},
		{"kernel of 4", 6, 7, blocks.ResampleOptions{Padding: 1, Kernel: 4}},
		{"averages", 6, 4, blocks.ResampleOptions{NoConv: true}},
		{"averages, odd", 7, 5, blocks.ResampleOptions{NoConv: true}},
		{"normed", 7, 5, blocks.ResampleOptions{Norm: &blocks.NormOptions{Eps: 1e-6, Scale: true, Shift: true}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			judge(t, func(l *blocks.Loader) *blocks.Downsample { return l.Downsample("d", 6, c.o) },
				[]tensor.NHWC{image(1, 2, c.h, c.w, 6)},
				func(g *blocks.Graph, d *blocks.Downsample, in []tensor.NHWC) program.Value {
					x := input(g, "x", in[0])
					y := d.Image(g, x)
					if h, w := d.Size(x.H, x.W); h != y.H || w != y.W {
						t.Errorf("size %d×%d, image %d×%d", h, w, y.H, y.W)
					}
					d.Build(g, y, x)
					return y
				},
				func(w weights, in []picture) picture {
					k, p := max(c.o.Kernel, 3), c.o.Padding
					x := pixelsNormed(w, in[0], "d.norm", c.o.Norm)
					switch {
					case c.o.NoConv:
						return x.halved()
					case p == 0:
						return x.conv(w, "d.conv", k, 2, 0, 0, 1, 1)
					}
					return x.conv(w, "d.conv", k, 2, p, p, p, p)
				})
		})
	}
}

func TestUpsample(t *testing.T) {
	for _, c := range []struct {
		name string
		h, w int // of the output, 0 for twice the input's
		o    blocks.ResampleOptions
	}{
		{"twice", 0, 0, blocks.ResampleOptions{}},
		{"to a size", 9, 5, blocks.ResampleOptions{Out: 9}},
		{"kernel of 1", 0, 0, blocks.ResampleOptions{Kernel: 1, NoBias: true}},
		{"no convolution", 0, 0, blocks.ResampleOptions{NoConv: true}},
		{"no convolution, to a size", 7, 4, blocks.ResampleOptions{NoConv: true}},
		{"normed", 0, 0, blocks.ResampleOptions{Norm: &blocks.NormOptions{Eps: 1e-3}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			judge(t, func(l *blocks.Loader) *blocks.Upsample { return l.Upsample("u", 6, c.o) },
				[]tensor.NHWC{image(1, 2, 5, 3, 6)},
				func(g *blocks.Graph, u *blocks.Upsample, in []tensor.NHWC) program.Value {
					x := input(g, "x", in[0])
					y := u.Image(g, x)
					if c.h > 0 {
						y = g.Image(y.N, c.h, c.w, y.C)
					}
					u.Build(g, y, x)
					return y
				},
				func(w weights, in []picture) picture {
					x := pixelsNormed(w, in[0], "u.norm", c.o.Norm)
					large := x.nearest(10, 6)
					if c.h > 0 {
						large = x.nearest(c.h, c.w)
					}
					switch {
					case c.o.NoConv:
						return large
					case c.o.Kernel == 1:
						return large.conv(w, "u.conv", 1, 1, 0, 0, 0, 0)
					}
					return large.conv(w, "u.conv", 3, 1, 1, 1, 1, 1)
				})
		})
	}
}

func TestResampleErrors(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	l := blocks.NewLoader(e, checkpoint(t, nil), "test")
	l.Downsample("d", 4, blocks.ResampleOptions{NoConv: true, Out: 5})
	l.Upsample("u", 4, blocks.ResampleOptions{Out: 5})
	err := l.Err()
	for _, says := range []string{"test: d: 5 channels out of 4 without a convolution", "test: u.conv.weight: missing, want [5 4 3 3]"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
}
