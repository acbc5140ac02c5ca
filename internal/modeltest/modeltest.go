// Package modeltest makes small random models, for tests and Examples of packages that load some, and checks
// what holds for the sessions of all.
package modeltest

import (
	"fmt"
	"hash/fnv"
	"io/fs"
	"math"
	"math/rand/v2"
	"strings"
	"testing/fstest"

	"github.com/lanewise/lanewise/blocks"
)

// Files returns a model's directory: config.json with the text given, and base.safetensors with
// random weights for every tensor that load asks for. It finds them by loading the model without
// any: the errors of a blocks.Loader say what is missing. Weights are such that activations keep their
// magnitude; one depends on its name, shape and seed alone.
//
// Files panics where load fails otherwise.
func Files(config, base string, seed uint64, load func(fs.FS) error) fstest.MapFS {
	fsys := fstest.MapFS{"config.json": {Data: []byte(config)}}
	weights := make(map[string]Tensor)
	for {
		fsys[base+".safetensors"] = &fstest.MapFile{Data: Safetensors(weights)}
		err := load(fsys)
		if err == nil {
			return fsys
		}
		missing := missingIn(err)
		if len(missing) == 0 {
			panic(fmt.Sprintf("modeltest: %v", err))
		}
		for _, m := range missing {
			weights[m.Name] = Random(m.Name, seed, m.Shape...)
		}
	}
}

// missingIn collects the tensors that are missing by an error, or by those that it joins or wraps.
func missingIn(err error) []*blocks.MissingError {
	switch e := err.(type) {
	case *blocks.MissingError:
		return []*blocks.MissingError{e}
	case interface{ Unwrap() error }:
		return missingIn(e.Unwrap())
	case interface{ Unwrap() []error }:
		var all []*blocks.MissingError
		for _, one := range e.Unwrap() {
			all = append(all, missingIn(one)...)
		}
		return all
	}
	return nil
}

// Random returns a tensor of random values: a matrix or convolution that keeps the magnitude of what it
// multiplies, a norm's scale near 1, a bias near 0.
func Random(name string, seed uint64, shape ...int) Tensor {
	h := fnv.New64a()
	h.Write([]byte(name))
	r := rand.New(rand.NewPCG(seed, h.Sum64()))
	size := 1
	for _, n := range shape {
		size *= n
	}
	middle, spread := 0.0, 0.1
	switch {
	case len(shape) > 1:
		spread = math.Sqrt(3 * float64(shape[0]) / float64(max(size, 1)))
	case strings.HasSuffix(name, "weight"):
		middle = 1
	}
	t := Tensor{Shape: shape, Data: make([]float32, size)}
	for i := range t.Data {
		t.Data[i] = float32(middle + spread*(2*r.Float64()-1))
	}
	return t
}
