package adapter

import (
	"fmt"

	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// resampler turns any number of states into a fixed number of tokens, which attend to them and to each
// other (Alayrac et al. 2022, "Flamingo", the perceiver resampler): with x = proj_in(states),
// every layer does
//
//	h = h + out(attention(q(norm2(h)), kv([norm1(x) | norm2(h)])))
//	h = h + fc2(GELU(fc1(norm(h))))
//
// and tokens = norm_out(proj_out(h)).
type resampler struct {
	width  int // of h
	in     *blocks.Linear
	layers []resamplerLayer
	out    *blocks.Linear
	norm   *blocks.LayerNorm
}

// resamplerLayer is one layer of a resampler.
type resamplerLayer struct {
	name         string
	heads        int
	norm1, norm2 *blocks.LayerNorm
	q, kv, out   *blocks.Linear
	norm3        *blocks.LayerNorm
	fc1, fc2     *blocks.Linear
}

// headSize is that of all resamplers: files have no place for it.
const headSize = 64

// resamplerNames are the names of a layer's modules.
type resamplerNames struct{ norm1, norm2, attention, norm3, fc1, fc2 string }

// Files have the names of the authors' code, or those of diffusers.
var (
	authorsNames   = resamplerNames{"0.norm1", "0.norm2", "0", "1.0", "1.1", "1.3"}
	diffusersNames = resamplerNames{"ln0", "ln1", "attn", "ff.0", "ff.1.net.0.proj", "ff.1.net.2"}
)

// loadResampler loads "proj_in", "layers.<n>", "proj_out" and "norm_out" of a module whose name ends in
// a dot, and returns the width of the tokens and of the states too.
func loadResampler(l *blocks.Loader, s *sizes, module string) (r *resampler, tokens, states int) {
	in, out := s.of(module+"proj_in.weight", 2), s.of(module+"proj_out.weight", 2)
	r = &resampler{
		width: in[0],
		in:    l.Linear(module+"proj_in", in[1], in[0], true),
		out:   l.Linear(module+"proj_out", in[0], out[0], true),
		norm:  l.LayerNorm(module+"norm_out", out[0], normEps),
	}
	for i := 0; ; i++ {
		name := fmt.Sprintf("%slayers.%d.", module, i)
		if i > 0 && !s.hasAny(name) {
			return r, out[0], in[1]
		}
		names := authorsNames
		if s.has(name + diffusersNames.attention + ".to_q.weight") {
			names = diffusersNames
		}
		r.layers = append(r.layers, loadResamplerLayer(l, s, name, names, r.width))
	}
}

// loadResamplerLayer loads a layer of "to_q", "to_kv" (or "to_k" and "to_v") and "to_out", none with a
// bias, a network of two layers without biases, and their norms.
func loadResamplerLayer(l *blocks.Loader, s *sizes, name string, n resamplerNames, width int) resamplerLayer {
	attn := name + n.attention
	inner := s.of(attn+".to_q.weight", 2)[0]
	hidden := s.of(name+n.fc1+".weight", 2)[0]
	layer := resamplerLayer{
		name:  attn,
		heads: s.divide(attn+".to_q.weight", inner, headSize),
		norm1: l.LayerNorm(name+n.norm1, width, normEps),
		norm2: l.LayerNorm(name+n.norm2, width, normEps),
		q:     l.Linear(attn+".to_q", width, inner, false),
		norm3: l.LayerNorm(name+n.norm3, width, normEps),
		fc1:   l.Linear(name+n.fc1, width, hidden, false),
		fc2:   l.Linear(name+n.fc2, hidden, width, false),
	}
	if s.has(attn + ".to_k.weight") {
		layer.kv = l.Stack(attn+".to_kv", width, false, blocks.Part{Name: attn + ".to_k", Out: inner}, blocks.Part{Name: attn + ".to_v", Out: inner})
	} else {
		layer.kv = l.Linear(attn+".to_kv", width, 2*inner, false)
	}
	out := attn + ".to_out"
	if s.has(out + ".0.weight") {
		out += ".0"
	}
	layer.out = l.Linear(out, inner, width, false)
	return layer
}

// build appends dst = the tokens of states, starting from h, which it overwrites.
func (r *resampler) build(g *blocks.Graph, dst, states, h program.Value) {
	x := g.Mat(states.Rows(), r.width)
	r.in.Build(g, x, states, blocks.Fuse{})
	for i := range r.layers {
		r.layers[i].build(g, h, x)
	}
	r.out.Build(g, dst, h, blocks.Fuse{})
	r.norm.Build(g, dst, dst)
}

// build appends the layer, from h to h, over the states x.
func (l *resamplerLayer) build(g *blocks.Graph, h, x program.Value) {
	seen, own := g.Mat(x.Rows(), x.C), g.Mat(h.Rows(), h.C)
	l.norm1.Build(g, seen, x)
	l.norm2.Build(g, own, h)
	q := g.Mat(h.Rows(), l.q.Out)
	l.q.Build(g, q, own, blocks.Fuse{})
	all := g.Mat(x.Rows()+h.Rows(), x.C)
	g.Add(program.Op{Name: l.name, Kind: "copy", Dst: all, Src: []program.Value{seen, own}, Bind: func(m program.Memory) func() {
		d, first, second := m.Mat(all), m.Mat(seen), m.Mat(own)
		return func() {
			copyRows(d, first)
			copyRows(d.Slice(first.Rows, d.Rows), second)
		}
	}})
	kv := g.Mat(all.Rows(), l.kv.Out)
	l.kv.Build(g, kv, all, blocks.Fuse{})
	g.Add(program.Op{Name: l.name, Kind: "attention", Dst: q, Src: []program.Value{q, kv}, Bind: func(m program.Memory) func() {
		q, kv := m.Mat(q), m.Mat(kv)
		context := []attention.KV{{K: kv.Columns(0, q.Cols), V: kv.Columns(q.Cols, 2*q.Cols)}}
		return func() { attention.Attend(g.Engine, q, q, context, attention.Shape{Batch: 1, Heads: l.heads}) }
	}})
	l.out.Build(g, h, q, blocks.Fuse{Add: h})
	l.norm3.Build(g, own, h)
	wide := g.Mat(h.Rows(), l.fc1.Out)
	l.fc1.Build(g, wide, own, blocks.Fuse{Act: kernels.GELU})
	l.fc2.Build(g, h, wide, blocks.Fuse{Add: h})
}

// learnedResampler starts from tokens that it has learned.
type learnedResampler struct {
	resampler
	latents tensor.Mat
}

func (r *learnedResampler) tokens(int) int { return r.latents.Rows }

func (r *learnedResampler) build(g *blocks.Graph, dst, states, _ program.Value, _ float32) {
	r.resampler.build(g, dst, states, input(g, "latents", r.latents))
}

// loadPlus loads "latents" and a resampler.
func (p *ImagePrompt) loadPlus(l *blocks.Loader, s *sizes) {
	r := new(learnedResampler)
	latents := s.of(projPrefix+"latents", 3) // 1 × tokens × width
	loaded, tokens, states := loadResampler(l, s, projPrefix)
	r.resampler = *loaded
	r.latents = tensor.Mat{Rows: latents[1], Cols: r.width, Stride: r.width, Data: l.Tensor(projPrefix+"latents", 1, latents[1], r.width)}
	p.Width, p.Embedding, p.projection = tokens, states, r
}

// faceResampler starts from tokens that a network made of a face's embedding.
type faceResampler struct {
	resampler
	face mlp
}

func (r *faceResampler) tokens(int) int { return r.face.each }

func (r *faceResampler) build(g *blocks.Graph, dst, states, identity program.Value, shortcut float32) {
	h := g.Mat(r.face.each, r.width)
	r.face.build(g, h, identity, program.Value{}, 0)
	face := program.Value{}
	if shortcut != 0 {
		face = g.Mat(h.Rows(), h.C)
		g.Activate("identity", face, h, kernels.Identity)
	}
	r.resampler.build(g, dst, states, h)
	if shortcut == 0 {
		return
	}
	g.Add(program.Op{Name: "shortcut", Kind: "add", Dst: dst, Src: []program.Value{dst, face}, Bind: func(m program.Memory) func() {
		d, f := m.Mat(dst), m.Mat(face)
		return func() {
			for t := range d.Rows {
				row := d.Row(t)
				for c, v := range f.Row(t) {
					row[c] = v + float32(shortcut*row[c])
				}
			}
		}
	}})
}

// loadFacePlus loads "proj.0", "proj.2", "norm", and the resampler "perceiver_resampler".
func (p *ImagePrompt) loadFacePlus(l *blocks.Loader, s *sizes) {
	first, second := s.of(projPrefix+"proj.0.weight", 2), s.of(projPrefix+"proj.2.weight", 2)
	loaded, tokens, states := loadResampler(l, s, projPrefix+"perceiver_resampler.")
	r := &faceResampler{*loaded, *newMLP(l, s, first, second, "norm", loaded.width)}
	p.Width, p.Embedding, p.Identity, p.projection = tokens, states, first[1], r
}
