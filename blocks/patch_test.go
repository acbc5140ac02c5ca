package blocks_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// places is the formula for rows × columns patches: column first, sines before cosines, places as those of
// base × base patches.
func places(rows, columns, width, base int, interpolation float64) picture {
	p := picture{rows, columns, width, make([]float64, rows*columns*width)}
	return p.each(func(i int, _ float64) float64 {
		c, x, y := i%width, i/width%columns, i/width/columns
		at := float64(x) / (float64(columns) / float64(base)) / interpolation
		if c >= width/2 {
			at = float64(y) / (float64(rows) / float64(base)) / interpolation
		}
		quarter := width / 4
		a := at * math.Pow(10000, -float64(c%quarter)/float64(quarter))
		if c%(width/2) < quarter {
			return math.Sin(a)
		}
		return math.Cos(a)
	})
}

func TestPositions(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	for _, c := range []struct {
		height, width, size   int // configured
		interpolation         float64
		rows, columns, tokens int
	}{
		{8, 8, 2, 0, 4, 4, 20}, {8, 8, 2, 2, 4, 4, 20}, {8, 8, 2, 1, 8, 3, 40}, {32, 32, 4, 1.5, 1, 1, 8},
		{128, 128, 2, 2, 64, 64, 4}, {12, 12, 3, 1, 3, 17, 12},
	} {
		p, _ := load(t, e, func(l *blocks.Loader) *blocks.PatchEmbed {
			return l.PatchEmbed("p", 3, c.tokens, blocks.PatchEmbedOptions{Height: c.height, Width: c.width, Size: c.size, Interpolation: c.interpolation})
		})
		interpolation := c.interpolation
		if interpolation == 0 {
			interpolation = 1
		}
		want := places(c.rows, c.columns, c.tokens, c.height/c.size, interpolation)
		base := float64(c.height / c.size)
		// A place has three roundings, and is an argument below base; the function has one more.
		kerneltest.Near(t, fmt.Sprintf("%+v", c), p.Positions(c.rows, c.columns).Data, want.v, func(int) float64 { return (3*base + 2) * kerneltest.Half })
	}
}

// The positions of a configured size that is no square are those of a square of as many patches.
func TestPositionsOfConfiguredSize(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	p, _ := load(t, e, func(l *blocks.Loader) *blocks.PatchEmbed {
		return l.PatchEmbed("p", 3, 8, blocks.PatchEmbedOptions{Height: 4, Width: 16, Size: 2})
	})
	want := places(4, 4, 8, 2, 1)
	kerneltest.Near(t, "2 × 8 as 4 × 4", p.Positions(2, 8).Data, want.v, func(int) float64 { return 8 * kerneltest.Half })
	p, _ = load(t, e, func(l *blocks.Loader) *blocks.PatchEmbed {
		return l.PatchEmbed("p", 3, 8, blocks.PatchEmbedOptions{Height: 4, Width: 6, Size: 2})
	})
	if err := p.Check(4, 6); err == nil || !strings.Contains(err.Error(), "positions of a square") {
		t.Error(err)
	}
	if err := p.Check(4, 8); err != nil {
		t.Error(err)
	}
}

func TestPatchEmbed(t *testing.T) {
	const in, width = 3, 8
	for name, o := range map[string]blocks.PatchEmbedOptions{
		"plain":        {Height: 6, Width: 6, Size: 2},
		"other size":   {Height: 32, Width: 32, Size: 2, Interpolation: 2, NoBias: true},
		"pixels":       {Height: 6, Width: 6, Size: 1},
		"norm":         {Height: 8, Width: 8, Size: 3, Norm: true},
		"no positions": {Height: 8, Width: 8, Size: 2, NoPositions: true},
		"from a table": {Height: 8, Width: 8, Size: 2, MaxSize: 6},
		"norm, table":  {Height: 8, Width: 8, Size: 2, MaxSize: 5, Norm: true},
	} {
		t.Run(name, func(t *testing.T) {
			judge(t, func(l *blocks.Loader) *blocks.PatchEmbed { return l.PatchEmbed("p", in, width, o) },
				[]tensor.NHWC{image(1, 2, 6, 9, in)},
				func(g *blocks.Graph, p *blocks.PatchEmbed, in []tensor.NHWC) program.Value {
					x := input(g, "x", in[0])
					if err := p.Check(x.H, x.W); err != nil {
						t.Fatal(err)
					}
					return p.Build(g, x)
				},
				func(w weights, in []picture) picture {
					y := in[0].conv(w, "p.proj", o.Size, o.Size, 0, 0, 0, 0)
					if o.Norm {
						y = y.layerNorm(nil, "", 1e-6)
					}
					switch {
					case o.NoPositions:
						return y
					case o.MaxSize > 0:
						n, top, left := o.MaxSize, (o.MaxSize-y.h)/2, (o.MaxSize-y.w)/2
						return y.each(func(i int, v float64) float64 {
							c, x, row := i%y.c, i/y.c%y.w, i/y.c/y.w
							return v + w["p.pos_embed"][((row+top)*n+x+left)*y.c+c]
						})
					}
					interpolation := o.Interpolation
					if interpolation == 0 {
						interpolation = 1
					}
					return y.plus(places(y.h, y.w, y.c, o.Height/o.Size, interpolation))
				})
		})
	}
}

func TestPatchEmbedTooLarge(t *testing.T) {
	e := kerneltest.Engine(t, kernels.Available()[0], 1)
	p, _ := load(t, e, func(l *blocks.Loader) *blocks.PatchEmbed {
		return l.PatchEmbed("p", 3, 8, blocks.PatchEmbedOptions{Height: 8, Width: 8, Size: 2, MaxSize: 5})
	})
	if err := p.Check(10, 10); err != nil {
		t.Error(err)
	}
	if err := p.Check(12, 10); err == nil || !strings.Contains(err.Error(), "6 × 5 patches, want at most 5 × 5") {
		t.Error(err)
	}
	panics(t, "want at most 5 × 5", func() {
		run(t, e, func(g *blocks.Graph) program.Value { return p.Build(g, input(g, "x", image(1, 1, 12, 10, 3))) })
	})
}

func TestUnpatchify(t *testing.T) {
	const rows, columns, size, channels = 2, 3, 2, 5
	tokens := tensor.Make(2, rows, columns, size*size*channels)
	for n := range tokens.N {
		for y := range rows * size {
			for x := range columns * size {
				for c := range channels {
					at := (y%size*size+x%size)*channels + c
					tokens.Pixel(n, y/size, x/size)[at] = float32(((n*100+y)*100+x)*10 + c)
				}
			}
		}
	}
	wide := tensor.Make(2, rows*size, columns*size, channels+2)
	kerneltest.Fill(wide.Data)
	dst := wide.Channels(1, 1+channels)
	blocks.Unpatchify(dst, tokens, size)
	for n := range dst.N {
		for y := range dst.H {
			for x := range dst.W {
				for c, v := range dst.Pixel(n, y, x) {
					if v != float32(((n*100+y)*100+x)*10+c) {
						t.Fatalf("channel %d of pixel %d, %d of image %d is %v", c, y, x, n, v)
					}
				}
				if p := wide.Pixel(n, y, x); !kerneltest.Untouched(p[0]) || !kerneltest.Untouched(p[channels+1]) {
					t.Fatal("a neighbour was written")
				}
			}
		}
	}
	panics(t, "in patches of 3", func() { blocks.Unpatchify(dst, tokens, 3) })
}
