package adapter

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lanewise/lanewise/safetensors"
)

// sizes reads the sizes of layers from the shapes of their weights, in files that have no other place
// for them.
type sizes struct {
	from *safetensors.Checkpoint
	errs []error
}

func (s *sizes) has(name string) bool {
	_, ok := s.from.Tensor(name)
	return ok
}

// hasAny says whether there is a tensor whose name begins with prefix.
func (s *sizes) hasAny(prefix string) bool {
	return slices.ContainsFunc(s.from.Names(), func(name string) bool { return strings.HasPrefix(name, prefix) })
}

// of returns the shape of a tensor, which must have the given number of sizes, all at least 1.
// Where it has not, that is an error and the sizes returned are 1.
func (s *sizes) of(name string, rank int) []int {
	info, ok := s.from.Tensor(name)
	switch {
	case !ok:
		s.fail(name, "missing, want %d sizes", rank)
	case len(info.Shape) != rank || slices.Contains(info.Shape, 0):
		s.fail(name, "shape %v, want %d sizes of at least 1", info.Shape, rank)
	default:
		return info.Shape
	}
	return slices.Repeat([]int{1}, rank)
}

// divide returns size/by, which must have no remainder.
func (s *sizes) divide(name string, size, by int) int {
	if size%by != 0 {
		s.fail(name, "%d rows, want a multiple of %d", size, by)
	}
	return max(size/by, 1)
}

func (s *sizes) fail(name, format string, args ...any) {
	s.errs = append(s.errs, fmt.Errorf("adapter: %s: %s (%s)", name, fmt.Sprintf(format, args...), s.from.Name()))
}

func (s *sizes) err() error { return errors.Join(s.errs...) }

// excerpt lists the first names of the file.
func (s *sizes) excerpt() string {
	const most = 12
	names := s.from.Names()
	if len(names) > most {
		names = append(names[:most], "…")
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
