package unet

import (
	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// build makes the session's program: the U-Net as a straight line.
func (s *Session) build() {
	m, g := s.model, &blocks.Graph{Engine: s.model.engine, Options: s.options}
	s.buildTime(g)

	// Every output of the way down is written to where the way up will read it.
	joints := s.joints(g)
	place := func(i int) program.Value { return joints[i].skip }
	h := s.buildDown(g, blocks.Fuse{}, place, func(i int, features program.Value) {
		s.buildSum(g, levelName(i), features, func(b *binding) [][]term { return b.levels[i] })
	})
	middle := joints[len(joints)-1].hidden
	s.buildMid(g, middle, h)
	// The middle has seen the skips as they were.
	s.buildSum(g, "mid_block.residual", middle, func(b *binding) [][]term { return b.mid })
	for i, j := range joints {
		s.buildSum(g, skipName(i), j.skip, func(b *binding) [][]term { return b.skips[i] })
	}

	at := len(joints)
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
	s.run.Plan(g)
}

// buildTime appends what depends on time: the projections that the residual blocks take their
// columns of.
func (s *session) buildTime(g *blocks.Graph) {
	c, b := &s.trunk.config, &s.trunk.embedding
	features := g.Mat(s.run.Batch, b.width)
	g.Add(program.Op{Name: "time_proj", Kind: "embedding", Dst: features, Bind: func(m program.Memory) func() {
		dst := m.Mat(features)
		return func() { s.embedTimes(dst) }
	}})
	whole := g.Mat(s.run.Batch, c.blockTimeDim())
	e := whole.Channels(0, c.TimeDim)
	if c.GuidanceDim > 0 {
		guidance := g.Mat(s.run.Batch, c.GuidanceDim)
		s.buildRows(g, "guidance", guidance, false, func(b *binding) [][]float32 { return b.guidance })
		b.time.BuildCond(g, e, features, guidance)
	} else {
		b.time.Build(g, e, features)
	}
	switch {
	case c.ClassConcat:
		s.buildRows(g, "class", whole.Channels(c.TimeDim, whole.C), false, func(b *binding) [][]float32 { return b.class })
	case c.ClassKind != NoClass:
		s.buildRows(g, "class", e, true, func(b *binding) [][]float32 { return b.class })
	}
	if c.PooledKind != NoPooled {
		s.buildRows(g, "pooled", e, true, func(b *binding) [][]float32 { return b.pooled })
	}
	if c.TimeAct != kernels.Identity {
		g.Activate("time_embed_act", whole, whole, c.TimeAct)
	}
	s.trunk.times.raw.Build(g, whole)
	g.Activate("nonlinearity", whole, whole, c.Act) // once for all residual blocks
	s.trunk.times.activated.Build(g, whole)
}

// embedTimes fills dst with the features of the session's times.
func (s *session) embedTimes(dst tensor.Mat) {
	for i, t := range s.run.Times {
		if i > 0 && t == s.run.Times[i-1] {
			copy(dst.Row(i), dst.Row(i-1))
			continue
		}
		s.trunk.embedding.features.Embed(dst.Row(i), t)
	}
}

// buildRows appends dst = rows, or with add dst += rows, where of says what a binding has for each
// image; nil is zeros.
func (s *session) buildRows(g *blocks.Graph, name string, dst program.Value, add bool, of func(*binding) [][]float32) {
	op := program.Op{Name: name, Kind: "embedding", Dst: dst, Bind: func(m program.Memory) func() {
		d := m.Mat(dst)
		return func() {
			for i, from := range of(s.bound) {
				row := d.Row(i)
				if !add {
					clear(row)
				}
				for c, v := range from {
					row[c] += v
				}
			}
		}
	}}
	if add {
		op.Src = []program.Value{dst}
	}
	g.Add(op)
}

// buildDown appends the way down from the session's input and returns its last output. f goes with the
// first convolution. place says where skip i is to be, which the way up will read; all before it are
// complete when it is called. level is called for the features of each level where an adapter would add
// its own.
func (s *session) buildDown(g *blocks.Graph, f blocks.Fuse, place func(i int) program.Value, level func(i int, features program.Value)) program.Value {
	t := s.trunk
	skips := 0
	skip := func() program.Value { skips++; return place(skips - 1) }
	x := g.Image(s.run.Batch, s.run.Height, s.run.Width, t.config.InChannels)
	g.Add(program.Op{Name: "input", Kind: "copy", Dst: x, Bind: func(m program.Memory) func() {
		dst := m.Image(x)
		return func() { s.readInput(dst) }
	}})
	h := skip()
	t.in.Build(g, h, x, f)
	for i, lv := range t.down {
		for _, layer := range lv.layers {
			h = layer.build(g, skip(), h)
		}
		// Blocks without cross-attention are given an adapter's features after they are done.
		early := t.config.Levels[i].Down.Attention.Crosses()
		if early {
			level(i, h)
		}
		if lv.down != nil {
			to := skip()
			lv.down.Build(g, to, h)
			h = to
		}
		if !early {
			level(i, h)
		}
	}
	return h
}

// buildMid appends dst = the middle block of src.
func (s *session) buildMid(g *blocks.Graph, dst, src program.Value) {
	mid := s.trunk.mid
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
	if l.attention == nil {
		l.resnet.Build(g, dst, src)
		return dst
	}
	h := g.Image(dst.N, dst.H, dst.W, l.resnet.Out)
	l.resnet.Build(g, h, src)
	l.attention.Build(g, dst, h)
	return dst
}

// joint is the input of a residual block on the way up: what comes from below and, in the channels
// to the right of it, what the way down left there.
type joint struct{ whole, hidden, skip program.Value }

// joints makes the joints in the order in which the way down fills them; the way up takes them in
// reverse.
func (s *Session) joints(g *blocks.Graph) []joint {
	levels := s.model.Config.Levels
	joints := make([]joint, len(s.shapes.skips))
	at := len(joints)
	hidden := levels[len(levels)-1].Channels
	for i := len(levels) - 1; i >= 0; i-- {
		for range levels[i].Layers + 1 {
			at--
			sk := s.shapes.skips[at]
			whole := g.Image(s.run.Batch, sk.H, sk.W, hidden+sk.C)
			joints[at] = joint{whole, whole.Channels(0, hidden), whole.Channels(hidden, whole.C)}
			hidden = levels[i].Channels
		}
	}
	return joints
}
