package golden_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing/fstest"

	"github.com/lanewise/lanewise/attention"
	"github.com/lanewise/lanewise/blocks"
	"github.com/lanewise/lanewise/config"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/internal/golden"
	"github.com/lanewise/lanewise/program"
	"github.com/lanewise/lanewise/safetensors"
	"github.com/lanewise/lanewise/tensor"
)

// Group B: a block of diffusers alone, whose module is the root of a checkpoint of its own. The
// config.json holds the arguments of its constructor.

// blockClasses says how each class becomes a block. What it is called with has the configuration and
// the loader; what it returns appends the block to the graph, from the case's inputs to its outputs, and
// is called where nothing was wrong with either.
var blockClasses = map[string]func(b *block) (build func()){
	"AdaGroupNorm":          adaGroupNorm,
	"Attention":             attentionLayer,
	"Downsample2D":          downsample,
	"ResnetBlock2D":         resnet,
	"ResnetBlockCondNorm2D": resnet,
	"TimestepEmbedding":     timestepEmbedding,
	"Timesteps":             timesteps,
	"Upsample2D":            upsample,
}

// block is a case of the group on its way to a program.
type block struct {
	*golden.Case
	config *config.Config
	load   *blocks.Loader
	graph  *blocks.Graph

	idle string // how tensors begin that the file has by another name as well, or that are computed; "" for none

	in   map[string]golden.Tensor
	used map[string]bool // inputs
	got  map[string]golden.Tensor
	errs []error
}

// runBlock runs a block alone.
func runBlock(e *engine.Engine, c *golden.Case) error {
	b := &block{
		Case: c, graph: &blocks.Graph{Engine: e, Options: c.Options},
		in: make(map[string]golden.Tensor), used: make(map[string]bool), got: make(map[string]golden.Tensor),
	}
	if err := b.open(e); err != nil {
		return err
	}
	build := blockClasses[c.Class](b)
	if err := errors.Join(b.config.Err(), b.load.Err()); err != nil {
		return err
	}
	unknown := b.config.Unknown()
	unused := slices.DeleteFunc(b.load.Unused(), func(name string) bool { return b.idle != "" && strings.HasPrefix(name, b.idle) })
	if len(unknown)+len(unused) > 0 {
		return fmt.Errorf("keys %v and tensors %v mean nothing to the block", unknown, unused)
	}
	build()
	b.attendTo("in.ctx", "in.x", "in.mask")
	for name := range b.in {
		if !b.used[name] {
			b.errs = append(b.errs, unsupported(c.Class+" does not take "+name+" yet"))
		}
	}
	if err := errors.Join(b.errs...); err != nil {
		return err
	}
	if err := b.graph.Build().Run(context.Background()); err != nil {
		return err
	}
	return check(c, b.got)
}

// open reads what the case consists of. A class without arguments has no config.json, one without
// weights no checkpoint.
func (b *block) open(e *engine.Engine) (err error) {
	fsys := b.Model()
	if b.config, err = config.Open(fsys, "config.json"); errors.Is(err, fs.ErrNotExist) {
		b.config, err = config.Parse("config.json", []byte("{}"))
	}
	if err != nil {
		return err
	}
	b.config.Only("_class_name", b.Class)
	const base = "diffusion_pytorch_model"
	weights, err := safetensors.OpenSharded(fsys, base)
	if errors.Is(err, fs.ErrNotExist) {
		empty := append([]byte{2, 0, 0, 0, 0, 0, 0, 0}, "{}"...)
		weights, err = safetensors.OpenSharded(fstest.MapFS{base + ".safetensors": {Data: empty}}, base)
	}
	if err != nil {
		return err
	}
	b.load = blocks.NewLoader(e, weights, b.Class)
	for _, name := range b.Tensors("in.") {
		if b.in[name], err = b.Float32(name); err != nil {
			return err
		}
	}
	return nil
}

// has says whether the case has the input.
func (b *block) has(name string) bool {
	_, ok := b.in[name]
	return ok
}

// tensor returns an input of the case, which now counts as used.
func (b *block) tensor(name string) golden.Tensor {
	b.used[name] = true
	t, ok := b.in[name]
	if !ok {
		b.errs = append(b.errs, fmt.Errorf("no input %s", name))
	}
	return t
}

// input appends a value that holds an input: an image, or n × tokens × width as n images of a pixel
// for each token, or n × width as a matrix.
func (b *block) input(name string) program.Value {
	t := b.tensor(name)
	from := tensor.NHWC{}
	switch s := t.Shape; len(s) {
	case 2:
		from = tensor.NHWC{N: s[0], H: 1, W: 1, C: s[1], Stride: s[1], Data: t.Data}
	case 3:
		from = tensor.NHWC{N: s[0], H: s[1], W: 1, C: s[2], Stride: s[2], Data: t.Data}
	case 4:
		from = image(t)
	default:
		b.errs = append(b.errs, fmt.Errorf("%s of shape %v is no image and no matrix", name, s))
	}
	v := b.graph.Image(from.N, from.H, from.W, from.C)
	b.graph.Add(program.Op{Name: name, Kind: "copy", Dst: v, Bind: func(m program.Memory) func() {
		dst := m.Image(v)
		return func() { tensor.Copy(dst, from) }
	}})
	return v
}

// output appends a copy of a value to an output of the case: a matrix or n × tokens × width where that
// is expected, an image otherwise.
func (b *block) output(name string, v program.Value) {
	want, err := b.Float32(name)
	if err != nil {
		b.errs = append(b.errs, err)
		return
	}
	b.graph.Add(program.Op{Name: name, Kind: "copy", Src: []program.Value{v}, Bind: func(m program.Memory) func() {
		src := m.Image(v)
		return func() {
			rows := tensor.Make(src.N, src.H, src.W, src.C)
			tensor.Copy(rows, src)
			switch len(want.Shape) {
			case 2:
				b.got[name] = golden.Tensor{Shape: []int{v.Rows(), v.C}, Data: rows.Data}
			case 3:
				b.got[name] = golden.Tensor{Shape: []int{v.N, v.H * v.W, v.C}, Data: rows.Data}
			default:
				b.got[name] = planes(src, []int{v.N, v.C, v.H, v.W})
			}
		}
	}})
}

// attendTo gives the tokens of an input to all prompts of the graph, or where there is no such input
// those of another, and a mask that is added to the scores where the case has one.
func (b *block) attendTo(tokens, otherwise, mask string) {
	if len(b.graph.Prompts) == 0 {
		return
	}
	if !b.has(tokens) {
		tokens = otherwise
	}
	t := b.tensor(tokens)
	if len(t.Shape) != 3 {
		b.errs = append(b.errs, fmt.Errorf("%s of shape %v is no batch of tokens", tokens, t.Shape))
		return
	}
	all, n := rows(t), t.Shape[1]
	for _, p := range b.graph.Prompts {
		kv := attention.KV{K: tensor.MakeMat(all.Rows, p.Layer.Inner), V: tensor.MakeMat(all.Rows, p.Layer.Inner)}
		for r := 0; r < all.Rows; r += n {
			one := p.Layer.Project(b.load.Engine, all.Slice(r, r+n))
			for i := range n {
				copy(kv.K.Row(r+i), one.K.Row(i))
				copy(kv.V.Row(r+i), one.V.Row(i))
			}
		}
		if b.has(mask) {
			kv.Mask = rows(b.tensor(mask))
		}
		p.KV = []attention.KV{kv}
	}
}
