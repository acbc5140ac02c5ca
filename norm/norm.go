// Package norm normalises activations: over groups of an image's channels (Wu & He 2018, "Group
// Normalization"), over a token's channels (Ba et al. 2016, "Layer Normalization"), and their
// adaptive forms, whose scale and shift come from a condition (Peebles & Xie 2023, adaLN).
//
// All functions panic where shapes do not fit. Their results are the same bits for any number of
// workers, and for an image alone or in a batch. They do not allocate once warm. dst may be src;
// otherwise the two do not overlap.
package norm

import (
	"fmt"

	"github.com/lanewise/lanewise/tensor"
)

// Affine is what a norm does after x has mean 0 and variance 1: x·Scale[c] + Shift[c] for
// channel c. Nil stands for ones and zeros. Eps is added to the variance.
type Affine struct {
	Scale, Shift []float32
	Eps          float32

	// Moments, for Group and AdaGroup, are those of src where the operator that made it has gathered
	// them (gemm.Epilogue.Moments); nil has them taken from src.
	Moments *tensor.Moments
}

// check panics unless the vectors that there are have one value a channel.
func (a Affine) check(name string, channels int) {
	if a.Scale != nil && len(a.Scale) != channels || a.Shift != nil && len(a.Shift) != channels {
		panic(fmt.Sprintf("%s: %d scales and %d shifts for %d channels", name, len(a.Scale), len(a.Shift), channels))
	}
}

// checkModulation panics unless m has a row for each image and a column for each channel.
func checkModulation(name string, m tensor.Mat, images, channels int) {
	m.Check(name)
	if m.Rows != images || m.Cols != channels {
		panic(fmt.Sprintf("%s: %d×%d for %d images of %d channels", name, m.Rows, m.Cols, images, channels))
	}
}

// resize returns s with n elements, in new memory where it has less room.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
