// Package lora merges LoRAs into models while they are loaded.
//
// A LoRA (Hu et al. 2021, "LoRA: Low-rank adaptation of large language models") changes the weight W of
// some layers, out × in, by the product of two thin matrices:
//
//	W + scale · alpha/rank · up·down        up: out × rank, down: rank × in
//
// A file holds such pairs by the names of their layers, in one of several spellings ([Open] lists
// them). A Merge is what a loader asks for them; models take any number:
//
//	f, err := lora.Open(os.DirFS("."), "watercolour.safetensors")
//	defer f.Close()
//	m, err := unet.Load(e, os.DirFS("sd15/unet"), f.UNet(0.8))
//	t, err := clip.LoadText(e, os.DirFS("sd15/text_encoder"), f.Text(0.8))
//
// What is loaded is a model like any other, as fast as without. Weights change one tensor at a time,
// in the memory that a loader reads them into, so no second copy of the model exists.
package lora

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/lanewise/lanewise/safetensors"
)

// File is an open LoRA. Its merges read from it; it must stay open until the models are loaded.
type File struct {
	// LayersPerBlock is that of the U-Net (layers_per_block in its config.json). It says how the blocks
	// are to be counted where a file has the names of the original code (input_blocks, output_blocks).
	// 0 means 2, as in all models published under these names.
	LayersPerBlock int

	file    *safetensors.File
	modules map[model]map[string]*module // by flat name
}

// model is which of a pipeline's models a module belongs to.
type model uint8

const (
	denoiser model = iota // a U-Net or a transformer
	text1                 // the first text encoder
	text2                 // the second
)

// module is what a file has for one layer.
type module struct {
	label string // how the file calls the layer
	// Names of tensors. mid and alpha may be missing.
	down, up, mid, alpha string

	rank   int
	factor float64 // alpha/rank
}

