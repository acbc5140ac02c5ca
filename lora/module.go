package lora

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// model is which of a pipeline's models a module belongs to.
type model uint8

const (
	denoiser model = iota // a U-Net or a transformer
	text1                 // the first text encoder
	text2                 // the second
)

// module is what a file has for one layer.
type module struct {
	label string        // how the file calls the layer
	parts [parts]string // names of tensors; only those of down and up must be there

	rank   int
	factor float64 // alpha/rank
}

// collect finds the modules by the names of tensors.
func (f *File) collect(parse func(name string) (key, error)) error {
	var errs []error
	for _, name := range f.file.Names() {
		k, err := parse(name)
		if err == errNotOfLoRA {
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		if f.modules[k.model] == nil {
			f.modules[k.model] = make(map[string]*module)
		}
		m := f.modules[k.model][k.flat]
		if m == nil {
			m = &module{label: k.label}
			f.modules[k.model][k.flat] = m
		}
		if other := m.parts[k.part]; other != "" {
			errs = append(errs, fmt.Errorf("%s: the same layer's as %s", name, other))
		}
		m.parts[k.part] = name
	}
	if len(f.modules) == 0 && len(errs) > 1 { // a checkpoint, say
		return fmt.Errorf("none of %d tensors is of a LoRA, the first: %w", len(f.file.Names()), errs[0])
	}
	return errors.Join(errs...)
}

// check completes the modules, in the order of their names.
func (f *File) check(c config) error {
	var errs []error
	for which, modules := range f.modules {
		for _, flat := range slices.Sorted(maps.Keys(modules)) {
			if err := f.complete(modules[flat], c.of(which, flat)); err != nil {
				errs = append(errs, err)
			}
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// complete checks a module's tensors against each other and finds its factor.
func (f *File) complete(m *module, o layerConfig) error {
	if m.parts[down] == "" || m.parts[up] == "" {
		return fmt.Errorf("%s: the other half of the product is missing", cmp.Or(m.parts[:]...))
	}
	first, last := f.shape(m, down), f.shape(m, up)
	if len(first) < 2 || len(first) > 4 || slices.Contains(first, 0) {
		return fmt.Errorf("%s: shape %v, want rank × in, or rank × in × height × width", m.parts[down], first)
	}
	m.rank = first[0]
	inner := m.rank
	if m.parts[mid] != "" {
		middle := f.shape(m, mid)
		if len(middle) != 4 || middle[1] != m.rank || slices.Contains(middle, 0) || len(trim(first)) != 2 {
			return fmt.Errorf("%s: shape %v, want rank × %d × height × width, between two 1 × 1 convolutions, of which %s has shape %v",
				m.parts[mid], middle, m.rank, m.parts[down], first)
		}
		inner = middle[0]
	}
	if t := trim(last); len(t) != 2 || t[0] == 0 || t[1] != inner {
		return fmt.Errorf("%s: shape %v, want out × %d: %s has shape %v", m.parts[up], last, inner, m.parts[down], first)
	}
	if norms := f.shape(m, magnitude); m.parts[magnitude] != "" && !slices.Equal(norms, last[:1]) && !slices.Equal(norms, []int{1, last[0], 1, 1}) {
		return fmt.Errorf("%s: shape %v, want %d values: %s has shape %v", m.parts[magnitude], norms, last[0], m.parts[up], last)
	}
	return f.scale(m, o)
}

// shape returns that of a module's tensor.
func (f *File) shape(m *module, p part) []int {
	info, _ := f.file.Tensor(m.parts[p])
	return info.Shape
}

// trim drops sizes of 1 from the end of a shape, but for its first two: a 1 × 1 convolution is a linear
// layer.
func trim(shape []int) []int {
	for len(shape) > 2 && shape[len(shape)-1] == 1 {
		shape = shape[:len(shape)-1]
	}
	return shape
}
