package modeltest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
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
	names := make([]string, 0, len(shapes))
	for name := range shapes {
		names = append(names, name)
	}
	slices.Sort(names)
	header, end := make(map[string]entry), 0
	for _, name := range names {
		size := 2 // bytes
		for _, n := range shapes[name] {
			size *= n
		}
		header[name] = entry{"F16", append([]int{}, shapes[name]...), [2]int{end, end + size}}
		end += size
	}
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	start := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	if err := os.WriteFile(path, start, 0o666); err != nil {
		return err
	}
	return os.Truncate(path, int64(len(start)+end))
}