// Open reads the names and shapes of a LoRA, the named safetensors file of fsys. These spellings are
// understood, of layers whose names end in to_q for example:
//
//	unet.….to_q.lora_A.weight, .lora_B.weight           diffusers, PEFT
//	unet.….to_q.lora.down.weight, .lora.up.weight       older diffusers
//	unet.….processor.to_q_lora.down.weight, .up.weight  the oldest
//	….lora_linear_layer.down.weight, .up.weight         text encoders of older diffusers
//	lora_unet_…_to_q.lora_down.weight, .lora_up.weight, .alpha     kohya
//	lora_unet_input_blocks_4_1_…_to_q.lora_down.weight             kohya, SDXL
//
// A name of PEFT may have the name of an adapter in it (.lora_A.default.weight). In front of dotted
// names is that of the model, unet, transformer, text_encoder or text_encoder_2, or none, which is the
// denoiser, or the text encoder for names below text_model; base_model.model. there means
// nothing. Kohya's begin with lora_unet_, lora_te_ or lora_te1_, and lora_te2_. Convolutions may be
// factored into three (lora_mid, LoCon's Tucker decomposition).
//
// Alpha is the layer's own tensor of this name; or else what the file's metadata say under
// lora_adapter_metadata (diffusers) or adapter_config.json beside an adapter_model.safetensors (PEFT); or else the rank,
// which cancels it.
//
// An error names every tensor whose name is none of these, whose other half is missing, or whose shape
// does not fit. Other factorisations that go by the name (DoRA, LoHa, LoKr and so on) are such.
func Open(fsys fs.FS, name string) (*File, error) {
	file, err := safetensors.Open(fsys, name)
	if err != nil {
		return nil, fmt.Errorf("lora: %w", err)
	}
	f := &File{file: file, modules: make(map[model]map[string]*module)}
	config, err := readConfig(fsys, name, file.Metadata())
	if err == nil {
		err = f.collect()
	}
	if err == nil {
		err = f.check(config)
	}
	if err == nil && len(f.modules) == 0 {
		err = errors.New("no tensors")
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("lora: %s: %w", name, err)
	}
	return f, nil
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// collect finds the modules by the names of tensors.
func (f *File) collect() error {
	var errs []error
	for _, name := range f.file.Names() {
		k, err := parseKey(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		if f.modules[k.model] == nil {
			f.modules[k.model] = make(map[string]*module)
		}
		m := f.modules[k.model][k.flat]
		if m == nil {
			m = &module{label: k.label}
			f.modules[k.model][k.flat] = m
		}
		if to := m.part(k.part); *to != "" {
			errs = append(errs, fmt.Errorf("%s: the same layer's as %s", name, *to))
		} else {
			*to = name
		}
	}
	return errors.Join(errs...)
}

// part returns where the name of a part is kept.
func (m *module) part(p part) *string {
	return map[part]*string{down: &m.down, up: &m.up, mid: &m.mid, alpha: &m.alpha}[p]
}

// check completes the modules, in the order of their names.
func (f *File) check(c config) error {
	var errs []error
	for which, modules := range f.modules {
		for _, flat := range slices.Sorted(maps.Keys(modules)) {
			if err := f.complete(modules[flat], c.of(which, flat)); err != nil {
				errs = append(errs, err)
			}
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// complete checks a module's tensors against each other and finds its factor.
func (f *File) complete(m *module, o layerConfig) error {
	if m.down == "" || m.up == "" {
		return fmt.Errorf("%s: the other half of the product is missing", cmp.Or(m.down, m.up, m.mid, m.alpha))
	}
	down, up := f.shape(m.down), f.shape(m.up)
	if len(down) < 2 || len(down) > 4 || slices.Contains(down, 0) {
		return fmt.Errorf("%s: shape %v, want rank × in, or rank × in × height × width", m.down, down)
	}
	m.rank = down[0]
	inner := m.rank
	if m.mid != "" {
		mid := f.shape(m.mid)
		if len(mid) != 4 || mid[1] != m.rank || slices.Contains(mid, 0) || len(trim(down)) != 2 {
			return fmt.Errorf("%s: shape %v, want rank × %d × height × width, between two 1 × 1 convolutions, of which %s has shape %v", m.mid, mid, m.rank, m.down, down)
		}
		inner = mid[0]
	}
	if up = trim(up); len(up) != 2 || up[0] == 0 || up[1] != inner {
		return fmt.Errorf("%s: shape %v, want out × %d: %s has shape %v", m.up, f.shape(m.up), inner, m.down, down)
	}
	return f.scale(m, o)
}

// shape returns that of a tensor.
func (f *File) shape(name string) []int {
	info, _ := f.file.Tensor(name)
	return info.Shape
}

// trim drops sizes of 1 from the end of a shape, but for its first two: a 1 × 1 convolution is a linear
// layer.
func trim(shape []int) []int {
	for len(shape) > 2 && shape[len(shape)-1] == 1 {
		shape = shape[:len(shape)-1]
	}
	return shape
}

// UNet returns what the file has for a U-Net, or another denoiser, times scale.
func (f *File) UNet(scale float64) *Merge { return f.merge(denoiser, scale) }

// Text returns what the file has for the text encoder, or the first of two, times scale.
func (f *File) Text(scale float64) *Merge { return f.merge(text1, scale) }

// Text2 returns what the file has for the second text encoder, times scale.
func (f *File) Text2(scale float64) *Merge { return f.merge(text2, scale) }

// merge returns a merge of one model's modules.
func (f *File) merge(which model, scale float64) *Merge {
	m := &Merge{file: f, scale: scale, modules: make(map[string]*module), used: make(map[*module]bool)}
	layers := f.LayersPerBlock
	if layers < 1 {
		layers = 2
	}
	for flat, module := range f.modules[which] {
		if which == denoiser {
			flat = diffusersName(flat, layers)
		}
		if other := m.modules[flat]; other != nil {
			m.err = errors.Join(m.err, fmt.Errorf("lora: %s: %s and %s are one layer", f.file.Name(), other.label, module.label))
		}
		m.modules[flat] = module
	}
	return m
}

// flatten turns the name of a module into kohya's.
func flatten(name string) string { return strings.ReplaceAll(name, ".", "_") }
