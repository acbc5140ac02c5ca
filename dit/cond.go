package dit

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/cond"
	"github.com/lanewise/lanewise/tensor"
)

// Bound is a session with its conditions checked and what depends on them alone computed: keys and
// values of captions, vectors of classes and sizes. A session can be bound several times, and its
// bounds run in turns.
type Bound struct {
	session *Session
	vectors tensor.Mat       // a row for each image
	prompts [][]attention.KV // for each of the session's prompts

	concat         []tensor.NHWC // of each image, nil where no condition has any
	concatChannels int
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
	if len(conds) == 0 || s.batch%len(conds) != 0 {
		return nil, fmt.Errorf("dit: %d conditions for a batch of %d", len(conds), s.batch)
	}
	images := s.batch / len(conds) // of each condition
	b := &Bound{session: s, vectors: tensor.MakeMat(s.batch, s.vectors.Cols)}
	each := make([]cond.Cond, s.batch)
	for i := range conds {
		c := &conds[i]
		if err := s.check(c, images); err != nil {
			return nil, fmt.Errorf("dit: condition %d: %w", i, err)
		}
		v := s.model.vector(c)
		for n := i * images; n < (i+1)*images; n++ {
			each[n] = *c
			copy(b.vectors.Row(n), v)
		}
	}
	if err := b.bindConcat(conds, images); err != nil {
		return nil, err
	}
	b.bindContexts(each)
	return b, nil
}

// check returns an error unless so many images of the session can be conditioned on c.
func (s *Session) check(c *cond.Cond, images int) error {
	m := s.model
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
	for i := range c.Context {
		if err := m.checkContext(&c.Context[i]); err != nil {
			return fmt.Errorf("context %d: %w", i, err)
		}
	}
	if x := c.Concat; x.Data != nil {
		x.Check("dit: concat")
		if x.H != s.height || x.W != s.width || x.N != 1 && x.N != images || x.C < 1 || x.C >= m.Config.InChannels {
			return fmt.Errorf("concat is %s, want 1 or %d×%d×%d, 1 to %d channels", x.Shape(), images, s.height, s.width, m.Config.InChannels-1)
		}
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
	for i, v := range c.Vector {
		if v-v != 0 { // NaN or infinite
			return fmt.Errorf("vector is %v at value %d", v, i)
		}
	}
	for _, v := range c.Sizes {
		if v-v != 0 {
			return fmt.Errorf("size %v", v)
		}
	}
	return nil
}

// checkContext returns an error unless the model can attend to t.
func (m *Model) checkContext(t *cond.Context) error {
	t.Tokens.Check("dit: tokens")
	switch {
	case t.Slot != 0:
		return fmt.Errorf("slot %d, which the model has not", t.Slot)
	case t.Tokens.Rows < 1 || t.Tokens.Cols != m.Config.ContextDim:
		return fmt.Errorf("%d tokens of %d values, want at least 1 of %d", t.Tokens.Rows, t.Tokens.Cols, m.Config.ContextDim)
	case t.Mask != nil && len(t.Mask) != t.Tokens.Rows:
		return fmt.Errorf("mask of %d values for %d tokens", len(t.Mask), t.Tokens.Rows)
	case slices.ContainsFunc(t.Mask, func(v float32) bool { return v != v || v > math.MaxFloat32 }):
		return errors.New("mask with a value that is NaN or +Inf")
	case t.Scale-t.Scale != 0:
		return fmt.Errorf("scale %v", t.Scale)
	}
	for r := range t.Tokens.Rows {
		for c, v := range t.Tokens.Row(r) {
			if v-v != 0 {
				return fmt.Errorf("token %d is %v at value %d", r, v, c)
			}
		}
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

// bindConcat keeps the channels that stand behind those of each image. All conditions that have such
// have as many.
func (b *Bound) bindConcat(conds []cond.Cond, images int) error {
	for i := range conds {
		c := conds[i].Concat.C
		if conds[i].Concat.Data == nil {
			continue
		}
		if b.concatChannels != 0 && c != b.concatChannels {
			return fmt.Errorf("dit: condition %d: concat of %d channels beside one of %d", i, c, b.concatChannels)
		}
		b.concatChannels = c
	}
	if b.concatChannels == 0 {
		return nil
	}
	b.concat = make([]tensor.NHWC, b.session.batch)
	for n := range b.concat {
		if x := conds[n/images].Concat; x.Data != nil {
			at := n % images % x.N
			b.concat[n] = x.Images(at, at+1)
		}
	}
	return nil
}

// bindContexts computes the keys and values of every image's contexts, the first of all images
// together, then the second.
func (b *Bound) bindContexts(images []cond.Cond) {
	s := b.session
	b.prompts = make([][]attention.KV, len(s.prompts))
	for k := 0; ; k++ {
		contexts := make([]cond.Context, len(images))
		some := false
		for i, c := range images {
			if k < len(c.Context) {
				contexts[i], some = c.Context[k], true
			}
		}
		if !some {
			return
		}
		tokens := pad(contexts, s.model.Config.ContextDim)
		masked, unmasked := maskOf(contexts, true), maskOf(contexts, false)
		if p := s.model.projection; p != nil {
			tokens = p.Project(s.model.engine, tokens)
		}
		for i, p := range s.prompts {
			kv := p.Layer.Project(s.model.engine, tokens)
			if kv.Mask = masked; p.Layer.Unmasked {
				kv.Mask = unmasked
			}
			weigh(kv.V, contexts)
			b.prompts[i] = append(b.prompts[i], kv)
		}
	}
}

// longest returns how many tokens the longest of contexts has.
func longest(contexts []cond.Context) int {
	rows := 0
	for _, c := range contexts {
		rows = max(rows, c.Tokens.Rows)
	}
	return rows
}

// pad puts the tokens of contexts of the given columns one behind the other, as many rows for each as
// the longest has.
func pad(contexts []cond.Context, columns int) tensor.Mat {
	rows := longest(contexts)
	tokens := tensor.MakeMat(len(contexts)*rows, columns)
	for i, c := range contexts {
		for r := range c.Tokens.Rows {
			copy(tokens.Row(i*rows+r), c.Tokens.Row(r))
		}
	}
	return tokens
}

// maskOf returns the mask of padded contexts: that of each, if it is asked for, and −Inf for what pads. It
// is nothing where there is neither.
func maskOf(contexts []cond.Context, own bool) tensor.Mat {
	rows := longest(contexts)
	masked := func(c cond.Context) bool { return own && c.Mask != nil }
	if !slices.ContainsFunc(contexts, func(c cond.Context) bool { return masked(c) || c.Tokens.Rows < rows }) {
		return tensor.Mat{}
	}
	mask := tensor.MakeMat(len(contexts), rows)
	for i, c := range contexts {
		row := mask.Row(i)
		if masked(c) {
			copy(row, c.Mask)
		}
		for r := c.Tokens.Rows; r < rows; r++ {
			row[r] = float32(math.Inf(-1))
		}
	}
	return mask
}

// weigh multiplies the values of each context by its scale.
func weigh(values tensor.Mat, contexts []cond.Context) {
	rows := values.Rows / len(contexts)
	for i, c := range contexts {
		if c.Scale == 0 || c.Scale == 1 {
			continue
		}
		for r := i * rows; r < (i+1)*rows; r++ {
			for j, v := range values.Row(r) {
				values.Row(r)[j] = v * c.Scale
			}
		}
	}
}
