// Package golden reads cases whose inputs and outputs another implementation computed, and compares
// with them.
//
// A root is a directory with an index.json that describes the cases below it: JSON, from a case's
// name ("C_models/unet_sd15", which is its directory too) to its class, its inputs, its outputs
// with the tolerance of each, and parameters. Tensors are in the case's io.safetensors: in.* is
// what goes in, out.* what comes out, act.<module> what a module inside a model gives. A model's
// config.json and weights lie beside it, or in the directory of the case that weights_from names.
package golden

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/safetensors"
)

// Case is one case of a root. It is open until Close.
type Case struct {
	Name        string // "C_models/unet_sd15"
	Root        string
	Class       string                     `json:"cls"`
	Inputs      map[string]json.RawMessage `json:"inputs"`
	Outputs     Outputs                    `json:"outputs"`
	Params      json.RawMessage            `json:"params"`
	Runs        json.RawMessage            `json:"runs"`        // of schedulers
	StepArgs    json.RawMessage            `json:"step_kwargs"` // of schedulers
	WeightsFrom string                     `json:"weights_from"`

	// Options are those of the sessions that run the case.
	Options blocks.Options `json:"-"`
	// Slack is how many times as large differences may be as the index says; 0 means 1.
	Slack float64 `json:"-"`

	// Worst is the largest difference that Compare and CompareWithin have seen, as a part of what is
	// allowed: above 1 is off.
	Worst float64 `json:"-"`

	io *safetensors.File
}

// Output is a tensor that a case expects.
type Output struct {
	Name string
	Atol float64 `json:"atol"` // the largest difference allowed
}

// Outputs are a case's, in the order of the index, which is that of computation.
type Outputs []Output

// UnmarshalJSON reads an object, keeping the order of its members.
func (o *Outputs) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.Join(errors.New("outputs are not an object"), err)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		out := Output{Atol: math.NaN()} // nothing passes where the index has no tolerance
		if err := d.Decode(&out); err != nil {
			return err
		}
		out.Name = name.(string)
		*o = append(*o, out)
	}
	return nil
}

// Index reads the cases of a root, sorted by name.
func Index(root string) ([]*Case, error) {
	text, err := os.ReadFile(filepath.Join(root, "index.json"))
	if err != nil {
		return nil, err
	}
	var index map[string]*Case
	if err := json.Unmarshal(text, &index); err != nil {
		return nil, fmt.Errorf("%s: index.json: %w", root, err)
	}
	var cases []*Case
	for name, c := range index {
		if !fs.ValidPath(name) || c == nil {
			return nil, fmt.Errorf("%s: index.json: %q is not a case", root, name)
		}
		c.Name, c.Root = name, root
		cases = append(cases, c)
	}
	slices.SortFunc(cases, func(a, b *Case) int { return cmp.Compare(a.Name, b.Name) })
	return cases, nil
}

// Group returns the first part of the case's name: "C_models".
func (c *Case) Group() string { return strings.Split(c.Name, "/")[0] }

// Open opens the case's tensors.
func (c *Case) Open() (err error) {
	c.io, err = safetensors.OpenFile(filepath.Join(c.Root, filepath.FromSlash(c.Name), "io.safetensors"))
	return err
}

// Close closes the case's tensors.
func (c *Case) Close() error { return c.io.Close() }

// Model returns the case's config.json and weights: its own directory and, for what is not there,
// that of the case that WeightsFrom names.
func (c *Case) Model() fs.FS {
	own := os.DirFS(filepath.Join(c.Root, filepath.FromSlash(c.Name)))
	if c.WeightsFrom == "" {
		return own
	}
	return fallback{own, os.DirFS(filepath.Join(c.Root, filepath.FromSlash(c.WeightsFrom)))}
}

// fallback is a file system over another, whose files show where the first has none.
type fallback struct{ first, second fs.FS }

func (f fallback) Open(name string) (fs.File, error) {
	file, err := f.first.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return f.second.Open(name)
	}
	return file, err
}

// Tensor is a tensor of a case.
type Tensor struct {
	Shape []int
	Data  []float32
}

