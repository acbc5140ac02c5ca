package safetensors

import (
	"encoding/binary"
	"math"
)

// floatDecoders turn bytes into as many float32 values as there are elements; nothing is rounded.
var floatDecoders = map[DType]func(dst []float32, b []byte){
	F32: func(dst []float32, b []byte) {
		for i := range dst[:len(b)/4] {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	},
	F16: func(dst []float32, b []byte) {
		for i := range dst[:len(b)/2] {
			dst[i] = halfToFloat(binary.LittleEndian.Uint16(b[2*i:]))
		}
	},
	BF16: func(dst []float32, b []byte) {
		for i := range dst[:len(b)/2] {
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
		}
	},
}

// halfToFloat returns the value of an IEEE 754 binary16: a sign, five bits of exponent with bias
// 15, ten of significand. NaN keeps its payload.
func halfToFloat(h uint16) float32 {
	sign, magnitude := uint32(h&0x8000)<<16, uint32(h&0x7fff)<<13
	if magnitude >= 0x1f<<23 { // Inf and NaN: all ones in the exponent there and here
		return math.Float32frombits(sign | 0x7f800000 | magnitude)
	}
	// The bits in place are a float32 that is 2^(127−15) too small, and subnormal where the half
	// is; the product is exact.
	return math.Float32frombits(sign | math.Float32bits(math.Float32frombits(magnitude)*0x1p112))
}

func decodeFloat64(dst []float64, b []byte) {
	for i := range dst[:len(b)/8] {
		dst[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
}

// intDecoders turn bytes into as many int64 values as there are elements; U64 wraps around.
var intDecoders = map[DType]func(dst []int64, b []byte){
	Bool: func(dst []int64, b []byte) {
		for i, v := range b {
			dst[i] = int64(min(v, 1))
		}
	},
	U8: func(dst []int64, b []byte) {
		for i, v := range b {
			dst[i] = int64(v)
		}
	},
	I8: func(dst []int64, b []byte) {
		for i, v := range b {
			dst[i] = int64(int8(v))
		}
	},
	U16: func(dst []int64, b []byte) {
		for i := range dst[:len(b)/2] {
			dst[i] = int64(binary.LittleEndian.Uint16(b[2*i:]))
		}
	},
	I16: func(dst []int64, b []byte) {
		for i := range dst[:len(b)/2] {
			dst[i] = int64(int16(binary.LittleEndian.Uint16(b[2*i:])))
		}
	},
	U32: func(dst []int64, b []byte) {
		for i := range dst[:len(b)/4] {
			dst[i] = int64(binary.LittleEndian.Uint32(b[4*i:]))
		}
	},
	I32: func(dst []int64, b []byte) {
		for i := range dst[:len(b)/4] {
			dst[i] = int64(int32(binary.LittleEndian.Uint32(b[4*i:])))
		}
	},
	U64: decode64, I64: decode64,
}

func decode64(dst []int64, b []byte) {
	for i := range dst[:len(b)/8] {
		dst[i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
	}
}
