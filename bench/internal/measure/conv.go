package measure

import (
	"fmt"
	"io/fs"
	"math"

	"github.com/lanewise/lanewise/bench/shapes"
	"github.com/lanewise/lanewise/conv"
	"github.com/lanewise/lanewise/engine"
	"github.com/lanewise/lanewise/gemm"
	"github.com/lanewise/lanewise/tensor"
)

// Conv is a convolution of N images of H × W × In to Out channels, with a bias. Where its geometry
// enlarges, it does so to twice the size.
type Conv struct {
	N, H, W, In, Out int
	Geometry         conv.Geometry
}

// Convs reads the shapes of conv.txt, or of upsample.txt.
func Convs(files fs.FS, kind string) (all []Conv, err error) {
	switch kind {
	case "conv":
		rows, err := shapes.Read(files, kind, 7)
		if err != nil {
			return nil, err
		}
		for _, s := range rows {
			c := Conv{N: s[0], H: s[1], W: s[2], In: s[3], Out: s[4], Geometry: conv.Same(s[5])}
			c.Geometry.Stride = s[6]
			all = append(all, c)
		}
		return all, nil
	case "upsample":
		rows, err := shapes.Read(files, kind, 5)
		if err != nil {
			return nil, err
		}
		for _, s := range rows {
			c := Conv{N: s[0], H: s[1], W: s[2], In: s[3], Out: s[4], Geometry: conv.Same(3)}
			c.Geometry.Upsample = true
			all = append(all, c)
		}
		return all, nil
	}
	return nil, fmt.Errorf("%q are no shapes of convolutions (conv and upsample are)", kind)
}

// OutSize returns the height and width of the result.
func (c Conv) OutSize() (h, w int) {
	if c.Geometry.Upsample {
		return 2 * c.H, 2 * c.W
	}
	return (c.H-1)/c.Geometry.Stride + 1, (c.W-1)/c.Geometry.Stride + 1
}

// FLOP is how many operations the direct sum takes, with zeros around the image counted.
func (c Conv) FLOP() float64 {
	h, w := c.OutSize()
	return 2 * float64(c.N*h*w) * float64(c.Geometry.KH*c.Geometry.KW*c.In) * float64(c.Out)
}

// String is the shape: 2×64×64 320→640 k3 s1, or 1×16→32 1280→1280 of an enlargement.
func (c Conv) String() string {
	if c.Geometry.Upsample {
		return fmt.Sprintf("%d×%d×%d %d→%d k%d ×2", c.N, c.H, c.W, c.In, c.Out, c.Geometry.KH)
	}
	return fmt.Sprintf("%d×%d×%d %d→%d k%d s%d", c.N, c.H, c.W, c.In, c.Out, c.Geometry.KH, c.Geometry.Stride)
}

// Pack lays out random weights with which the result is as large as the image.
func (c Conv) Pack(e *engine.Engine) *conv.Packed {
	fan := c.In * c.Geometry.KH * c.Geometry.KW
	w, gain := Random(2, c.Out*fan), float32(math.Sqrt(3/float64(fan)))
	for i := range w {
		w[i] *= gain
	}
	return conv.Pack(e, w, c.Out, c.In, c.Geometry)
}

// Plans returns every way to compute it, the direct one first.
func (c Conv) Plans() (plans []conv.Plan) {
	h, w := c.OutSize()
	p := conv.Packed{Geometry: c.Geometry, In: c.In, Out: c.Out}
	for a := conv.Direct; a <= conv.PhasesWinograd; a++ {
		if !p.Fits(a, c.H, c.W, h, w) {
			continue
		}
		plain, stored := conv.Plan{Algorithm: a}, conv.Plan{Algorithm: a, Stored: true}
		if stored.String() != plain.String() { // there is something to store
			plans = append(plans, stored)
		}
		plans = append(plans, plain)
	}
	return plans
}

// Auto returns how it is computed where nobody says how.
func (c Conv) Auto(p *conv.Packed) conv.Plan {
	h, w := c.OutSize()
	return p.Choose(c.H, c.W, h, w, conv.Options{})
}

// Images are what convolutions of one shape read, and where they write.
type Images struct {
	Src, Dst tensor.NHWC
	Bias     []float32
}

// Images makes random ones.
func (c Conv) Images() *Images {
	h, w := c.OutSize()
	m := &Images{Src: tensor.Make(c.N, c.H, c.W, c.In), Dst: tensor.Make(c.N, h, w, c.Out), Bias: Random(3, c.Out)}
	copy(m.Src.Data, Random(1, len(m.Src.Data)))
	return m
}

// Apply convolves.
func (m *Images) Apply(e *engine.Engine, p *conv.Packed) {
	conv.Apply(e, m.Dst, m.Src, p, gemm.Prologue{}, gemm.Epilogue{Bias: m.Bias})
}