// Has says whether the case has the tensor.
func (c *Case) Has(name string) bool {
	_, ok := c.io.Tensor(name)
	return ok
}

// Tensors returns the names of the tensors that start with prefix, sorted.
func (c *Case) Tensors(prefix string) []string {
	return slices.DeleteFunc(c.io.Names(), func(name string) bool { return !strings.HasPrefix(name, prefix) })
}

// Float32 reads a tensor, of float64 too, rounded, and of integers where every one is a float32.
func (c *Case) Float32(name string) (Tensor, error) {
	info, _ := c.io.Tensor(name)
	t := Tensor{Shape: info.Shape, Data: make([]float32, info.Elements())}
	switch info.DType {
	case safetensors.I64, safetensors.I32, safetensors.U8, safetensors.Bool:
		ints, err := c.Int64(name)
		for i, v := range ints {
			if t.Data[i] = float32(v); int64(t.Data[i]) != v {
				return t, fmt.Errorf("%s: %s holds %d, which is no float32", c.Name, name, v)
			}
		}
		return t, err
	case safetensors.F64:
		values := make([]float64, len(t.Data))
		err := c.io.Float64(name, values)
		for i, v := range values {
			t.Data[i] = float32(v)
		}
		return t, err
	}
	return t, c.io.Float32(name, t.Data)
}

// Int64 reads a tensor of integers.
func (c *Case) Int64(name string) ([]int64, error) {
	info, _ := c.io.Tensor(name)
	dst := make([]int64, info.Elements())
	return dst, c.io.Int64(name, dst)
}

// Compare returns an error unless got is what the case expects under the name. The rule is that of
// the index: no value is off by more than atol, or Slack times that.
func (c *Case) Compare(name string, got Tensor) error {
	i := slices.IndexFunc(c.Outputs, func(o Output) bool { return o.Name == name })
	if i < 0 {
		return fmt.Errorf("%s: the index has no tolerance", name)
	}
	atol := c.Outputs[i].Atol * cmp.Or(c.Slack, 1)
	return c.CompareWithin(name, got, func(float64) float64 { return atol })
}

// CompareWithin is Compare with an own tolerance for every value expected.
func (c *Case) CompareWithin(name string, got Tensor, tolerance func(want float64) float64) error {
	want, err := c.Float32(name)
	if err != nil {
		return err
	}
	worst, err := want.compare(got, tolerance)
	c.Worst = max(c.Worst, worst)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Compare returns an error that tells how far got is off, unless it has want's shape and every
// value within the tolerance. NaN is equal to nothing.
func (want Tensor) Compare(got Tensor, tolerance func(want float64) float64) error {
	_, err := want.compare(got, tolerance)
	return err
}

// compare is Compare that returns too the largest difference as a part of its tolerance.
func (want Tensor) compare(got Tensor, tolerance func(want float64) float64) (worst float64, err error) {
	if !slices.Equal(got.Shape, want.Shape) || len(got.Data) != len(want.Data) {
		return math.Inf(1), fmt.Errorf("%d values of shape %v, want %d of shape %v", len(got.Data), got.Shape, len(want.Data), want.Shape)
	}
	off, worstAt := 0, 0
	for i, w := range want.Data {
		if got.Data[i] == w {
			continue
		}
		excess := math.Abs(float64(got.Data[i])-float64(w)) / tolerance(float64(w))
		if !(excess <= 1) {
			off++
		}
		if excess > worst || math.IsNaN(excess) && !math.IsNaN(worst) {
			worst, worstAt = excess, i
		}
	}
	if off == 0 {
		return worst, nil
	}
	g, w := float64(got.Data[worstAt]), float64(want.Data[worstAt])
	return worst, fmt.Errorf("%d of %d values off, the worst at %v: %g, want %g ± %.3g (off by %.3g, %.3g times as much)",
		off, len(want.Data), place(worstAt, want.Shape), g, w, tolerance(w), math.Abs(g-w), worst)
}

// place returns the indices of value i of a tensor.
func place(i int, shape []int) []int {
	at := make([]int, len(shape))
	for d := len(shape) - 1; d >= 0; d-- {
		at[d], i = i%shape[d], i/shape[d]
	}
	return at
}
