package blocks

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/safetensors"
)

// Loader reads the weights of a model, one tensor at a time, and packs them for an engine's Set. One
// tensor at a time is in memory as float32, whatever the checkpoint's format and the packed weights' is.
//
// Modules are named by their path in the checkpoint; that of a checkpoint's root is empty.
//
// Its methods do not fail: what is missing, has another shape or holds values that are not finite
// is collected, and Err reports all of it. Until Err returned nil, nothing that was loaded may be
// used.
type Loader struct {
	Engine *engine.Engine
	// Alias, if there is one, returns what else the checkpoint may call a tensor that it does not
	// have by its name, or "".
	Alias func(name string) string
	// Squeeze, if there is one, says of which tensors the checkpoint may have further sizes of 1 at the
	// end of their shape: linear layers that are stored as 1 × 1 convolutions.
	Squeeze func(name string) bool

	model    string
	from     *safetensors.Checkpoint
	merges   []Merge
	used     map[string]bool
	problems []error
	scratch  []float32 // memory for one tensor, as PyTorch has it
	bytes    int
}

// Merge is a change to the weights of a model that is made while they are loaded, a LoRA for example.
type Merge interface {
	// Add adds to w, a tensor of that name and shape, what the merge has for it, if anything.
	Add(e *engine.Engine, w []float32, name string, shape []int) error
	// Unused lists what the merge holds and no tensor has asked for, sorted.
	Unused() []string
	// Err says what is wrong with the merge as a whole once all tensors have been read: that none of
	// it was for the model, say.
	Err() error
}

// NewLoader returns a loader of the named model ("unet"), whose name begins every error. Weights
// are changed by all merges in order.
func NewLoader(e *engine.Engine, from *safetensors.Checkpoint, model string, merges ...Merge) *Loader {
	return &Loader{Engine: e, model: model, from: from, merges: merges, used: make(map[string]bool)}
}

// MissingError is about a tensor that is not in the checkpoint.
type MissingError struct {
	Model, Name string
	Shape       []int // that it should have
	Checkpoint  string
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s: %s: missing, want %v (%s)", e.Model, e.Name, e.Shape, e.Checkpoint)
}

// Err returns everything that was wrong so far, joined, or nil. Tensors that nobody asked for are
// listed with it: where one is missing, they often say what it is called instead. Where nothing is
// wrong with the checkpoint, Err returns what merges say.
func (l *Loader) Err() error {
	if len(l.problems) == 0 {
		var errs []error
		for _, m := range l.merges {
			if err := m.Err(); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", l.model, err))
			}
		}
		return errors.Join(errs...)
	}
	problems := l.problems
	if unused := l.Unused(); len(unused) > 0 {
		problems = append(slices.Clip(problems), fmt.Errorf("%s: tensors not used: %s (%s)", l.model, strings.Join(unused, ", "), l.from.Name()))
	}
	return errors.Join(problems...)
}

// Unused lists the tensors of the checkpoint that nobody has asked for, sorted, each with its shape:
// "conv_in.bias [320]". What merges hold and no tensor has asked for comes behind them.
func (l *Loader) Unused() []string {
	var unused []string
	for _, name := range l.from.Names() {
		if !l.used[name] {
			info, _ := l.from.Tensor(name)
			unused = append(unused, fmt.Sprintf("%s %v", name, info.Shape))
		}
	}
	for _, m := range l.merges {
		unused = append(unused, m.Unused()...)
	}
	return unused
}

// Bytes returns how much memory the weights of linear layers and convolutions take that were loaded
// so far. Engine's Storage has a say in it.
func (l *Loader) Bytes() int { return l.bytes }

// Fail adds an error about a tensor or module.
func (l *Loader) Fail(name, format string, args ...any) {
	l.problems = append(l.problems, fmt.Errorf("%s: %s: %s", l.model, name, fmt.Sprintf(format, args...)))
}

// Vector returns a tensor of n values in memory of its own.
func (l *Loader) Vector(name string, n int) []float32 {
	return l.Tensor(name, n)
}

// Tensor returns a tensor of the given shape, in memory of its own and in the checkpoint's order; nil
// where there is none.
func (l *Loader) Tensor(name string, shape ...int) []float32 {
	if _, ok := l.find(name, shape...); !ok {
		return nil
	}
	size := 1
	for _, n := range shape {
		size *= n
	}
	t := make([]float32, size)
	l.read(t, name, shape...)
	return t
}

// find returns what the checkpoint calls a tensor that must have the given shape, and false where there
// is none. Memory is for what was found: a configuration may ask for anything.
func (l *Loader) find(name string, shape ...int) (stored string, ok bool) {
	name = strings.TrimPrefix(name, ".") // of a module at the root
	stored = name
	info, ok := l.from.Tensor(name)
	if !ok && l.Alias != nil {
		if alias := l.Alias(name); alias != "" {
			stored = alias
			info, ok = l.from.Tensor(alias)
		}
	}
	if !ok {
		l.problems = append(l.problems, &MissingError{l.model, name, shape, l.from.Name()})
		return "", false
	}
	l.used[stored] = true
	have := info.Shape
	for l.Squeeze != nil && len(have) > len(shape) && have[len(have)-1] == 1 && l.Squeeze(name) {
		have = have[:len(have)-1]
	}
	if !slices.Equal(have, shape) {
		l.Fail(name, "shape %v, want %v (%s)", info.Shape, shape, info.File)
		return "", false
	}
	return stored, true
}

// read fills dst with a tensor that must have the given shape. It returns false where something
// is wrong with it.
func (l *Loader) read(dst []float32, name string, shape ...int) bool {
	stored, ok := l.find(name, shape...)
	if !ok {
		return false
	}
	name = strings.TrimPrefix(name, ".")
	info, _ := l.from.Tensor(stored)
	if err := l.from.Float32(stored, dst); err != nil {
		l.problems = append(l.problems, fmt.Errorf("%s: %w", l.model, err))
		return false
	}
	if !l.finite(dst, name, info.File) {
		return false
	}
	for _, m := range l.merges {
		if err := m.Add(l.Engine, dst, name, shape); err != nil {
			l.problems = append(l.problems, fmt.Errorf("%s: %w", l.model, err))
			return false
		}
	}
	return len(l.merges) == 0 || l.finite(dst, name, "after what was merged")
}

// finite says whether all values of a tensor are numbers; of says where it is from.
func (l *Loader) finite(values []float32, name, of string) bool {
	for i, v := range values {
		if v-v != 0 { // NaN or infinite
			l.Fail(name, "value %d is %v (%s)", i, v, of)
			return false
		}
	}
	return true
}

// reserve returns scratch for n values; it is overwritten by the next tensor.
func (l *Loader) reserve(n int) []float32 {
	if cap(l.scratch) < n {
		l.scratch = nil // the old one is garbage before the new one is made
		l.scratch = make([]float32, n)
	}
	return l.scratch[:n]
}
