package blocks

import (
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/kernels"
	"github.com/lanewise/lanewise/norm"
	"github.com/lanewise/lanewise/program"
)

// prologue is what a layer does to its input on the way from memory: gemm.Prologue in symbols. The zero
// value is nothing.
type prologue struct {
	coefficients program.Value // means, scales and shifts, side by side: a row for each image
	act          kernels.Act
}

// bind returns the prologue for an input of so many channels.
func (p prologue) bind(m program.Memory, channels int) gemm.Prologue {
	if p == (prologue{}) {
		return gemm.Prologue{}
	}
	part := columns(m.Mat(p.coefficients), channels, channels, channels)
	return gemm.Prologue{Mean: part[0], Scale: part[1], Shift: part[2], Act: p.act}
}

// normOnRead is how many values an image has at least, 32 MiB of them, whose group norm the convolution
// behind it applies while it reads, by a Winograd algorithm. That is the same to the bit. The image of the
// norm need not be kept, which is a fifth of the memory of Stable Diffusion's decoder (512 for 640 MiB at
// 512×512 pixels), nor be written and read; and the norm is applied twice where blocks of tiles overlap. With
// one worker, the two take of what they take apart
//
//	128 channels of 512×512    98 %      512 channels of 256×256    95 %      512 channels of 128×128    99 %
//	256 channels of 512×512    98 %      256 channels of 256×256    97 %      512 channels of 64×64     101 %
//
// Where the norm takes its image's own place, as between the two convolutions of a ResNet, they take 98 to
// 102 %, and the norm stays where it is. So it does before the direct algorithm, whose windows overlap more
// (102 to 112 %: BenchmarkNormConv), and before linear layers, where 3 % of theirs would be 0.04 % of a
// U-Net. Nor are moments gathered where an image is made: tasks of a Winograd algorithm make no whole block
// of them, so that takes a pass like the norm's own (0.4 ms each for 320 channels of 64×64).
const normOnRead = 1 << 23

// before appends what a convolution of the norm of src to dst needs beforehand: the norm's coefficients, or
// the norm as an image. It returns what the convolution reads, and its prologue.
func (n *AdaGroupNorm) before(g *Graph, c *Conv, dst, src program.Value) (program.Value, prologue) {
	if src.H*src.W*src.C >= normOnRead && c.w.Choose(src.H, src.W, dst.H, dst.W, g.Options.Conv).Algorithm.Tiled() {
		return src, prologue{n.coefficients(g, src), n.norm.act}
	}
	x := g.Image(src.N, src.H, src.W, src.C)
	n.Build(g, x, src)
	return x, prologue{}
}

// coefficients appends what the norm of src comes down to, and returns it.
func (n *AdaGroupNorm) coefficients(g *Graph, src program.Value) program.Value {
	scale, shift := n.modulation(g, src.C)
	to, group := g.Mat(src.N, 3*src.C), n.norm
	g.Add(program.Op{Name: group.Name, Kind: "norm", Dst: to, Src: []program.Value{src, scale, shift}, Bind: func(m program.Memory) func() {
		part := columns(m.Mat(to), src.C, src.C, src.C)
		c, s, sc, sh := norm.Coefficients{Mean: part[0], Scale: part[1], Shift: part[2]}, m.Image(src), m.Mat(scale), m.Mat(shift)
		if sc.Data == nil {
			return func() { norm.GroupCoefficients(g.Engine, c, s, group.groups, group.affine) }
		}
		return func() { norm.AdaGroupCoefficients(g.Engine, c, s, group.groups, group.affine, sc, sh) }
	}})
	return to
}
