package program

import (
	"fmt"

	"github.com/lanewise/lanewise/tensor"
)

// Value is an image that an op of a program reads or writes: a shape, and a range of channels of
// a buffer whose place in memory is not settled yet. A matrix is a Value too, with H and W of 1.
// The zero Value stands for an operand that is absent.
type Value struct {
	N, H, W, C int

	buffer  *buffer
	channel int // of the buffer, the first that belongs to this value
}

// Rows returns how many pixels (or rows of a matrix) the value has.
func (v Value) Rows() int { return v.N * v.H * v.W }

// Channels returns channels c0 up to c1 of every pixel. It is the same memory: what is written
// there is part of v.
func (v Value) Channels(c0, c1 int) Value {
	if c0 < 0 || c1 < c0 || c1 > v.C {
		panic(fmt.Sprintf("program: channels %d:%d of %d", c0, c1, v.C))
	}
	v.channel, v.C = v.channel+c0, c1-c0
	return v
}

// bytes returns how much memory the value's elements take.
func (v Value) bytes() float64 { return 4 * float64(v.Rows()) * float64(v.C) }

// Memory hands out the memory behind values while ops are bound to it.
type Memory struct{ arena []float32 }

// Image returns the memory of v; that of the zero Value is the zero NHWC.
func (m Memory) Image(v Value) tensor.NHWC {
	if v.buffer == nil {
		return tensor.NHWC{}
	}
	b := v.buffer
	data := m.arena[b.offset:][:b.size]
	return tensor.NHWC{N: v.N, H: v.H, W: v.W, C: b.channels, Stride: b.stride, Data: data}.Channels(v.channel, v.channel+v.C)
}

// Mat returns the memory of v as a matrix of v.Rows() rows; that of the zero Value is the zero Mat.
func (m Memory) Mat(v Value) tensor.Mat { return m.Image(v).Tokens() }
