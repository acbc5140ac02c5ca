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

// Narrow returns v in format t and whether that is exact: widening it again would give v, bit for
// bit. The bits mean nothing where it is not.
func (t HalfType) Narrow(v float32) (half uint16, exact bool) {
	b := math.Float32bits(v)
	if t == BFloat16 {
		return uint16(b >> 16), b&0xffff == 0
	}
	sign, rest := uint16(b>>16)&0x8000, b&0x7fffffff
	switch {
	case rest-113<<23 < 30<<23: // a normal number there as here
		return sign | uint16((rest-112<<23)>>13), rest&0x1fff == 0
	case rest < 113<<23: // subnormal there: a multiple of 2⁻²⁴, or nothing
		n := math.Float32frombits(rest) * 0x1p24
		return sign | uint16(n), float32(uint16(n)) == n
	}
	return sign | 0x7c00, rest == 0x7f800000 // infinite; a NaN need not keep its bits
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
