// Package modeltest makes small random models, for tests and Examples of packages that load some.
package modeltest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math"
	"math/rand/v2"
	"slices"
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

// Tensor is a tensor to be written, as PyTorch has it.
type Tensor struct {
	Shape []int
	Data  []float32
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
	t := Tensor{shape, make([]float32, size)}
	for i := range t.Data {
		t.Data[i] = float32(middle + spread*(2*r.Float64()-1))
	}
	return t
}

// entry is a tensor in the header of a file.
type entry struct {
	DType   string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets [2]int `json:"data_offsets"`
}

// Safetensors returns a file of float32 tensors.
func Safetensors(weights map[string]Tensor) []byte {
	names := make([]string, 0, len(weights))
	for name := range weights {
		names = append(names, name)
	}
	slices.Sort(names)
	header := make(map[string]entry)
	var data []byte
	for _, name := range names {
		t := weights[name]
		from := len(data)
		for _, v := range t.Data {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
		header[name] = entry{"F32", append([]int{}, t.Shape...), [2]int{from, len(data)}}
	}
	text, err := json.Marshal(header)
	if err != nil {
		panic(err)
	}
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return append(append(file, text...), data...)
}
