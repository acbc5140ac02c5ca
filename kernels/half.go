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
