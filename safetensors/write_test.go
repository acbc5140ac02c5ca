package safetensors_test

import (
	"encoding/binary"
	"encoding/json"
	"strings"
)

// raw builds a file from the text of its header and the bytes after it.
func raw(header, data string) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

// tensor is one to write.
type tensor struct {
	name, dtype string
	shape       []int
	data        []byte
}

// build writes a correct file of tensors in the order given.
func build(tensors ...tensor) []byte {
	var header, data strings.Builder
	for i, t := range tensors {
		begin := data.Len()
		data.Write(t.data)
		header.WriteString([]string{"{", ","}[min(i, 1)])
		entry, err := json.Marshal(map[string]any{"dtype": t.dtype, "shape": t.shape, "data_offsets": []int{begin, data.Len()}})
		if err != nil {
			panic(err)
		}
		name, _ := json.Marshal(t.name)
		header.Write(name)
		header.WriteByte(':')
		header.Write(entry)
	}
	header.WriteByte('}')
	return raw(header.String(), data.String())
}

// little is the values' bytes, little-endian.
func little(values any) []byte {
	b, err := binary.Append(nil, binary.LittleEndian, values)
	if err != nil {
		panic(err)
	}
	return b
}
