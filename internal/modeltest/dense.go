package modeltest

import (
	"bufio"
	"encoding/binary"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/lanewise/lanewise/safetensors"
)

// Dense writes a model's directory as Sparse does, with the weights that Files makes, cut to bfloat16: for
// models of real size whose numbers matter. No more than one tensor of it is in memory at a time.
func Dense(dir, config, base string, seed uint64, load func(fs.FS) error) (fs.FS, error) {
	fsys, err := Sparse(dir, config, base, load)
	if err != nil {
		return nil, err
	}
	zeros, err := safetensors.OpenSharded(fsys, base)
	if err != nil {
		return nil, err
	}
	shapes := make(map[string][]int)
	for _, name := range zeros.Names() {
		info, _ := zeros.Tensor(name)
		shapes[name] = info.Shape
	}
	if err := zeros.Close(); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, base+".safetensors")
	if err := os.Remove(path); err != nil {
		return nil, err
	}
	return fsys, writeDense(path, seed, shapes)
}

// writeDense writes a safetensors file of random tensors of bfloat16.
func writeDense(path string, seed uint64, shapes map[string][]int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	start, names, _, err := header16("BF16", shapes)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 1<<20)
	if _, err := out.Write(start); err != nil {
		return err
	}
	var bytes []byte
	for _, name := range names {
		values := Random(name, seed, shapes[name]...).Data
		bytes = slices.Grow(bytes[:0], 2*len(values))
		for _, v := range values {
			bytes = binary.LittleEndian.AppendUint16(bytes, uint16(math.Float32bits(v)>>16))
		}
		if _, err := out.Write(bytes); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return f.Close()
}
