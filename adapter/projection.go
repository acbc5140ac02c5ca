package adapter

import (
	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
)

// normEps is that of every norm of image prompts: PyTorch's default for layer norms.
const normEps = 1e-5

// mlp makes tokens of a row by one layer or two, whose output is cut into tokens, and a norm of each:
//
//	tokens = norm(second(GELU(first(x))))
//
// A picture of several rows gets the tokens of all.
type mlp struct {
	first, second *blocks.Linear // second is nil where there is one layer
	norm          *blocks.LayerNorm
	each          int // tokens of a row
}

func (p *mlp) tokens(rows int) int { return rows * p.each }

func (p *mlp) build(g *blocks.Graph, dst, src, _ program.Value, _ float32) {
	rows := g.Mat(src.Rows(), p.each*dst.C)
	if p.second == nil {
		p.first.Build(g, rows, src, blocks.Fuse{})
	} else {
		hidden := g.Mat(src.Rows(), p.first.Out)
		p.first.Build(g, hidden, src, blocks.Fuse{Act: kernels.GELU})
		p.second.Build(g, rows, hidden, blocks.Fuse{})
	}
	g.Add(program.Op{Name: "tokens", Kind: "copy", Dst: dst, Src: []program.Value{rows}, Bind: func(m program.Memory) func() {
		d, s := m.Mat(dst), m.Mat(rows)
		return func() {
			for t := range d.Rows {
				from := t % p.each * d.Cols
				copy(d.Row(t), s.Row(t / p.each)[from:from+d.Cols])
			}
		}
	}})
	p.norm.Build(g, dst, dst)
}

// loadPlain loads "proj" and "norm".
func (p *ImagePrompt) loadPlain(l *blocks.Loader, s *sizes) {
	proj := s.of(projPrefix+"proj.weight", 2)
	p.Embedding = proj[1]
	p.Width = s.of(projPrefix+"norm.weight", 1)[0]
	p.projection = &mlp{
		first: l.Linear(projPrefix+"proj", proj[1], proj[0], true),
		norm:  l.LayerNorm(projPrefix+"norm", p.Width, normEps),
		each:  s.divide(projPrefix+"proj.weight", proj[0], p.Width),
	}
}

// loadFull loads "proj.0", "proj.2", and "proj.3", a norm.
func (p *ImagePrompt) loadFull(l *blocks.Loader, s *sizes) {
	p.loadMLP(l, s, "proj.3")
}

// loadFace loads "proj.0", "proj.2" and "norm".
func (p *ImagePrompt) loadFace(l *blocks.Loader, s *sizes) {
	p.loadMLP(l, s, "norm")
}

// loadMLP loads the kinds of two layers and a norm.
func (p *ImagePrompt) loadMLP(l *blocks.Loader, s *sizes, norm string) {
	first, second := s.of(projPrefix+"proj.0.weight", 2), s.of(projPrefix+"proj.2.weight", 2)
	p.Embedding = first[1]
	p.Width = s.of(projPrefix+norm+".weight", 1)[0]
	p.projection = newMLP(l, s, first, second, norm, p.Width)
}

// newMLP loads "proj.0", "proj.2" and a norm; first and second are their shapes.
func newMLP(l *blocks.Loader, s *sizes, first, second []int, norm string, width int) *mlp {
	return &mlp{
		first:  l.Linear(projPrefix+"proj.0", first[1], first[0], true),
		second: l.Linear(projPrefix+"proj.2", first[0], second[0], true),
		norm:   l.LayerNorm(projPrefix+norm, width, normEps),
		each:   s.divide(projPrefix+"proj.2.weight", second[0], width),
	}
}
