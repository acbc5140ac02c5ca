// Package checkpoint reads the directory of a model as diffusers and transformers write it: config.json,
// and beside it the weights.
package checkpoint

import (
	"fmt"
	"io/fs"

	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/safetensors"
)

// What the weights are called, without an extension.
const (
	Diffusers    = "diffusion_pytorch_model"
	Transformers = "model"
)

// Summary is what is left to say of a directory that was read.
type Summary struct {
	Unknown []string // keys of config.json that mean nothing
	Unused  []string // tensors of the weights and of merges that nothing asked for
	Bytes   int      // memory of the packed weights
}

// Read reads a directory: config.json by configure, then base.safetensors or its shards by load, with weights
// changed by the merges in order. Errors begin with the model's name.
func Read[C any](e *engine.Engine, fsys fs.FS, name, base string, configure func(*config.Config) (C, error), load func(*blocks.Loader, C), merges ...blocks.Merge) (s Summary, err error) {
	file, err := config.Open(fsys, "config.json")
	if err != nil {
		return s, fmt.Errorf("%s: %w", name, err)
	}
	c, err := configure(file)
	if err != nil {
		return s, fmt.Errorf("%s: %w", name, err)
	}
	weights, err := safetensors.OpenSharded(fsys, base)
	if err != nil {
		return s, fmt.Errorf("%s: %w", name, err)
	}
	defer weights.Close()
	l := blocks.NewLoader(e, weights, name, merges...)
	load(l, c)
	if err := l.Err(); err != nil {
		return s, err
	}
	return Summary{file.Unknown(), l.Unused(), l.Bytes()}, nil
}
