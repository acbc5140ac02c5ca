package modeltest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Sparse writes a model's directory as Files does, with weights of float16 that are all zero, and returns
// it. The zeros take no space on disk where the file system has sparse files: this is for measuring
// models of real size, whose time does not depend on what their weights are.
func Sparse(dir, config, base string, load func(fs.FS) error) (fs.FS, error) {
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o666); err != nil {
		return nil, err
	}
	shapes := make(map[string][]int)
	for {
		if err := WriteSparse(filepath.Join(dir, base+".safetensors"), shapes); err != nil {
			return nil, err
		}
		err := load(os.DirFS(dir))
		if err == nil {
			return os.DirFS(dir), nil
		}
		missing := missingIn(err)
		if len(missing) == 0 {
			return nil, fmt.Errorf("modeltest: %w", err)
		}
		for _, m := range missing {
			shapes[m.Name] = m.Shape
		}
	}
}

// WriteSparse writes a safetensors file of float16 tensors that are all zero.
func WriteSparse(path string, shapes map[string][]int) error {
	start, _, size, err := header16("F16", shapes)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, start, 0o666); err != nil {
		return err
	}
	return os.Truncate(path, int64(len(start)+size))
}

// header16 returns what a safetensors file of tensors of a type of 16 bits begins with, the order of the tensors
// and how many bytes they take.
func header16(dtype string, shapes map[string][]int) (start []byte, names []string, size int, err error) {
	names = slices.Sorted(maps.Keys(shapes))
	header := make(map[string]entry)
	for _, name := range names {
		from := size
		elements := 1
		for _, n := range shapes[name] {
			elements *= n
		}
		size += 2 * elements
		header[name] = entry{dtype, append([]int{}, shapes[name]...), [2]int{from, size}}
	}
	text, err := json.Marshal(header)
	if err != nil {
		return nil, nil, 0, err
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), names, size, nil
}
