package dit

import (
	"errors"
	"fmt"

	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/internal/denoiser"
	"github.com/lanewise/lanewise/tensor"
)

// Bound is a session with its conditions checked and what depends on them alone computed: keys and
// values of captions, vectors of classes and sizes. A session can be bound several times, and its
// bounds run in turns.
type Bound struct {
	session *Session
	inputs  *denoiser.Binding // contexts and maps
	vectors tensor.Mat        // a row for each image
}

// Bind checks conditions and computes what depends on them alone. There is one for each image of the
// batch, or one for each of as many equal runs of images: with a batch of 4, Bind(uncond, cond)
// conditions two images on each. Tokens and vectors are read now and not kept; Concat is kept and read
// by every Forward.
//
// A DiT takes a Class, below Config.Labels, or a Vector of VectorDim values in its place. A PixArt
// takes a Context of slot 0, whose tokens have Config.ContextDim columns, and where Config.Sizes says so,
// as Sizes, the picture's height and width in pixels and their ratio. Diffusers' masks add −10000 to
// the scores of tokens that pad a caption.
//
// Conditions of a batch may differ in how many contexts, tokens and maps they have: each image comes out
// as it would alone. Anything that the model has no place for is an error, and so is a value that is not
// finite.
func (s *Session) Bind(conds ...cond.Cond) (*Bound, error) {
	inputs, err := s.run.Bind(conds)
	if err != nil {
		return nil, err
	}
	b := &Bound{s, inputs, tensor.MakeMat(s.run.Batch, s.vectors.Cols)}
	images := s.run.Batch / len(conds) // of each condition
	for i := range conds {
		v := s.model.vector(&conds[i])
		for n := i * images; n < (i+1)*images; n++ {
			copy(b.vectors.Row(n), v)
		}
	}
	return b, nil
}

// check returns an error unless there is a place for all of c in the model.
func (m *Model) check(c *cond.Cond, _ int) error {
	for _, nowhere := range []struct {
		name string
		is   bool
	}{{"pooled", c.Pooled != nil}, {"guidance", c.Guidance != nil}, {"residual", c.Residual != nil}} {
		if nowhere.is {
			return fmt.Errorf("%s, which the model has no place for", nowhere.name)
		}
	}
	if err := m.checkVector(c); err != nil {
		return err
	}
	if len(c.Context) > 0 && m.Config.ContextDim == 0 {
		return fmt.Errorf("%d contexts, but the model takes no captions", len(c.Context))
	}
	if len(c.Context) == 0 && m.Config.ContextDim > 0 {
		return fmt.Errorf("no context, want tokens of %d values", m.Config.ContextDim)
	}
	return nil
}

// checkVector returns an error unless c has the class and the sizes that the model wants.
func (m *Model) checkVector(c *cond.Cond) error {
	dim := m.VectorDim()
	switch {
	case c.Vector != nil && dim == 0:
		return errors.New("vector, which the model has no place for")
	case c.Vector != nil && len(c.Vector) != dim:
		return fmt.Errorf("vector of %d values, want %d", len(c.Vector), dim)
	case c.Vector != nil && c.Class != 0:
		return fmt.Errorf("both a vector and class %d", c.Class)
	case c.Vector == nil && c.Class != 0 && m.Config.Labels == 0, m.Config.Labels > 0 && (c.Class < 0 || c.Class >= m.Config.Labels):
		return m.labelError(c.Class)
	case c.Sizes != nil && !m.Config.Sizes:
		return fmt.Errorf("sizes, but the model takes none")
	case m.Config.Sizes && len(c.Sizes) != 3:
		return fmt.Errorf("%d sizes, want 3: height, width and aspect ratio", len(c.Sizes))
	}
	return nil
}

// vector returns what c adds to the time embeddings.
func (m *Model) vector(c *cond.Cond) []float32 {
	switch {
	case c.Vector != nil:
		return c.Vector
	case m.Config.Labels > 0:
		v, _ := m.Label(c.Class) // it was checked
		return v
	case m.Config.Sizes:
		v := make([]float32, m.Config.Width())
		m.single.Sizes.Embed(m.engine, v, c.Sizes[0], c.Sizes[1], c.Sizes[2])
		return v
	}
	return nil
}

// tokens returns what blocks see of a caption's tokens.
func (m *Model) tokens(_ *cond.Cond, given tensor.Mat) tensor.Mat {
	if m.projection == nil {
		return given
	}
	return m.projection.Project(m.engine, given)
}

// projector returns what makes a layer's keys and values of tokens.
func (m *Model) projector(_ int, layer *blocks.KeyValue) func(tensor.Mat) attention.KV {
	return func(tokens tensor.Mat) attention.KV { return layer.Project(m.engine, tokens) }
}
