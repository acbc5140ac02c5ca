package cond

import (
	"fmt"
	"slices"

	"github.com/lanewise/lanewise/tensor"
)

// Join returns the condition of all parts at once.
//
//   - Tokens of one slot concatenate, in the order of the parts, if their scales are the same. Slots sit
//     side by side, each with a softmax of its own, and what they attend to is summed. (To have several
//     contexts of one slot side by side, append to Cond.Context.)
//   - Vectors add: Vector, Pooled and Guidance, each with its like.
//   - Maps concatenate, channel behind channel.
//   - Residuals add.
//   - Class and Sizes cannot be two things: all parts that have one must agree. A Class of 0 counts as
//     none.
//
// Parts are not changed. Tokens and maps are copied only where they concatenate. An error says what
// does not fit.
func Join(parts ...Cond) (Cond, error) {
	var whole Cond
	for i := range parts {
		if err := whole.add(&parts[i]); err != nil {
			return Cond{}, fmt.Errorf("cond: part %d: %w", i, err)
		}
	}
	return whole, nil
}

// add joins one part to c. It leaves memory that c shares with earlier parts as it is.
func (c *Cond) add(p *Cond) (err error) {
	for _, t := range p.Context {
		if err := c.addContext(t); err != nil {
			return err
		}
	}
	switch {
	case c.Class != 0 && p.Class != 0 && c.Class != p.Class:
		return fmt.Errorf("class %d beside class %d", p.Class, c.Class)
	case c.Sizes != nil && p.Sizes != nil && !slices.Equal(c.Sizes, p.Sizes):
		return fmt.Errorf("sizes %v beside %v", p.Sizes, c.Sizes)
	}
	if p.Class != 0 {
		c.Class = p.Class
	}
	if p.Sizes != nil {
		c.Sizes = p.Sizes
	}
	for _, v := range []struct {
		name string
		sum  *[]float32
		part []float32
	}{{"vector", &c.Vector, p.Vector}, {"pooled", &c.Pooled, p.Pooled}, {"guidance", &c.Guidance, p.Guidance}} {
		if *v.sum, err = sum(*v.sum, v.part); err != nil {
			return fmt.Errorf("%s %w", v.name, err)
		}
	}
	if c.Concat, err = concat(c.Concat, p.Concat); err != nil {
		return err
	}
	c.Residual = append(slices.Clip(c.Residual), p.Residual...)
	return nil
}

// addContext puts tokens behind those of the same slot, or beside those of others.
func (c *Cond) addContext(t Context) error {
	t.Tokens.Check("cond: tokens")
	if t.Mask != nil && len(t.Mask) != t.Tokens.Rows {
		return fmt.Errorf("mask of %d values for %d tokens", len(t.Mask), t.Tokens.Rows)
	}
	i := slices.IndexFunc(c.Context, func(o Context) bool { return o.Slot == t.Slot })
	if i < 0 {
		c.Context = append(slices.Clip(c.Context), t)
		return nil
	}
	o := c.Context[i]
	if o.Tokens.Cols != t.Tokens.Cols {
		return fmt.Errorf("tokens of %d values behind tokens of %d, both of slot %d", t.Tokens.Cols, o.Tokens.Cols, t.Slot)
	}
	if weight(o.Scale) != weight(t.Scale) {
		return fmt.Errorf("tokens of scale %v behind tokens of scale %v, both of slot %d", weight(t.Scale), weight(o.Scale), t.Slot)
	}
	both := Context{Slot: t.Slot, Scale: t.Scale, Tokens: tensor.MakeMat(o.Tokens.Rows+t.Tokens.Rows, t.Tokens.Cols)}
	if o.Mask != nil || t.Mask != nil {
		both.Mask = make([]float32, both.Tokens.Rows)
	}
	at := 0
	for _, from := range []Context{o, t} {
		if from.Mask != nil {
			copy(both.Mask[at:], from.Mask)
		}
		for r := range from.Tokens.Rows {
			copy(both.Tokens.Row(at), from.Tokens.Row(r))
			at++
		}
	}
	c.Context = slices.Clone(c.Context)
	c.Context[i] = both
	return nil
}

// weight is what a scale means.
func weight(scale float32) float32 {
	if scale == 0 {
		return 1
	}
	return scale
}

// sum returns a + b, either of which may be nil, without changing them.
func sum(a, b []float32) ([]float32, error) {
	switch {
	case b == nil:
		return a, nil
	case a == nil:
		return b, nil
	case len(a) != len(b):
		return nil, fmt.Errorf("of %d values beside one of %d", len(b), len(a))
	}
	s := make([]float32, len(a))
	for i := range s {
		s[i] = a[i] + b[i]
	}
	return s, nil
}

// concat returns the channels of a and then those of b, either of which may be nothing. One image
// goes with each of several.
func concat(a, b tensor.NHWC) (tensor.NHWC, error) {
	b.Check("cond: map")
	switch {
	case b.Data == nil:
		return a, nil
	case b.N < 1:
		return a, fmt.Errorf("map %s, want at least one image", b.Shape())
	case a.Data == nil:
		return b, nil
	case a.H != b.H || a.W != b.W || a.N != b.N && a.N != 1 && b.N != 1:
		return a, fmt.Errorf("map %s behind a map %s", b.Shape(), a.Shape())
	}
	both := tensor.Make(max(a.N, b.N), a.H, a.W, a.C+b.C)
	for n := range both.N {
		image := both.Images(n, n+1)
		tensor.Copy(image.Channels(0, a.C), a.Images(n%a.N, n%a.N+1))
		tensor.Copy(image.Channels(a.C, both.C), b.Images(n%b.N, n%b.N+1))
	}
	return both, nil
}

// Mix returns Σ weights[i]·vectors[i]: styles or embeddings in proportion. All vectors have one
// length, and there is a weight for each.
func Mix(weights []float64, vectors ...[]float32) ([]float32, error) {
	if len(weights) != len(vectors) || len(vectors) == 0 {
		return nil, fmt.Errorf("cond: %d weights for %d vectors", len(weights), len(vectors))
	}
	mixed := make([]float32, len(vectors[0]))
	for i, v := range vectors {
		if len(v) != len(mixed) {
			return nil, fmt.Errorf("cond: vector %d has %d values, vector 0 has %d", i, len(v), len(mixed))
		}
	}
	for c := range mixed {
		total := 0.0
		for i, v := range vectors {
			total += float64(weights[i] * float64(v[c]))
		}
		mixed[c] = float32(total)
	}
	return mixed, nil
}
