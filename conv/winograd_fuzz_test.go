package conv_test

import (
	"testing"

	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/internal/kerneltest"
	"github.com/lanewise/lanewise/kernels"
)

// FuzzWinograd holds plans to the truth, for layers of any shape: plan is an algorithm (2 bits), whether its weights
// are stored, whether the image is enlarged, whether to twice its size, and whether there are 128 channels more.
func FuzzWinograd(f *testing.F) {
	f.Add(uint8(8), uint8(9), uint8(5), uint8(70), uint8(0x00), uint16(0x0004), uint16(0x1111))
	f.Add(uint8(7), uint8(3), uint8(16), uint8(17), uint8(0x05), uint16(0x1108), uint16(0x2012))
	f.Add(uint8(11), uint8(11), uint8(3), uint8(65), uint8(0x06), uint16(0x4052), uint16(0x1111))
	f.Add(uint8(2), uint8(4), uint8(3), uint8(5), uint8(0x21), uint16(0x020c), uint16(0x1111))
	f.Add(uint8(3), uint8(5), uint8(6), uint8(9), uint8(0x0a), uint16(0x3034), uint16(0x1267))
	f.Add(uint8(5), uint8(6), uint8(7), uint8(66), uint8(0x1b), uint16(0x80c8), uint16(0x0001))
	f.Add(uint8(1), uint8(9), uint8(40), uint8(8), uint8(0x3f), uint16(0x6191), uint16(0))
	f.Fuzz(func(t *testing.T, h, w, in, out, plan uint8, fused, pads uint16) {
		l := layer{n: 1 + int(fused>>12&1), h: int(h % 14), w: int(w % 14), in: 1 + int(in%48), out: int(out % 80)}
		if plan&0x20 != 0 {
			l.in, l.h, l.w = l.in+128, l.h%6, l.w%6
		}
		l.g = conv.Geometry{KH: 3, KW: 3, Stride: 1, Top: int(pads & 3), Left: int(pads >> 4 & 3), Bottom: int(pads >> 8 & 3), Right: int(pads >> 12 & 3)}
		l.by = []conv.Algorithm{conv.Winograd2, conv.Winograd4, conv.Winograd6, conv.PhasesWinograd}[plan&3]
		l.stored = plan&4 != 0
		if plan&8 != 0 || l.by == conv.PhasesWinograd {
			l.g.Top, l.g.Left = l.g.Top%3, l.g.Left%3
			l = l.enlarged(int(pads>>8&15), int(pads>>12))
			if plan&16 != 0 || l.by == conv.PhasesWinograd {
				l = l.enlarged(2*l.h, 2*l.w)
			}
			if l.by == conv.PhasesWinograd {
				l.g.Top, l.g.Left = 1, 1
			}
			l.g.Bottom, l.g.Right = 2-l.g.Top, 2-l.g.Left
			if l.h*l.w == 0 {
				return
			}
		}
		if oh, ow := l.size(); oh < 0 || ow < 0 {
			return
		}
		l.pad = int(fused & 3)
		l.bias, l.scaled, l.add, l.addDst = fused&4 != 0, fused&8 != 0, fused&16 != 0, fused&48 == 48
		l.centred = l.scaled && fused&2 != 0
		l.imageBias, l.gate = !l.bias && fused&64 != 0, fused&0x800 != 0
		l.before = []kernels.Act{kernels.Identity, kernels.SiLU}[fused>>7&1]
		l.act = []kernels.Act{kernels.Identity, kernels.SiLU, kernels.GELU, kernels.ReLU}[fused>>8&3]
		l.images = []int{0, 1}[fused>>10&1]
		l.half = int(fused>>14) % 3
		want := l.truth(l.operands(t))
		for _, set := range kernels.Available() {
			l.compare(t, kerneltest.Engine(t, set, 1+int(fused>>13&1)), want)
		}
	})
}
