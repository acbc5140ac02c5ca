package kernels

import "math"

// HalfType is a floating-point format of 16 bits.
type HalfType uint8

const (
	BFloat16 HalfType = iota // the upper half of a float32
	Float16                  // IEEE 754 binary16
)

// String returns the format's name as checkpoints have it.
func (t HalfType) String() string { return [...]string{"BF16", "F16"}[t] }

// Holds says whether every value is one of format t: what Widen makes of Narrow's result is the same
// values, bit for bit.
func (t HalfType) Holds(values []float32) bool {
	if t == BFloat16 {
		var bits uint32
		for _, v := range values {
			bits |= math.Float32bits(v)
		}
		return bits&0xffff == 0
	}
	for _, v := range values {
		b := math.Float32bits(v)
		if b&0x7fffffff-normal16 < normals16 {
			if b&0x1fff != 0 {
				return false
			}
		} else if _, exact := float16(b); !exact {
			return false
		}
	}
	return true
}

// Narrow sets dst, as long as src, to src in format t, which holds its values.
func (t HalfType) Narrow(dst []uint16, src []float32) {
	dst = dst[:len(src)]
	if t == BFloat16 {
		for i, v := range src {
			dst[i] = uint16(math.Float32bits(v) >> 16)
		}
		return
	}
	for i, v := range src {
		b := math.Float32bits(v)
		if rest := b & 0x7fffffff; rest-normal16 < normals16 {
			dst[i] = uint16(b>>16)&0x8000 | uint16((rest-bias16)>>13)
		} else {
			dst[i], _ = float16(b)
		}
	}
}

// Float32 bits of the least normal binary16, the distance from there to infinity, and the difference
// of the exponents' biases.
const (
	normal16  = 113 << 23
	normals16 = 30 << 23
	bias16    = 112 << 23
)

// float16 returns the binary16 of a float32's bits that is no normal one, and whether it is the same
// value. A NaN is not, since it need not keep its bits.
func float16(b uint32) (half uint16, exact bool) {
	sign, rest := uint16(b>>16)&0x8000, b&0x7fffffff
	if rest >= normal16 {
		return sign | 0x7c00, rest == 0x7f800000
	}
	n := math.Float32frombits(rest) * 0x1p24 // what is subnormal, or nothing, is a multiple of 2⁻²⁴
	return sign | uint16(n), float32(uint16(n)) == n
}

// WidenArgs asks for half-width values as float32, which represents every one of them exactly:
//
//	Dst[i] = float32(Src[i])       // for i < len(Src)
//
// A NaN stays one.
type WidenArgs struct {
	Src  []uint16
	Type HalfType
	Dst  []float32
}

// widenGeneric is the contract of WidenArgs in Go.
func widenGeneric(w *WidenArgs) {
	dst := w.Dst[:len(w.Src)]
	if w.Type == BFloat16 {
		for i, h := range w.Src {
			dst[i] = math.Float32frombits(uint32(h) << 16)
		}
		return
	}
	for i, h := range w.Src {
		dst[i] = fromFloat16(h)
	}
}

// fromFloat16 is the value of IEEE 754 binary16 bits. The exponent's bias is 15, that of float32
// 127: shifted into place, a value is 2⁻¹¹² times what it should be, subnormal or not.
func fromFloat16(h uint16) float32 {
	sign, rest := uint32(h>>15)<<31, uint32(h&0x7fff)<<13
	if h&0x7c00 == 0x7c00 { // Inf, NaN
		if rest&0x7fffff != 0 {
			rest |= 1 << 22 // quiet
		}
		return math.Float32frombits(sign | rest | 0xff<<23)
	}
	return math.Float32frombits(sign | math.Float32bits(math.Float32frombits(rest)*0x1p112))
}
