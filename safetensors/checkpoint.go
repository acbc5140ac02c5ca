package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Checkpoint is a model's tensors over all files that hold them. Its methods may be called from
// several goroutines at once.
type Checkpoint struct {
	label string // the file, or the index of the shards
	files []*File
	where map[string]*File // by tensor
	names []string
}

// OpenSharded opens the checkpoint that base names, as diffusers and transformers lay it out
// ("unet/diffusion_pytorch_model", "text_encoder/model"): the first that exists of
//
//	base.safetensors
//	base.safetensors.index.json
//	base.fp16.safetensors
//	base.safetensors.fp16.index.json
//	base.safetensors.index.fp16.json
//
// An index is JSON whose weight_map gives for every tensor the file, beside the index, that holds
// it. Every such file must exist and have the tensors promised; tensors that the index does not
// list are left out.
func OpenSharded(fsys fs.FS, base string) (*Checkpoint, error) {
	candidates := []string{
		base + ".safetensors",
		base + ".safetensors.index.json",
		base + ".fp16.safetensors",
		base + ".safetensors.fp16.index.json",
		base + ".safetensors.index.fp16.json",
	}
	for _, name := range candidates {
		_, err := fs.Stat(fsys, name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, fmt.Errorf("safetensors: %w", err)
		case strings.HasSuffix(name, ".json"):
			return openIndex(fsys, name)
		}
		f, err := Open(fsys, name)
		if err != nil {
			return nil, err
		}
		c := &Checkpoint{label: name, files: []*File{f}, where: make(map[string]*File), names: f.Names()}
		for _, tensor := range c.names {
			c.where[tensor] = f
		}
		return c, nil
	}
	return nil, fmt.Errorf("safetensors: no checkpoint %s: none of %s exists: %w", base, strings.Join(candidates, ", "), fs.ErrNotExist)
}

// openIndex opens the shards of an index.
func openIndex(fsys fs.FS, name string) (*Checkpoint, error) {
	shards, err := readIndex(fsys, name)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %s: %w", name, err)
	}
	c := &Checkpoint{label: name, where: make(map[string]*File)}
	open := make(map[string]*File)
	for tensor := range shards {
		c.names = append(c.names, tensor)
	}
	slices.Sort(c.names)
	for _, tensor := range c.names {
		shard := path.Join(path.Dir(name), shards[tensor])
		f := open[shard]
		if f == nil {
			if f, err = Open(fsys, shard); err != nil {
				c.Close()
				return nil, fmt.Errorf("%w (the shard that %s names for tensor %q)", err, name, tensor)
			}
			open[shard] = f
			c.files = append(c.files, f)
		}
		if _, ok := f.Tensor(tensor); !ok {
			c.Close()
			return nil, fmt.Errorf("safetensors: %s: no tensor %q, which %s says is here", shard, tensor, name)
		}
		c.where[tensor] = f
	}
	return c, nil
}

// readIndex returns the name of the file for every tensor.
func readIndex(fsys fs.FS, name string) (map[string]string, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, headerMax+1))
	if err != nil {
		return nil, err
	}
	if len(text) > headerMax {
		return nil, fmt.Errorf("more than %d bytes", headerMax)
	}
	var shards map[string]string
	err = eachMember(text, func(key string, value []byte) error {
		if key != "weight_map" {
			return nil
		}
		shards = make(map[string]string)
		if err := eachMember(value, func(tensor string, value []byte) error {
			var shard string
			if err := json.Unmarshal(value, &shard); err != nil || !isShardName(shard) {
				return fmt.Errorf("tensor %q: %s is not the name of a .safetensors file in the same folder", tensor, excerpt(value))
			}
			shards[tensor] = shard
			return nil
		}); err != nil {
			return fmt.Errorf("weight_map: %w", err)
		}
		return nil
	})
	if err == nil && shards == nil {
		err = errors.New("weight_map is missing")
	}
	return shards, err
}

// isShardName keeps an index to its own folder.
func isShardName(name string) bool {
	return strings.HasSuffix(name, ".safetensors") && !strings.ContainsAny(name, `/\:`) && fs.ValidPath(name)
}

// Name returns the name of the file, or of the index of its shards.
func (c *Checkpoint) Name() string { return c.label }

// Names returns the names of all tensors, sorted.
func (c *Checkpoint) Names() []string { return slices.Clone(c.names) }

// Tensor says what the named tensor is, and whether there is one.
func (c *Checkpoint) Tensor(name string) (Info, bool) {
	f, ok := c.where[name]
	if !ok {
		return Info{}, false
	}
	return f.Tensor(name)
}

// Float32 is File.Float32.
func (c *Checkpoint) Float32(name string, dst []float32) error {
	f, err := c.file(name)
	if err != nil {
		return err
	}
	return f.Float32(name, dst)
}

// Int64 is File.Int64.
func (c *Checkpoint) Int64(name string, dst []int64) error {
	f, err := c.file(name)
	if err != nil {
		return err
	}
	return f.Int64(name, dst)
}

func (c *Checkpoint) file(name string) (*File, error) {
	if f, ok := c.where[name]; ok {
		return f, nil
	}
	return nil, fmt.Errorf("safetensors: %s: no tensor %q", c.label, name)
}

// Close closes all files.
func (c *Checkpoint) Close() error {
	var errs []error
	for _, f := range c.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
