package clip

import (
	"context"
	"fmt"

	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/tensor"
)

// VisionOptions are what Encode may be told besides the images. The zero value is what diffusion
// pipelines use that take the embedding of an image.
type VisionOptions struct {
	// Hidden asks for the states between the layers.
	Hidden bool
}

// VisionOutput is what Encode makes of a batch of images. All of it belongs to the caller.
type VisionOutput struct {
	Tokens int // of each image
	// States are those after the last layer, without a norm, a row for each token: token t of image
	// i is row i·Tokens + t.
	States tensor.Mat
	// Pooled has a row for each image: the normed state of its first token.
	Pooled tensor.Mat
	// Embedding is Pooled projected, of models that do so (Config.Projection > 0). It is not
	// normalised.
	Embedding tensor.Mat
	// Hidden, where it was asked for, are the states that enter the first layer and those that
	// leave each layer: Layers+1 matrices like States. The last but one, Hidden[Layers-1], is what an
	// image prompt with details is made of (IP-Adapter plus).
	Hidden []tensor.Mat
}

// images is how many of them a program takes.
type images int

// maxImages is the most images in a batch.
const maxImages = 1 << 12

// visionRun is an encoder's program for a number of images with what it reads and writes. It has
// one user at a time.
type visionRun struct {
	images  images
	program *program.Program
	pixels  tensor.NHWC
	out     *VisionOutput
}

// of returns how many images the run takes.
func (r *visionRun) of() images { return r.images }

// Encode computes the states of a batch of images of Config.Size × Config.Size pixels, as a
// [Preprocessor] makes them of pictures.
//
// It is an error where there is no image, or images have another shape. Between ops Encode looks at
// ctx and returns its error. The model is safe for concurrent use.
func (m *VisionModel) Encode(ctx context.Context, pixels tensor.NHWC, o VisionOptions) (*VisionOutput, error) {
	c := m.Config
	if pixels.N < 1 || pixels.N > maxImages || pixels.H != c.Size || pixels.W != c.Size || pixels.C != c.Channels {
		return nil, fmt.Errorf("clip: images are %s, want n×%d×%d×%d with n from 1 to %d", pixels.Shape(), c.Size, c.Size, c.Channels, maxImages)
	}
	pixels.Check("clip: pixels")
	r := m.runs.take(images(pixels.N), m.newRun)
	defer m.runs.put(r)
	r.pixels, r.out = pixels, m.newOutput(pixels.N, o.Hidden)
	err := r.program.Run(ctx)
	out := r.out
	r.pixels, r.out = tensor.NHWC{}, nil
	if err != nil {
		return nil, err
	}
	return out, nil
}

// newOutput allocates the result of n images.
func (m *VisionModel) newOutput(n int, hidden bool) *VisionOutput {
	c, tokens := m.Config, m.Config.Tokens()
	out := &VisionOutput{Tokens: tokens, States: tensor.MakeMat(n*tokens, c.Width), Pooled: tensor.MakeMat(n, c.Width)}
	if c.Projection > 0 {
		out.Embedding = tensor.MakeMat(n, c.Projection)
	}
	if hidden {
		for range c.Layers + 1 {
			out.Hidden = append(out.Hidden, tensor.MakeMat(n*tokens, c.Width))
		}
	}
	return out
}

// newRun builds the program for n images.
func (m *VisionModel) newRun(n images) *visionRun {
	c, r := m.Config, &visionRun{images: n}
	tokens := c.Tokens()
	g := &blocks.Graph{Engine: m.engine}
	pixels := g.Image(int(n), c.Size, c.Size, c.Channels)
	g.Add(program.Op{Name: "input", Kind: "copy", Dst: pixels, Bind: func(mem program.Memory) func() {
		dst := mem.Image(pixels)
		return func() { tensor.Copy(dst, r.pixels) }
	}})
	patches := m.patches.Image(g, pixels)
	m.patches.Build(g, patches, pixels, blocks.Fuse{})
	x, normed := g.Mat(int(n)*tokens, c.Width), g.Mat(int(n)*tokens, c.Width)
	m.buildEmbeddings(g, x, patches)
	m.first.Build(g, x, x)
	r.keep(g, m.first.Name, x, func(out *VisionOutput) tensor.Mat { return hidden(out.Hidden, 0) })
	attends := attention.Shape{Batch: int(n), Heads: c.Heads}
	for i, l := range m.layers {
		l.build(g, x, normed, attends, nil)
		r.keep(g, l.name, x, func(out *VisionOutput) tensor.Mat { return hidden(out.Hidden, i+1) })
	}
	r.keep(g, "states", x, func(out *VisionOutput) tensor.Mat { return out.States })
	pooled := g.Mat(int(n), c.Width)
	g.Add(program.Op{Name: "pooled", Kind: "copy", Dst: pooled, Src: []program.Value{x}, Bind: func(mem program.Memory) func() {
		d, s := mem.Mat(pooled), mem.Mat(x)
		return func() {
			for i := range d.Rows {
				copy(d.Row(i), s.Row(i*tokens))
			}
		}
	}})
	m.last.Build(g, pooled, pooled)
	r.keep(g, m.last.Name, pooled, func(out *VisionOutput) tensor.Mat { return out.Pooled })
	if m.projection != nil {
		embedding := g.Mat(int(n), c.Projection)
		m.projection.Build(g, embedding, pooled, blocks.Fuse{})
		r.keep(g, m.projection.Name, embedding, func(out *VisionOutput) tensor.Mat { return out.Embedding })
	}
	r.program = g.Build()
	return r
}

// buildEmbeddings appends dst = for each image the class token and then its patches, each with its
// position.
func (m *VisionModel) buildEmbeddings(g *blocks.Graph, dst, patches program.Value) {
	each := patches.H * patches.W
	g.Add(program.Op{Name: "vision_model.embeddings", Kind: "embedding", Dst: dst, Src: []program.Value{patches}, Bind: func(mem program.Memory) func() {
		d, s := mem.Mat(dst), mem.Mat(patches)
		return func() {
			for i := range d.Rows {
				image, token := i/(each+1), i%(each+1)
				from := m.class
				if token > 0 {
					from = s.Row(image*each + token - 1)
				}
				row, position := d.Row(i), m.position.Row(token)
				for c, v := range from {
					row[c] = v + position[c]
				}
			}
		}
	}})
}

// keep appends a copy of src to where it belongs in the output; to is nothing where nobody asked.
func (r *visionRun) keep(g *blocks.Graph, name string, src program.Value, to func(*VisionOutput) tensor.Mat) {
	keep(g, name, src, func() tensor.Mat { return to(r.out) })
}
