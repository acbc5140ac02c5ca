package unet

import (
	"fmt"
	"slices"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/denoiser"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// term is what is added to one image of a U-Net's features: scale times image, which may be a single
// pixel for all.
type term struct {
	image tensor.NHWC
	scale float32
}

// Names of ops that add residuals.
func skipName(i int) string  { return fmt.Sprintf("skip.%d.residual", i) }
func levelName(i int) string { return fmt.Sprintf("level.%d.residual", i) }

// bindResiduals sorts what conditions add by where they add it.
func (s *session) bindResiduals(b *binding, conds []cond.Cond) {
	images := s.run.Batch / len(conds)
	collect := func(part func(r *cond.Residual) tensor.NHWC) [][]term {
		terms := make([][]term, s.run.Batch)
		for i := range terms {
			residuals := conds[i/images].Residual
			for k := range residuals {
				r := &residuals[k]
				scale := r.Scale
				if scale == 0 {
					scale = 1
				}
				if t := part(r); t.Data != nil {
					terms[i] = append(terms[i], term{denoiser.Image(t, i%images), scale})
				}
			}
		}
		return terms
	}
	for i := range s.shapes.skips {
		b.skips = append(b.skips, collect(func(r *cond.Residual) tensor.NHWC { return nth(r.Skips, i) }))
	}
	for i := range s.shapes.levels {
		b.levels = append(b.levels, collect(func(r *cond.Residual) tensor.NHWC { return nth(r.Levels, i) }))
	}
	// What an adapter has below the last level, it adds to the middle: before a ControlNet does.
	b.mid = collect(func(r *cond.Residual) tensor.NHWC { return nth(r.Levels, len(s.shapes.levels)) })
	for i, terms := range collect(func(r *cond.Residual) tensor.NHWC { return r.Mid }) {
		b.mid[i] = append(b.mid[i], terms...)
	}
}

// nth returns element i of a list, or nothing where it is shorter.
func nth(list []tensor.NHWC, i int) tensor.NHWC {
	if i >= len(list) {
		return tensor.NHWC{}
	}
	return list[i]
}

// buildSum appends dst += the terms that of says a binding has for each image.
func (s *session) buildSum(g *blocks.Graph, name string, dst program.Value, of func(*binding) [][]term) {
	g.Add(program.Op{
		Name: name, Kind: "residual", Dst: dst, Src: []program.Value{dst},
		Cost: func() (c program.Cost) {
			// For images without terms, what is read and written does not count.
			perImage := 4 * float64(dst.Rows()/dst.N*dst.C)
			for _, terms := range of(s.bound) {
				c.FLOP += 2 * perImage / 4 * float64(len(terms))
				c.Bytes += perImage * float64(len(terms))
				if len(terms) == 0 {
					c.Bytes -= 2 * perImage
				}
			}
			return c
		},
		Bind: func(m program.Memory) func() {
			sum := &sum{dst: m.Image(dst)}
			return func() {
				sum.terms = of(s.bound)
				if slices.ContainsFunc(sum.terms, func(t []term) bool { return len(t) > 0 }) {
					g.Engine.For(dst.N*dst.H, engine.Scratch{}, sum)
				}
				sum.terms = nil
			}
		},
	})
}

// sum is a job that adds terms to images, a row of pixels in each tile.
type sum struct {
	dst   tensor.NHWC
	terms [][]term // for each image
}

// Tile adds to one row of pixels.
func (s *sum) Tile(_ *engine.Worker, tile int) {
	n, y := tile/s.dst.H, tile%s.dst.H
	for _, t := range s.terms[n] {
		for x := range s.dst.W {
			from := t.image.Pixel(0, min(y, t.image.H-1), min(x, t.image.W-1))
			to := s.dst.Pixel(n, y, x)[:len(from)]
			for c, v := range from {
				to[c] += float32(t.scale * v)
			}
		}
	}
}
