package modeltest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/safetensors"
)

// Tensor is a tensor of a file, as PyTorch has it.
type Tensor struct {
	Shape []int
	Data  []float32
	Type  string // "F16", "BF16" or "I64", which has to hold all values; "" is "F32"
}

// entry is a tensor in the header of a file.
type entry struct {
	DType   string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets [2]int `json:"data_offsets"`
}

// Safetensors returns a file of tensors.
func Safetensors(weights map[string]Tensor) []byte { return SafetensorsWith(nil, weights) }

// SafetensorsWith returns a file of tensors with metadata, nil for none.
func SafetensorsWith(metadata map[string]string, weights map[string]Tensor) []byte {
	header := make(map[string]any)
	if metadata != nil {
		header["__metadata__"] = metadata
	}
	var data bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		t := weights[name]
		from := data.Len()
		if err := binary.Write(&data, binary.LittleEndian, t.values()); err != nil {
			panic(err)
		}
		header[name] = entry{t.dtype(), append([]int{}, t.Shape...), [2]int{from, data.Len()}}
	}
	text, err := json.Marshal(header)
	if err != nil {
		panic(err)
	}
	return slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text, data.Bytes())
}

// dtype is the type's name in a file.
func (t Tensor) dtype() string {
	if t.Type == "" {
		return "F32"
	}
	return t.Type
}

// values are the values as a file has them.
func (t Tensor) values() any {
	switch t.dtype() {
	case "F32":
		return t.Data
	case "F16":
		return t.narrow(kernels.Float16)
	case "BF16":
		return t.narrow(kernels.BFloat16)
	case "I64":
		whole := make([]int64, len(t.Data))
		for i, v := range t.Data {
			whole[i] = int64(v)
		}
		return whole
	}
	panic("modeltest: tensor of type " + t.Type)
}

// narrow are the values in a type of 16 bits.
func (t Tensor) narrow(half kernels.HalfType) []uint16 {
	if !half.Holds(t.Data) {
		panic("modeltest: values that are not of type " + t.Type)
	}
	narrow := make([]uint16, len(t.Data))
	half.Narrow(narrow, t.Data)
	return narrow
}

// Read returns the tensors of base.safetensors, or of its shards, by name. It panics where there are none.
func Read(fsys fs.FS, base string) map[string]Tensor {
	c, err := safetensors.OpenSharded(fsys, base)
	if err != nil {
		panic(fmt.Sprintf("modeltest: %v", err))
	}
	defer c.Close()
	weights := make(map[string]Tensor)
	for _, name := range c.Names() {
		info, _ := c.Tensor(name)
		t := Tensor{Shape: info.Shape, Data: make([]float32, info.Elements())}
		if err := c.Float32(name, t.Data); err != nil {
			panic(fmt.Sprintf("modeltest: %v", err))
		}
		weights[name] = t
	}
	return weights
}
