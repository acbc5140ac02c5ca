package ref

import "math"

// Conv describes a two-dimensional convolution of images in NHWC, contiguous, with weights
// out × in × kh × kw, as PyTorch's conv2d computes it with zeros around the image.
type Conv struct {
	N, H, W, In              int
	Out, KH, KW, Stride      int
	Top, Left, Bottom, Right int // rows and columns of zeros
}

// Size returns the output's height and width.
func (c Conv) Size() (oh, ow int) {
	return (c.H+c.Top+c.Bottom-c.KH)/c.Stride + 1, (c.W+c.Left+c.Right-c.KW)/c.Stride + 1
}

// Apply returns the convolution of src, N × oh × ow × Out, and beside it the sums of the
// products' absolute values.
func (c Conv) Apply(src, w []float64) (dst, abs []float64) {
	oh, ow := c.Size()
	dst, abs = make([]float64, c.N*oh*ow*c.Out), make([]float64, c.N*oh*ow*c.Out)
	for n := range c.N {
		for y := range oh {
			for x := range ow {
				for o := range c.Out {
					at := ((n*oh+y)*ow+x)*c.Out + o
					for i := range c.In {
						for ky := range c.KH {
							for kx := range c.KW {
								sy, sx := y*c.Stride+ky-c.Top, x*c.Stride+kx-c.Left
								if sy < 0 || sy >= c.H || sx < 0 || sx >= c.W {
									continue
								}
								p := src[((n*c.H+sy)*c.W+sx)*c.In+i] * w[((o*c.In+i)*c.KH+ky)*c.KW+kx]
								dst[at] += p
								abs[at] += math.Abs(p)
							}
						}
					}
				}
			}
		}
	}
	return dst, abs
}
