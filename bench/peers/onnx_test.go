package main

import (
	"encoding/binary"
	"math"
	"reflect"
	"testing"
)

// field is one field of a message: a varint, the bits of a float32, or bytes.
type field struct {
	number int
	value  any
}

// decode reads a message's fields as the protocol buffer specification lays them out.
func decode(t *testing.T, b []byte) (fields []field) {
	t.Helper()
	varint := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			t.Fatalf("a varint ends early after %v", fields)
		}
		b = b[n:]
		return v
	}
	take := func(n uint64) []byte {
		if n > uint64(len(b)) {
			t.Fatalf("%d bytes of %d are missing after %v", n-uint64(len(b)), n, fields)
		}
		s := b[:n]
		b = b[n:]
		return s
	}
	for len(b) > 0 {
		key := varint()
		f := field{number: int(key >> 3)}
		switch key & 7 {
		case 0:
			f.value = int64(varint())
		case 2:
			f.value = string(take(varint()))
		case 5:
			f.value = math.Float32frombits(binary.LittleEndian.Uint32(take(4)))
		default:
			t.Fatalf("wire type %d", key&7)
		}
		fields = append(fields, f)
	}
	return fields
}

// at returns the values of a field, in their order.
func at(fields []field, number int) (values []any) {
	for _, f := range fields {
		if f.number == number {
			values = append(values, f.value)
		}
	}
	return values
}

// inside decodes the first message at a path of field numbers.
func inside(t *testing.T, b []byte, path ...int) []field {
	t.Helper()
	fields := decode(t, b)
	for _, number := range path {
		values := at(fields, number)
		if len(values) == 0 {
			t.Fatalf("no field %d in %v", number, fields)
		}
		fields = decode(t, []byte(values[0].(string)))
	}
	return fields
}

// TestModelDecodes holds every part of a model to the numbers of onnx.proto3.
func TestModelDecodes(t *testing.T) {
	long := make([]float32, 100) // a length of two bytes
	long[99] = -1.5
	m := model{
		nodes: []node{{op: "Op", domain: microsoft, in: []string{"x", "w"}, out: []string{"y"},
			attributes: []attribute{{"axis", -1}, {"epsilon", float32(0.5)}, {"pads", []int{1, 300}}}}},
		constants: []constant{{"w", []int{4, 25}, long}, {"shape", []int{2}, []int64{0, -1}}, {"scale", nil, []float32{2}}},
		inputs:    []operand{{"x", []int{1, 4096}}},
		outputs:   []operand{{"y", []int{7}}},
	}
	file := m.encode()
	same := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	top := decode(t, file)
	same("ir_version", at(top, 1), []any{int64(9)})
	var domains []any
	for _, opset := range at(top, 8) {
		f := decode(t, []byte(opset.(string)))
		domains = append(domains, at(f, 1)[0], at(f, 2)[0])
	}
	same("opset_import", domains, []any{"", int64(21), "com.microsoft", int64(1)})

	n := inside(t, file, 7, 1)
	same("inputs of the node", at(n, 1), []any{"x", "w"})
	same("outputs of the node", at(n, 2), []any{"y"})
	same("op_type", at(n, 4), []any{"Op"})
	same("domain", at(n, 7), []any{"com.microsoft"})
	want := [][]field{
		{{1, "axis"}, {3, int64(-1)}, {20, int64(2)}},
		{{1, "epsilon"}, {2, float32(0.5)}, {20, int64(1)}},
		{{1, "pads"}, {8, int64(1)}, {8, int64(300)}, {20, int64(7)}},
	}
	for i, a := range at(n, 5) {
		same("attribute", decode(t, []byte(a.(string))), want[i])
	}

	graph := inside(t, file, 7)
	var tensors [][]field
	for _, c := range at(graph, 5) {
		tensors = append(tensors, decode(t, []byte(c.(string))))
	}
	same("constants", len(tensors), 3)
	same("dims", at(tensors[0], 1), []any{int64(4), int64(25)})
	same("data_type", at(tensors[0], 2), []any{int64(1)})
	same("name", at(tensors[0], 8), []any{"w"})
	raw := at(tensors[0], 9)[0].(string)
	same("length of raw_data", len(raw), 400)
	same("the last value", math.Float32frombits(binary.LittleEndian.Uint32([]byte(raw[396:]))), float32(-1.5))
	same("data_type of int64", at(tensors[1], 2), []any{int64(7)})
	same("raw_data of int64", at(tensors[1], 9), []any{"\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"})
	same("dims of a scalar", len(at(tensors[2], 1)), 0)

	x := inside(t, file, 7, 11)
	same("name of the input", at(x, 1), []any{"x"})
	element := inside(t, file, 7, 11, 2, 1)
	same("elem_type", at(element, 1), []any{int64(1)})
	var dims []any
	for _, d := range at(inside(t, file, 7, 11, 2, 1, 2), 1) {
		dims = append(dims, at(decode(t, []byte(d.(string))), 1)...)
	}
	same("shape of the input", dims, []any{int64(1), int64(4096)})
	same("name of the output", at(inside(t, file, 7, 12), 1), []any{"y"})
}
