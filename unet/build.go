package unet

import (
	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
)

// build makes the session's program: the U-Net as a straight line.
func (s *Session) build() {
	m, g := s.model, &blocks.Graph{Engine: s.model.engine}
	s.buildTime(g)

	x := g.Image(s.batch, s.height, s.width, m.Config.InChannels)
	g.Add(program.Op{Name: "input", Kind: "copy", Dst: x, Bind: func(mem program.Memory) func() {
		dst := mem.Image(x)
		return func() { s.readInput(dst) }
	}})

	// Every output of the way down is written to where the way up will read it.
	joints := s.joints(g)
	at := 0
	skip := func() program.Value { at++; return joints[at-1].skip }
	h := skip()
	m.in.Build(g, h, x, blocks.Fuse{})
	for _, level := range m.down {
		for _, layer := range level.layers {
			h = layer.build(g, skip(), h)
		}
		if level.down != nil {
			to := skip()
			level.down.Build(g, to, h)
			h = to
		}
	}

	s.buildMid(g, joints[len(joints)-1].hidden, h)

	for i := len(m.up) - 1; i >= 0; i-- {
		level := &m.up[i]
		for j, layer := range level.layers {
			at--
			in := joints[at].whole
			var out program.Value
			if j+1 < len(level.layers) {
				out = joints[at-1].hidden
			} else {
				out = g.Image(in.N, in.H, in.W, layer.resnet.Out)
			}
			h = layer.build(g, out, in)
		}
		if level.up != nil {
			level.up.Build(g, joints[at-1].hidden, h)
		}
	}

	m.outNorm.Build(g, h, h)
	y := m.out.Image(g, h)
	m.out.Build(g, y, h, blocks.Fuse{})
	g.Add(program.Op{Name: "output", Kind: "copy", Src: []program.Value{y}, Bind: func(mem program.Memory) func() {
		src := mem.Image(y)
		return func() { s.writeOutput(src) }
	}})
	s.program, s.prompts = g.Build(), g.Prompts
}

// buildTime appends what depends on time and class alone: the projections that the residual blocks
// take their columns of.
func (s *Session) buildTime(g *blocks.Graph) {
	m := s.model
	sinusoid := g.Mat(s.batch, m.sinusoid.Dim)
	m.sinusoid.Build(g, "time_proj", sinusoid, s.times)
	embedding := g.Mat(s.batch, m.Config.TimeDim)
	m.time.Build(g, embedding, sinusoid)
	if m.classes != nil {
		m.classes.Build(g, embedding, s.labels)
	}
	if m.Config.TimeAct != kernels.Identity {
		g.Activate("time_embed_act", embedding, embedding, m.Config.TimeAct)
	}
	g.Activate("nonlinearity", embedding, embedding, m.Config.Act) // once for all residual blocks
	m.projections.Build(g, embedding)
}

// buildMid appends dst = the mid block of src.
func (s *Session) buildMid(g *blocks.Graph, dst, src program.Value) {
	mid := s.model.mid
	if len(mid) == 0 {
		g.Activate("mid_block", dst, src, kernels.Identity)
		return
	}
	for i, layer := range mid {
		to := dst
		if i+1 < len(mid) {
			to = g.Image(dst.N, dst.H, dst.W, dst.C)
		}
		src = layer.build(g, to, src)
	}
}

// build appends dst = the layer of src, and returns dst.
func (l layer) build(g *blocks.Graph, dst, src program.Value) program.Value {
	if l.transformer == nil {
		l.resnet.Build(g, dst, src)
		return dst
	}
	h := g.Image(dst.N, dst.H, dst.W, l.resnet.Out)
	l.resnet.Build(g, h, src)
	l.transformer.Build(g, dst, h)
	return dst
}

// joint is the input of a residual block on the way up: what comes from below and, in the channels
// to the right of it, what the way down left there.
type joint struct{ whole, hidden, skip program.Value }

// joints makes the joints in the order in which the way down fills them; the way up takes them in
// reverse.
func (s *Session) joints(g *blocks.Graph) []joint {
	c := &s.model.Config
	type skip struct{ h, w, channels int }
	var skips []skip
	h, w := s.height, s.width
	skips = append(skips, skip{h, w, c.Levels[0].Channels})
	for i, lv := range c.Levels {
		for range lv.Layers {
			skips = append(skips, skip{h, w, lv.Channels})
		}
		if down := s.model.down[i].down; down != nil {
			h, w = down.Size(h, w)
			skips = append(skips, skip{h, w, lv.Channels})
		}
	}

	joints := make([]joint, len(skips))
	at := len(skips)
	hidden := c.Levels[len(c.Levels)-1].Channels
	for i := len(c.Levels) - 1; i >= 0; i-- {
		for range c.Levels[i].Layers + 1 {
			at--
			sk := skips[at]
			whole := g.Image(s.batch, sk.h, sk.w, hidden+sk.channels)
			joints[at] = joint{whole, whole.Channels(0, hidden), whole.Channels(hidden, whole.C)}
			hidden = c.Levels[i].Channels
		}
	}
	return joints
}
