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

// Open reads the names and shapes of a LoRA, the named safetensors file of fsys. These spellings are
// understood, of layers whose names end in to_q for example:
//
//	unet.….to_q.lora_A.weight, .lora_B.weight                    diffusers, PEFT
//	unet.….to_q.lora.down.weight, .lora.up.weight                older diffusers
//	….lora_linear_layer.down.weight, .up.weight                  older diffusers, text encoders
//	unet.….processor.to_q_lora.down.weight, .up.weight           the oldest
//	lora_unet_…_to_q.lora_down.weight, .lora_up.weight, .alpha   kohya
//	lora_unet_input_blocks_4_1_…_to_q.lora_down.weight, …        kohya, SDXL
//
// A name of PEFT may have the name of an adapter in it (.lora_A.default.weight). In front of dotted
// names is that of the model, unet, transformer, text_encoder or text_encoder_2, or none, which is the
// denoiser, or the text encoder for names below text_model; base_model.model. there means
// nothing. Kohya's begin with lora_unet_, lora_te_ or lora_te1_, and lora_te2_.
//
// Besides the two factors a layer may have a third between them, of a convolution (lora_mid: LoCon's
// Tucker decomposition), or the norms that its rows are to have (lora_magnitude_vector: PEFT's DoRA).
// Alpha is the layer's own tensor of this name; or else what the file's metadata say under
// lora_adapter_metadata (diffusers), or adapter_config.json beside an adapter_model.safetensors (PEFT);
// or else the rank, which cancels it.
//
// An error names every tensor whose name is none of these, whose other half is missing, or whose shape
// does not fit. Other changes of weights that go by the name (LoHa, LoKr and so on) are such.
func Open(fsys fs.FS, name string) (*File, error) { return open(fsys, name, parseKey) }

// OpenFace reads the LoRA for a U-Net that an image prompt of a face has in its file (adapter.Face,
// adapter.FacePlus), and was trained with: ip_adapter.<n>.to_q_lora.down.weight and so on, where n
// counts the U-Net's attention layers, as unet.Config.AttentionLayers lists them.
func OpenFace(fsys fs.FS, name string, layers []string) (*File, error) {
	return open(fsys, name, func(name string) (key, error) { return parseFaceKey(name, layers) })
}

// open opens a file whose tensors' names parse reads.
func open(fsys fs.FS, name string, parse func(string) (key, error)) (*File, error) {
	file, err := safetensors.Open(fsys, name)
	if err != nil {
		return nil, fmt.Errorf("lora: %w", err)
	}
	f := &File{file: file, modules: make(map[model]map[string]*module)}
	config, err := readConfig(fsys, name, file.Metadata())
	if err == nil {
		err = f.collect(parse)
	}
	if err == nil {
		err = f.check(config)
	}
	if err == nil && len(f.modules) == 0 {
		err = errors.New("no tensors of a LoRA")
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("lora: %s: %w", name, err)
	}
	return f, nil
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// UNet returns what the file has for a U-Net, or another denoiser, times scale.
func (f *File) UNet(scale float64) *Merge { return f.merge(denoiser, scale) }

// Text returns what the file has for the text encoder, or the first of two, times scale.
func (f *File) Text(scale float64) *Merge { return f.merge(text1, scale) }

// Text2 returns what the file has for the second text encoder, times scale.
func (f *File) Text2(scale float64) *Merge { return f.merge(text2, scale) }

// merge returns a merge of one model's modules.
func (f *File) merge(which model, scale float64) *Merge {
	m := &Merge{file: f, scale: scale, modules: make(map[string]*module), used: make(map[*module]bool)}
	if scale-scale != 0 { // NaN or infinite
		m.err = fmt.Errorf("lora: %s: scale %v", f.file.Name(), scale)
	}
	layers := f.LayersPerBlock
	if layers < 1 {
		layers = 2
	}
	for _, flat := range slices.Sorted(maps.Keys(f.modules[which])) {
		module := f.modules[which][flat]
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
