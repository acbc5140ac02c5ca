package main

import (
	"encoding/binary"
	"math"
)

// model is an ONNX graph of float32 operands: as much of onnx.proto3 as ONNX Runtime asks for.
type model struct {
	nodes           []node
	constants       []constant
	inputs, outputs []operand
}

// node is one operator.
type node struct {
	op         string
	domain     string // empty for ONNX's own
	in, out    []string
	attributes []attribute
}

// attribute is a setting of an operator: an int, a float32 or a list of ints.
type attribute struct {
	name  string
	value any
}

// constant is an operand that is known beforehand: []float32, []int32 or []int64 in the usual order.
type constant struct {
	name   string
	dims   []int
	values any
}

// operand is a float32 array that is given or fetched at every run.
type operand struct {
	name string
	dims []int
}

// The versions of what is written. Domain com.microsoft holds ONNX Runtime's own operators.
const (
	irVersion        = 9
	opsetVersion     = 21
	microsoft        = "com.microsoft"
	microsoftVersion = 1
)

// The fields and values of onnx.proto3 that are written here.
const (
	modelIR, modelGraph, modelOpset                                = 1, 7, 8
	opsetDomain, opsetNumber                                       = 1, 2
	graphNode, graphName, graphConstant, graphInput, graphOutput   = 1, 2, 5, 11, 12
	nodeInput, nodeOutput, nodeOp, nodeAttribute, nodeDomain       = 1, 2, 4, 5, 7
	attributeName, attributeFloat, attributeInt, attributeInts     = 1, 2, 3, 8
	attributeType, attributeIsFloat, attributeIsInt, attributeMany = 20, 1, 2, 7
	tensorDims, tensorType, tensorName, tensorRaw                  = 1, 2, 8, 9
	typeFloat, typeInt32, typeInt64                                = 1, 6, 7
	operandName, operandType                                       = 1, 2
	typeTensor, typeElement, typeShape                             = 1, 1, 2
	shapeDim, dimValue                                             = 1, 1
)

// encode returns the model as the bytes of an .onnx file.
func (m *model) encode() []byte {
	var graph message
	for _, n := range m.nodes {
		graph.sub(graphNode, n.encode())
	}
	graph.text(graphName, "bench")
	for _, c := range m.constants {
		graph.sub(graphConstant, c.encode())
	}
	for _, o := range m.inputs {
		graph.sub(graphInput, o.encode())
	}
	for _, o := range m.outputs {
		graph.sub(graphOutput, o.encode())
	}
	var file message
	file.number(modelIR, irVersion)
	file.sub(modelGraph, graph)
	file.sub(modelOpset, opset("", opsetVersion))
	file.sub(modelOpset, opset(microsoft, microsoftVersion))
	return file
}

func opset(domain string, version int) (b message) {
	b.text(opsetDomain, domain)
	b.number(opsetNumber, version)
	return b
}

func (n node) encode() (b message) {
	for _, name := range n.in {
		b.text(nodeInput, name)
	}
	for _, name := range n.out {
		b.text(nodeOutput, name)
	}
	b.text(nodeOp, n.op)
	for _, a := range n.attributes {
		b.sub(nodeAttribute, a.encode())
	}
	if n.domain != "" {
		b.text(nodeDomain, n.domain)
	}
	return b
}

func (a attribute) encode() (b message) {
	b.text(attributeName, a.name)
	switch v := a.value.(type) {
	case int:
		b.number(attributeInt, v)
		b.number(attributeType, attributeIsInt)
	case float32:
		b.float(attributeFloat, v)
		b.number(attributeType, attributeIsFloat)
	case []int:
		for _, x := range v {
			b.number(attributeInts, x)
		}
		b.number(attributeType, attributeMany)
	default:
		panic("onnx: an attribute is an int, a float32 or a []int")
	}
	return b
}

func (c constant) encode() (b message) {
	for _, d := range c.dims {
		b.number(tensorDims, d)
	}
	var raw []byte
	switch v := c.values.(type) {
	case []float32:
		b.number(tensorType, typeFloat)
		raw = make([]byte, 0, 4*len(v))
		for _, x := range v {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
		}
	case []int32:
		b.number(tensorType, typeInt32)
		for _, x := range v {
			raw = binary.LittleEndian.AppendUint32(raw, uint32(x))
		}
	case []int64:
		b.number(tensorType, typeInt64)
		for _, x := range v {
			raw = binary.LittleEndian.AppendUint64(raw, uint64(x))
		}
	default:
		panic("onnx: a constant is []float32, []int32 or []int64")
	}
	b.text(tensorName, c.name)
	b.sub(tensorRaw, raw)
	return b
}

func (o operand) encode() (b message) {
	var shape, tensor, kind message
	for _, d := range o.dims {
		var dim message
		dim.number(dimValue, d)
		shape.sub(shapeDim, dim)
	}
	tensor.number(typeElement, typeFloat)
	tensor.sub(typeShape, shape)
	kind.sub(typeTensor, tensor)
	b.text(operandName, o.name)
	b.sub(operandType, kind)
	return b
}

// message is an encoded protocol buffer message. A field is its number and a wire type, then a
// varint, four bytes, or a length and as many bytes.
type message []byte

const (
	wireVarint = 0
	wireBytes  = 2
	wireFixed4 = 5
)

func (b *message) key(field, wire int) {
	*b = binary.AppendUvarint(*b, uint64(field<<3|wire))
}

func (b *message) number(field, v int) {
	b.key(field, wireVarint)
	*b = binary.AppendUvarint(*b, uint64(int64(v)))
}

func (b *message) float(field int, v float32) {
	b.key(field, wireFixed4)
	*b = binary.LittleEndian.AppendUint32(*b, math.Float32bits(v))
}

func (b *message) text(field int, s string) { b.sub(field, []byte(s)) }

func (b *message) sub(field int, bytes []byte) {
	b.key(field, wireBytes)
	*b = binary.AppendUvarint(*b, uint64(len(bytes)))
	*b = append(*b, bytes...)
}
