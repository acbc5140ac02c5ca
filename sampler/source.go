package sampler

import (
	"fmt"

	"github.com/lanewise/lanewise/tensor"
)

// A Source fills x with standard normal noise. A Generator is one.
type Source interface{ Noise(x tensor.NHWC) }

// WithNoise returns a method that takes the noise that it adds from s. Methods that add none are
// returned as they are.
func WithNoise(m Method, s Source) Method {
	if n, ok := m.(interface{ withNoise(Source) Method }); ok {
		return n.withNoise(s)
	}
	return m
}

// noSource is the error of a method that is to add noise and has none.
func noSource(method, field string, value any) error {
	return fmt.Errorf("sampler: %s with %s %v needs a source of noise", method, field, value)
}

// fresh returns room for noise of x's shape, if any is wanted.
func fresh(x tensor.NHWC, wanted bool) tensor.NHWC {
	if !wanted {
		return tensor.NHWC{}
	}
	return like(x)
}
