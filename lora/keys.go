package lora

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// key is what the name of a tensor says.
type key struct {
	model model
	flat  string // the layer's name in the model, flattened
	label string // the layer's name as the file has it
	part  part
}

// part is a tensor's place among those of its module.
type part uint8

const (
	down part = iota
	up
	mid
	magnitude
	alpha
	parts = iota
)

// suffixes are the ends of tensors' names, and what they stand for.
var suffixes = []struct {
	text string
	part part
}{
	{".lora_down.weight", down}, {".lora_up.weight", up}, {".lora_mid.weight", mid},
	{".lora_A.weight", down}, {".lora_B.weight", up},
	{".lora.down.weight", down}, {".lora.up.weight", up},
	{".lora_linear_layer.down.weight", down}, {".lora_linear_layer.up.weight", up},
	{"_lora.down.weight", down}, {"_lora.up.weight", up},
	{".lora_magnitude_vector", magnitude},
	{".alpha", alpha},
}

// foreign are pieces of the names, with a dot behind them, that other changes of weights have.
var foreign = []struct{ text, is string }{
	{".dora_scale", "DoRA with norms of which it is not said whether they are of rows or columns"},
	{".hada_", "LoHa, a product of two products"},
	{".lokr_", "LoKr, a Kronecker product"},
	{".oft_", "OFT, a rotation"},
	{".diff.", "a difference of whole weights"}, {".diff_b.", "a difference of whole biases"},
	{".lora_embedding_", "a LoRA of an embedding"},
	{".lora_A.bias", "a LoRA with biases"}, {".lora_B.bias", "a LoRA with biases"},
	{".lora_down.bias", "a LoRA with biases"}, {".lora_up.bias", "a LoRA with biases"},
}

// kohyaModels are the beginnings of kohya's names.
var kohyaModels = []struct {
	prefix string
	model  model
}{
	{"lora_unet_", denoiser}, {"lora_te_", text1}, {"lora_te1_", text1}, {"lora_te2_", text2},
}

// dottedModels are those of all others.
var dottedModels = []struct {
	prefix string
	model  model
}{
	{"unet.", denoiser}, {"transformer.", denoiser}, {"text_encoder.", text1}, {"text_encoder_2.", text2},
}

// peftPrefix is what PEFT puts before names of a model that it wraps.
const peftPrefix = "base_model.model."

// parseKey reads the name of a tensor.
func parseKey(name string) (key, error) {
	k, suffix, err := parseSuffix(name)
	if err != nil {
		return key{}, err
	}
	for _, m := range kohyaModels {
		if flat, ok := strings.CutPrefix(k.label, m.prefix); ok {
			k.model, k.flat = m.model, flatten(flat)
			return k, nil
		}
	}
	dotted, found := strings.TrimPrefix(k.label, peftPrefix), false
	for _, m := range dottedModels {
		if rest, ok := strings.CutPrefix(dotted, m.prefix); ok && !found {
			k.model, dotted, found = m.model, rest, true
		}
	}
	dotted = strings.TrimPrefix(dotted, peftPrefix)
	if !found && strings.HasPrefix(dotted, "text_model.") {
		k.model = text1
	}
	dotted = strings.ReplaceAll(dotted, ".processor.", ".")
	if strings.HasPrefix(suffix, "_") {
		dotted = fromProcessor(dotted, k.model)
	}
	k.flat = flatten(dotted)
	return k, nil
}

// parseSuffix finds the part, and what is before it as the label.
func parseSuffix(name string) (k key, suffix string, err error) {
	plain := withoutAdapter(name)
	for _, s := range suffixes {
		if label, ok := strings.CutSuffix(plain, s.text); ok && label != "" {
			return key{label: label, part: s.part}, s.text, nil
		}
	}
	for _, f := range foreign {
		if strings.Contains(name+".", f.text) {
			return key{}, "", fmt.Errorf("this is %s, which is not supported", f.is)
		}
	}
	return key{}, "", errors.New("not the name of a LoRA's tensor")
}

// withoutAdapter takes the adapter's name out of PEFT's names: "x.lora_A.default.weight" is
// "x.lora_A.weight", and all that PEFT has called its magnitudes are "x.lora_magnitude_vector".
func withoutAdapter(name string) string {
	for _, half := range []string{".lora_A", ".lora_B", ".lora_magnitude_vector"} {
		module, rest, ok := strings.Cut(name, half+".")
		adapter, weight := strings.CutSuffix("."+rest, ".weight")
		switch {
		case !ok || strings.Count(adapter, ".") > 1:
		case half == ".lora_magnitude_vector":
			return module + half
		case weight:
			return module + half + ".weight"
		}
	}
	return name
}

// fromProcessor returns the layer that an attention processor's name stands for: "to_q" for
// "to_q_lora", of which "_lora" is gone already. The layers of text encoders have other names.
func fromProcessor(name string, m model) string {
	at := strings.LastIndexByte(name, '.') + 1
	attention, layer := name[:at], name[at:]
	if m != denoiser {
		if short, ok := strings.CutPrefix(layer, "to_"); ok {
			layer = short + "_proj"
		}
	} else if layer == "to_out" {
		layer = "to_out.0"
	}
	return attention + layer
}

// errNotOfLoRA is about a tensor that is none of a LoRA's, and has a place in its file.
var errNotOfLoRA = errors.New("not of the LoRA")

// parseFaceKey reads the name of a tensor in the file of an image prompt of a face.
func parseFaceKey(name string, layers []string) (key, error) {
	rest, ok := strings.CutPrefix(name, "ip_adapter.")
	number, layer, ok2 := strings.Cut(rest, ".")
	switch {
	case strings.HasPrefix(name, "image_proj.") || ok && (layer == "to_k_ip.weight" || layer == "to_v_ip.weight"):
		return key{}, errNotOfLoRA
	case !ok || !ok2:
		return key{}, errors.New("not the name of an image prompt's tensor")
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || n >= len(layers) {
		return key{}, fmt.Errorf("layer %s, want one of 0 to %d", number, len(layers)-1)
	}
	k, err := parseKey(layers[n] + "." + layer)
	if err != nil {
		return key{}, err
	}
	module, _, _ := strings.Cut(layer, "_lora.")
	k.label = "ip_adapter." + number + "." + module
	return k, nil
}
