package lora

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"strings"

	"github.com/lanewise/lanewise/safetensors"
)

// config is what is known about alpha besides a file's tensors.
type config map[model]peftConfig

// peftConfig is what matters here of PEFT's LoraConfig.
type peftConfig struct {
	Alpha    *float64           `json:"lora_alpha"`
	Patterns map[string]float64 `json:"alpha_pattern"` // by the ends of layers' names
	Stable   bool               `json:"use_rslora"`    // factors are alpha/√rank
}

// layerConfig is what it says about a layer.
type layerConfig struct {
	alpha  *float64
	stable bool
}

// metadataKey is where diffusers keeps the configurations of a file, all in one: "unet.lora_alpha".
const metadataKey = "lora_adapter_metadata"

// PEFT keeps a configuration beside the file, both under these names.
const (
	configFile  = "adapter_config.json"
	adapterFile = "adapter_model.safetensors"
)

// readConfig reads what there is of the two.
func readConfig(fsys fs.FS, name string, metadata map[string]string) (config, error) {
	if text, ok := metadata[metadataKey]; ok {
		c, err := parseMetadata([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", metadataKey, err)
		}
		return c, nil
	}
	if path.Base(name) != adapterFile {
		return nil, nil
	}
	text, err := readFile(fsys, path.Join(path.Dir(name), configFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var c peftConfig
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", configFile, err)
	}
	return config{denoiser: c, text1: c, text2: c}, nil
}

// readFile reads a small file.
func readFile(fsys fs.FS, name string) ([]byte, error) {
	const most = 1 << 24
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(text) > most {
		err = fmt.Errorf("more than %d bytes", most)
	}
	return text, err
}

// parseMetadata reads the configurations of all models.
func parseMetadata(metadata []byte) (config, error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(metadata, &values); err != nil {
		return nil, err
	}
	parts := make(map[model]map[string]json.RawMessage)
	for name, value := range values {
		for _, m := range dottedModels {
			if key, ok := strings.CutPrefix(name, m.prefix); ok {
				if parts[m.model] == nil {
					parts[m.model] = make(map[string]json.RawMessage)
				}
				parts[m.model][key] = value
			}
		}
	}
	c := make(config)
	for m, part := range parts {
		object, err := json.Marshal(part)
		if err != nil {
			return nil, err
		}
		var one peftConfig
		if err := json.Unmarshal(object, &one); err != nil {
			return nil, err
		}
		c[m] = one
	}
	return c, nil
}

// of returns what is said about a layer, by its flat name.
func (c config) of(m model, flat string) layerConfig {
	p := c[m]
	o := layerConfig{p.Alpha, p.Stable}
	longest := -1
	for name, alpha := range p.Patterns {
		end := flatten(name)
		if (flat == end || strings.HasSuffix(flat, "_"+end)) && len(end) > longest {
			o.alpha, longest = &alpha, len(end)
		}
	}
	return o
}

// scale finds the module's factor.
func (f *File) scale(m *module, o layerConfig) error {
	value := float64(m.rank)
	switch {
	case m.parts[alpha] != "":
		v, err := f.scalar(m.parts[alpha])
		if err != nil {
			return err
		}
		value = v
	case o.alpha != nil:
		value = *o.alpha
	}
	m.factor = value / float64(m.rank)
	if o.stable && m.parts[alpha] == "" {
		m.factor = value / math.Sqrt(float64(m.rank))
	}
	return nil
}

// scalar reads a tensor of one number, of any type.
func (f *File) scalar(name string) (float64, error) {
	info, _ := f.file.Tensor(name)
	if info.Elements() != 1 {
		return 0, fmt.Errorf("%s: shape %v, want one number", name, info.Shape)
	}
	switch info.DType {
	case safetensors.F32, safetensors.F16, safetensors.BF16:
		var v [1]float32
		if err := f.file.Float32(name, v[:]); err != nil {
			return 0, err
		}
		if v[0]-v[0] != 0 { // NaN or infinite
			return 0, fmt.Errorf("%s is %v", name, v[0])
		}
		return float64(v[0]), nil
	}
	var v [1]int64
	if err := f.file.Int64(name, v[:]); err != nil {
		return 0, err
	}
	return float64(v[0]), nil
}
