package dit

import (
	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// build makes the session's program: the transformer as a straight line.
func (s *Session) build() {
	m, g := s.model, &blocks.Graph{Engine: s.model.engine}

	x := g.Image(s.run.Batch, s.run.Height, s.run.Width, m.Config.InChannels)
	g.Add(program.Op{Name: "input", Kind: "copy", Dst: x, Bind: func(mem program.Memory) func() {
		dst := mem.Image(x)
		return func() { s.run.ReadInput(dst) }
	}})
	c := s.buildCondition(g)
	h := m.patches.Build(g, x)
	for _, b := range m.blocks {
		b.Build(g, h)
	}
	if m.lastZero != nil {
		m.lastZero.Build(g, h, h, c)
	} else {
		v := m.lastTable.Build(g, c)
		m.lastNorm.BuildAda(g, h, h, blocks.Modulation{Shift: v.Channels(0, h.C), Scale: v.Channels(h.C, 2*h.C)})
	}
	y := g.Image(h.N, h.H, h.W, m.out.Out)
	m.out.Build(g, y, h, blocks.Fuse{})
	g.Add(program.Op{Name: "output", Kind: "copy", Src: []program.Value{y}, Bind: func(mem program.Memory) func() {
		src := mem.Image(y)
		return func() { blocks.Unpatchify(s.run.Out, src, m.Config.Patch) }
	}})
	s.run.Plan(g)
}

// buildCondition appends what depends on time and vectors alone: the modulations of all blocks. It
// returns what the last norm depends on, a row for each image: of DiT with its SiLU, of PixArt without.
func (s *Session) buildCondition(g *blocks.Graph) (last program.Value) {
	m := s.model
	if m.single != nil {
		var v tensor.Mat
		if m.Config.Sizes {
			v = s.vectors
		}
		return m.single.Build(g, s.run.Times, v)
	}
	width := m.Config.Width()
	for i, condition := range m.conditions {
		c := condition.embedding.Build(g, s.run.Times, s.vectors.Columns(i*width, (i+1)*width))
		g.Activate("silu", c, c, kernels.SiLU)
		for _, p := range condition.blocks {
			p.Build(g, c)
		}
		if i == 0 {
			last = c // of the first block
		}
	}
	return last
}
